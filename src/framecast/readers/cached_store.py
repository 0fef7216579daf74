"""Remote stores of Zarr, of which what is read is kept in the cache."""

import asyncio
import hashlib
import os
from pathlib import Path

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from framecast.base.extras import need


def open_remote_store(path: Path, address: str) -> Store:
    """Return the store of Zarr at an address, whose chunks are kept in `path`."""
    need("fsspec", "remote", address)
    return CachedStore(FsspecStore.from_url(address, read_only=True), path)


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
