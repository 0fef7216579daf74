"""Stores of Zarr: a folder, a file of zip, or what stands at an address."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import zarr
from zarr.storage import LocalStore, ZipStore

from framecast.base.limits import check_memory
from framecast.readers.cached_store import CachedStore, open_remote_store
from framecast.readers.groups import choose
from framecast.readers.guard import check_file
from framecast.readers.kinds import ZARR_FILES
from framecast.readers.remote import address_of


def open_store(path: Path, group: str | None) -> tuple[Any, str]:
    """Return a Zarr store, and the place in it of the group that is read.

    Raises:
        UserError: as `open_raw`.
    """
    root = ""
    if address := address_of(path):
        store: Any = open_remote_store(path, address)
    elif path.is_dir():
        store = _Files(path, read_only=True)
    else:
        root = _check_zip(path)
        store = ZipStore(path, mode="r")
    try:
        return store, _zarr_group(path, store, root, group)
    except BaseException:
        store.close()
        raise


def arrays_in(store: Any, place: str) -> dict[str, Any]:
    """Return the arrays of a group by their names; an array that stands alone is named frames."""
    top = zarr.open(store=store, path=place, mode="r")
    return {"frames": top} if isinstance(top, zarr.Array) else dict(top.arrays())


def is_consolidated(store: Any, place: str) -> bool:
    """Whether a remote store has all metadata in one place: most servers list no folders."""
    if not isinstance(store, CachedStore):
        return False
    top: Any = zarr.open_group(store=store, path=place, mode="r")
    return top.metadata.consolidated_metadata is not None


class _Files(LocalStore):
    """The files of a Zarr store, which reads no pipe or device in their place."""

    async def get(self, key: str, *others: Any, **further: Any) -> Any:
        """Return the content of a file; None if it is not there."""
        path = self.root / key
        if path.exists():
            check_file(path)
        return await super().get(key, *others, **further)


def _zarr_group(path: Path, store: Any, root: str, group: str | None) -> str:
    top = zarr.open(store=store, path=root, mode="r")
    if isinstance(top, zarr.Array):
        return root
    members = [] if group is None and _has_grids(top) else top.members(max_depth=None)
    grids = [n.rpartition("/")[0] for n, m in members if isinstance(m, zarr.Array) and m.ndim > 1]
    every = [n for n, m in members if isinstance(m, zarr.Group)]
    chosen = choose(path, group, grids, ["", *every])
    return "/".join(part for part in (root, chosen) if part)


def _has_grids(top: zarr.Group) -> bool:
    return any(array.ndim > 1 for _, array in top.arrays())


def _check_zip(path: Path) -> str:
    """The folder of a zipped store in its file; refuse members that do not fit into memory."""
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
        largest = max((member.file_size for member in members), default=0)
        check_memory(largest, f"{path}: its largest member", "Unpack it first (unzip)")
        for member in members:
            if member.filename.endswith((*ZARR_FILES, ".zattrs")):
                file.read(member)  # Zarr reads them in tasks, whose errors would come out twice
    stores = [PurePosixPath(m.filename) for m in members if m.filename.endswith(ZARR_FILES)]
    outermost = min(stores, key=lambda name: len(name.parts)).parent
    return "" if str(outermost) == "." else str(outermost)
