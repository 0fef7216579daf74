"""Remote addresses: files are fetched into the cache once, stores of Zarr chunk by chunk."""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.base.fetch import cache_folder
from framecast.base.limits import check_disk
from framecast.base.whole import make_once
from framecast.readers.guard import guarded
from framecast.readers.kinds import ZARR_FILES, suffix_kind

ADDRESS = "address"
"""The file beside an entry of the cache that says where it comes from."""
HINT = "check the address, the connection and your rights there"


def is_address(text: str) -> bool:
    """Whether a text is a remote address, such as https://... or s3://..."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def fetch_address(address: str) -> Path:
    """Return the place in the cache of what a remote address leads to.

    A file is there whole. Of a store of Zarr there is its name alone: what is read of it is fetched
    then, and kept. An entry belongs to the address, and to the length and the mark of change that
    its server gives; removing it is always safe.

    Raises:
        UserError: if the library for such addresses is missing, nothing is there, or there is no
            room for it.
    """
    fsspec = need("fsspec", "remote", address)
    try:
        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UserError(f"{address}: {error}") from error
    with guarded(address, "cannot be reached", HINT):
        is_store = suffix_kind(Path(path)) == "zarr" and not path.endswith(".zip")
        if is_store or any(files.exists(f"{path.rstrip('/')}/{name}") for name in ZARR_FILES):
            return _entry(address, {}, lambda place: place.mkdir(), suffix=".zarr")
        about = files.info(path)
        if about.get("type") == "directory":
            raise UserError(f"{address} is a folder: name the files in it, or a store of Zarr")
        return _entry(address, about, lambda place: _copy(address, files, path, about, place))
    raise AssertionError("guarded lets no error pass in silence")


def address_of(path: Path) -> str | None:
    """Return the address that an entry of the cache stands for; None for other paths."""
    if path.parent.parent != cache_folder("remote"):
        return None
    return (path.parent / ADDRESS).read_text(encoding="utf-8")


def open_remote_store(path: Path, address: str) -> Store:
    """Return the store of Zarr at an address, whose chunks are kept in `path`."""
    need("fsspec", "remote", address)
    return CachedStore(FsspecStore.from_url(address, read_only=True), path)


def _entry(
    address: str, about: dict[str, Any], fill: Callable[[Path], object], suffix: str = ""
) -> Path:
    marks = [str(about.get(name)) for name in ("size", "ETag", "mtime", "LastModified", "updated")]
    key = hashlib.blake2b(json.dumps([address, *marks]).encode(), digest_size=12).hexdigest()
    name = re.sub(r"[^\w.+-]", "_", address.split("?")[0].rstrip("/").rpartition("/")[2]) or "file"
    folder = cache_folder("remote") / key
    name = name if name.endswith(suffix) else f"{name}{suffix}"

    def make(partial: Path) -> None:
        partial.mkdir()
        (partial / ADDRESS).write_text(address, encoding="utf-8")
        fill(partial / name)

    make_once(folder, make)
    return folder / name


def _copy(address: str, files: Any, path: str, about: dict[str, Any], place: Path) -> None:
    check_disk(
        about.get("size") or 0,
        place,
        address,
        "Set the environment variable FRAMECAST_CACHE to a folder on a larger disk",
    )
    files.get_file(path, str(place))


class CachedStore(WrapperStore[Store]):
    """A store of Zarr of which chunks are kept in a folder, and metadata are always asked for.

    A chunk belongs to the metadata of its array, or of the whole store where they stand together:
    where an array has grown, its chunks are fetched anew.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        self.folder = folder
        self.described: dict[str, str] = {}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the content of a key; None if it is not there."""
        parent, _, name = key.rpartition("/")
        if name.startswith(".z") or name == "zarr.json":
            content = await super().get(key, prototype, byte_range)
            if content is not None and name in ("zarr.json", ".zarray", ".zmetadata"):
                digest = hashlib.blake2b(content.to_bytes(), digest_size=8).hexdigest()
                self.described[parent] = digest
            return content
        if byte_range is not None:
            return await super().get(key, prototype, byte_range)
        return await self._get_chunk(key, prototype)

    async def _get_chunk(self, key: str, prototype: BufferPrototype) -> Buffer | None:
        file = self._file(key)
        if file.is_file():
            content = await asyncio.to_thread(file.read_bytes)
            return prototype.buffer.from_bytes(content)
        found = await super().get(key, prototype)
        if found is not None:
            await asyncio.to_thread(_keep, file, found.to_bytes())
        return found

    def _file(self, key: str) -> Path:
        around = [a for a in self.described if not a or key.startswith(f"{a}/")]
        digest = self.described[max(around, key=len)] if around else "unknown"
        name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return self.folder / digest / name


def _keep(file: Path, content: bytes) -> None:
    """Write a chunk, whole or not at all; a full disk keeps none, and is no reason to stop."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
