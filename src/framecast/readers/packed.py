"""Files that are packed by gzip: unpacked once into the cache."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.base.limits import available_disk, check_disk
from framecast.base.whole import make_once
from framecast.readers.entries import key_of
from framecast.readers.guard import guarded

CHUNK = 1 << 20
"""Bytes that are unpacked at once."""
CHECKED = 1 << 26
"""Bytes after which the room on the disk is looked at again."""


def unpack(path: Path) -> Path:
    """Return the file that a packed one holds, in the cache.

    An entry belongs to the place, the length and the time of change of the packed file. It is whole
    or not there; removing it is always safe.

    Raises:
        UserError: if it is damaged, or there is no room for what it holds.
    """
    target = cache_folder("unpacked") / f"{key_of([path])}-{path.stem}"
    make_once(target, lambda partial: _write(path, partial))
    return target


@contextmanager
def named(path: Path | str, stands_for: Path) -> Iterator[None]:
    """Name the file that users know in messages about the one in the cache that stands for it."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(stands_for), str(path))) from error


def _write(path: Path, partial: Path) -> None:
    hint = "it may be truncated, or damaged"
    guard = guarded(path, "cannot be unpacked", hint)
    with guard, gzip.open(path) as content, partial.open("wb") as out:
        room = 0
        while chunk := content.read(CHUNK):
            if room < len(chunk):
                room = min(CHECKED, available_disk(partial))
                _check_room(path, len(chunk), partial)
            out.write(chunk)
            room -= len(chunk)


def _check_room(path: Path, needed: int, partial: Path) -> None:
    check_disk(
        needed,
        partial,
        f"{path}: unpacking more",
        "Unpack it yourself (gunzip) onto a larger disk, or set the environment variable "
        "FRAMECAST_CACHE to a folder on one",
    )
