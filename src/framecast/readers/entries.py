"""Entries of the cache that are made of files: each belongs to what the files are, and how read."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

State = tuple[int, int]
"""When a file was last written, and its size."""


def key_of(paths: Sequence[Path], *settings: object) -> str:
    """Return a name for what is made of files with some settings: other files, another name.

    A file is known by its place, its length and its time of change; a store by those of all files
    in it.
    """
    parts = [_states(path) for path in paths]
    text = json.dumps([parts, [repr(setting) for setting in settings]])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _states(path: Path) -> list[tuple[str, int, int]]:
    return [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in _files(path)]


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for file in path.rglob("*") if file.is_file())


def state_of(path: Path) -> State:
    """Return when a file was last written, and its size."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size
