"""What a user names: a path, a pattern in quotes, an address, or a list of these."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from framecast.base.claim import heal
from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.readers.guard import check_file
from framecast.readers.kinds import kind_of
from framecast.readers.remote import fetch_address, is_address

Paths = PathLike | Sequence[PathLike]
"""A path, a pattern such as 'obs/2019-*.nc', an address, or several of them."""

NAMED = 3
"""Files that a message names at most."""


def find_paths(place: Paths) -> list[Path]:
    """Return the files and folders that are meant, each of which is there.

    A pattern gives its matches in the order of their names with numbers in order of their values;
    a list is kept in its order.

    Raises:
        UserError: if a path does not exist, a pattern matches nothing, or a list is empty.
    """
    places = [place] if isinstance(place, str | Path) else list(place)
    if not places:
        raise UserError("no file is named: give a path, a pattern in quotes, or a list of paths")
    return [path for one in places for path in _matches(str(one))]


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder and its folders that can be read, in the order of their names.

    A Zarr store counts as one file, and hidden names and those of unknown kinds are left out.
    """
    found = []
    for path in sorted(folder.iterdir(), key=natural):
        kind = "unknown" if path.name.startswith(".") else kind_of(path)
        if kind == "folder":
            found += files_in(path)
        elif kind != "unknown" and (path.is_file() or path.is_dir()):
            found.append(path)
    return found


def natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts names, and numbers in them by their values: 2 before 10."""
    parts = [*re.split(r"(\d+)", str(path.with_suffix(""))), path.suffix]
    return [(int(p) if p.isdecimal() else -1, p) for p in parts]


def name_of(place: Paths) -> str:
    """Return what messages call a place: the path or pattern itself, or the first few of a list."""
    if isinstance(place, str | Path):
        return str(place)
    shown = [str(one) for one in place[:NAMED]]
    more = len(place) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def is_pattern(text: str) -> bool:
    """Whether a text stands for many paths, and is not itself the name of a file."""
    return glob.has_magic(text) and not is_address(text) and not Path(text).exists()


def _matches(text: str) -> list[Path]:
    if is_address(text):
        return [fetch_address(text)]
    if "\0" not in text and is_pattern(text):
        found = sorted(map(Path, glob.glob(text, recursive=True)), key=natural)
        if not found:
            raise UserError(f"{text}: no file matches this pattern")
        return found
    path = Path(text)
    heal(path)
    check_file(path)
    return [path]
