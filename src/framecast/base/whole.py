"""Files that are whole or not there: written under a temporary name, then renamed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from framecast.base.claim import PathLike, claim
from framecast.base.disk import full_disk_named
from framecast.base.errors import UserError
from framecast.base.hidden import clear, former_of, partial_of, remove

__all__ = ["PathLike", "make_once", "whole", "write_text"]


@contextmanager
def whole(path: PathLike, replaces_folder: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it when the block ends without an error.

    Works for files and for folders. What stood at `path` stays until then, and what was
    begun is removed when the block fails. A link is followed: what it leads to is written.

    Args:
        path: the file or folder to write.
        replaces_folder: whether a folder that stands there may be replaced: who says so has
            looked at what it holds.

    Raises:
        UserError: if a folder stands there that may not be replaced, another process is writing
            there, or the disk is full.
    """
    with claim(path) as place:
        if place.is_dir() and not replaces_folder:
            raise UserError(f"{path} is a folder: nothing was written; choose another name")
        clear(place)
        partial = partial_of(place)
        try:
            with full_disk_named(place):
                yield partial
            _follow_umask(partial)
            _move(partial, place)
        finally:
            remove(partial)


def make_once(path: Path, make: Callable[[Path], object]) -> None:
    """Make a file or folder of a cache, unless it is there; wait for a process that is at it.

    Args:
        path: its place.
        make: makes it, under the temporary name that it is given.

    Raises:
        UserError: if the disk is full.
    """
    if path.exists():
        return
    with claim(path, wait=True):
        if not path.exists():
            with whole(path) as partial:
                make(partial)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _move(partial: Path, place: Path) -> None:
    """Rename a file or folder to its place; a folder that stands there stays until then.

    A process that is killed between the two renamings leaves both folders under hidden names:
    `hidden.recover` puts the former one back.
    """
    if place.is_dir():
        place.rename(former_of(place))
    os.replace(partial, place)
    remove(former_of(place))


def _follow_umask(partial: Path) -> None:
    """Give a file the mode of any new file: some libraries write for the owner alone."""
    if partial.is_file():
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
