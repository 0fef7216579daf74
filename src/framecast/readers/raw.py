"""Labelled files of each kind as xarray has them, before anything is decoded."""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import xarray as xr
import zarr
from zarr.storage import LocalStore, ZipStore

from framecast.base.errors import UserError, nearest
from framecast.base.limits import check_memory
from framecast.readers.geotiff import open_geotiff
from framecast.readers.grib import open_grib
from framecast.readers.guard import check_file
from framecast.readers.hdf5 import read_plainly
from framecast.readers.kinds import ZARR_FILES, kind_of
from framecast.readers.odim import is_odim, open_odim
from framecast.readers.remote import CachedStore, address_of, open_remote_store

OPTIONS: dict[str, Any] = {"decode_cf": False, "cache": False, "create_default_indexes": False}
"""Nothing is read when a file is opened, so that sizes can be looked at first."""


def open_raw(path: Path, group: str | None) -> xr.Dataset:
    """Open a file without decoding or reading anything.

    Args:
        path: NetCDF 3 or 4 or other HDF5; or a Zarr store, which may be zipped.
        group: where the variables are; None for the only group that holds some.

    Raises:
        UserError: if there is no such group, or several hold variables and none is named.
        Exception: whatever the libraries raise.
    """
    kind = kind_of(path)
    if kind == "zarr":
        return _open_zarr(path, group)
    if kind == "grib":
        return open_grib(path, group)
    if kind == "geotiff":
        return open_geotiff(path)
    engine = _netcdf_engine(path)
    if engine == "scipy":
        _check_group(path, group, [""])
        return xr.open_dataset(path, engine=engine, **OPTIONS)
    if is_odim(path):
        return open_odim(path, group)
    place = choose_group(path, group)
    # HDF5 without names of dimensions opens, and is described.
    options = {**OPTIONS, "engine": engine, "phony_dims": "access"}
    labelled = xr.open_dataset(path, group=place or None, **options)
    dataset = read_plainly(labelled, path, place)
    outer = [str(parent) for parent in PurePosixPath(place).parents] if place else []
    return _with_axes(dataset, outer, lambda group: xr.open_dataset(path, group=group, **options))


def choose_group(path: Path, group: str | None) -> str:
    """Return the group of an HDF5 file that is read; the empty text for its root.

    Raises:
        UserError: as `open_raw`.
    """
    with h5py.File(path) as file:
        grids, every = [], [""]

        def look(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                every.append(name)
            elif is_grid(item):
                grids.append(name.rpartition("/")[0])

        file.visititems(look)
    return _choose(path, group, grids, every)


def is_grid(item: Any) -> bool:
    """Whether what stands in an HDF5 file is an array of numbers of two dimensions or more."""
    return isinstance(item, h5py.Dataset) and item.ndim > 1 and item.dtype.kind in "iufb"


def _choose(path: Path, group: str | None, grids: Iterable[str], every: Iterable[str]) -> str:
    """The group that is asked for; or the root, if it holds grids; or the only one that does."""
    holding = list(dict.fromkeys(grids))
    if group is not None:
        return _check_group(path, group, [*holding, *every])
    if not holding or "" in holding:
        return ""
    if len(holding) > 1:
        raise UserError(
            f"{path} holds variables in several groups: {', '.join(holding)}. Choose one with "
            "data.group"
        )
    return holding[0]


def _check_group(path: Path, group: str | None, known: list[str]) -> str:
    """The name of a group without slashes at its ends, if it is there."""
    name = (group or "").strip("/")
    if name not in known:
        groups = [other for other in dict.fromkeys(known) if other]
        there = f"it has {', '.join(groups)}" if groups else "it has no groups"
        raise UserError(f"{path} has no group {name}{nearest(name, groups)}: {there}")
    return name


def _with_axes(
    dataset: xr.Dataset, outer: Iterable[str], open_group: Callable[[str], xr.Dataset]
) -> xr.Dataset:
    """A group together with the coordinates of its dimensions that stand in groups around it."""
    for parent in outer:
        missing = [dim for dim in dataset.dims if dim not in dataset.variables]
        with open_group("/" if parent == "." else parent) as around:
            found = {
                name: around.variables[name].load() for name in missing if name in around.variables
            }
        fitting = {n: v for n, v in found.items() if v.sizes == {n: dataset.sizes[n]}}
        close = dataset.close
        dataset = dataset.assign(fitting)
        dataset.set_close(close)
    return dataset


class _Files(LocalStore):
    """The files of a Zarr store, which reads no pipe or device in their place."""

    async def get(self, key: str, *others: Any, **further: Any) -> Any:
        """Return the content of a file; None if it is not there."""
        path = self.root / key
        if path.exists():
            check_file(path)
        return await super().get(key, *others, **further)


def _open_zarr(path: Path, group: str | None) -> xr.Dataset:
    store, place = open_store(path, group)
    try:
        opened = xr.open_dataset(
            store,
            group=place or None,
            engine="zarr",
            consolidated=_is_consolidated(store, place),
            **OPTIONS,
        )
    except BaseException:
        store.close()
        raise

    def close_all() -> None:
        opened.close()
        store.close()

    dataset = opened.copy()
    dataset.set_close(close_all)
    return dataset


def _is_consolidated(store: Any, place: str) -> bool:
    """Whether a remote store has all metadata in one place: most servers list no folders."""
    if not isinstance(store, CachedStore):
        return False
    top: Any = zarr.open_group(store=store, path=place, mode="r")
    return top.metadata.consolidated_metadata is not None


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


def _zarr_group(path: Path, store: Any, root: str, group: str | None) -> str:
    top = zarr.open(store=store, path=root, mode="r")
    if isinstance(top, zarr.Array):
        return root
    members = [] if group is None and _has_grids(top) else top.members(max_depth=None)
    grids = [n.rpartition("/")[0] for n, m in members if isinstance(m, zarr.Array) and m.ndim > 1]
    every = [n for n, m in members if isinstance(m, zarr.Group)]
    chosen = _choose(path, group, grids, ["", *every])
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


def _netcdf_engine(path: Path) -> str:
    """NetCDF 3 files begin with CDF; NetCDF 4 files are HDF5."""
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] in (b"CDF\x01", b"CDF\x02"):
        return "scipy"
    if start == b"\x89HDF\r\n\x1a\n":
        return "h5netcdf"
    if start[:4] == b"CDF\x05":
        raise UserError(
            f"{path} is a NetCDF file of the kind CDF-5 (64-bit data, as PnetCDF writes it), which "
            f"is not read. Convert it first: nccopy -k nc4 {path.name} {path.stem}_nc4.nc"
        )
    raise UserError(f"{path} is neither NetCDF 3 nor NetCDF 4: its first bytes are {start!r}")
