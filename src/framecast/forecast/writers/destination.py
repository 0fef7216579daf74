"""Where a forecast may be written: nothing is replaced that is no forecast of framecast."""

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import av

from framecast.base.errors import UserError
from framecast.base.whole import PathLike

_CREATOR = "framecast forecast"
MARK = f"{_CREATOR} {version('framecast')}"
"""What is put into every forecast, so that a later one may replace it without being asked."""
MARKED = "created_by"
"""The attribute that holds the mark, in files with attributes."""
GIF_END = b"\x21\xfe" + bytes([len(MARK)]) + MARK.encode() + b"\x00\x3b"
"""How a marked GIF ends: a comment of one block, and the trailer."""


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        begins: the bytes at its beginning, or at the fifth byte; none for a folder.
        marked: whether a file of this kind has the mark of any version of framecast.
    """

    begins: tuple[bytes, ...]
    marked: Callable[[Path], bool]


def check_destination(path: Path, overwrite: bool = False) -> None:
    """Raise a UserError unless a forecast may be written to `path`, which need not exist.

    Args:
        path: its suffix is one of `KINDS`.
        overwrite: whether a file of this kind may be replaced that framecast did not write. A
            folder, or a file of another kind, never is.
    """
    kind = KINDS[path.suffix]
    if not os.path.lexists(path) or _is_marked(path, kind):
        return
    if path.is_dir():
        raise UserError(
            f"{path} is a folder, or a store, that framecast forecast did not write, and is never "
            "replaced: move it away, or choose another --out"
        )
    if not _begins(path, kind):
        raise UserError(
            f"{path} is no {path.suffix} file but something else, and is never replaced: move it "
            "away, or choose another --out"
        )
    if not overwrite:
        raise UserError(
            f"{path} exists, and does not say that framecast wrote it: add --overwrite to replace "
            "it, or choose another --out"
        )


def check_apart(out: Path, inputs: Sequence[PathLike]) -> None:
    """Raise a UserError if writing `out` would change what is read.

    Links, hard links and different spellings of a path are seen through.
    """
    for path in map(Path, inputs):
        place = Path(os.path.realpath(path))
        same = out.exists() and place.exists() and os.path.samefile(out, place)
        if same or out in place.parents or (place in out.parents and _is_store(place)):
            raise UserError(
                f"--out {out} would replace {path}, which is read: choose another --out"
            )


def check_outside(out: PathLike, sources: Sequence[PathLike]) -> None:
    """Raise a UserError if `out` lies in a folder of frames that is read.

    Whoever reads the folder once more would take the forecast for what was observed.
    """
    place = Path(os.path.realpath(out))
    for folder in map(Path, sources):
        if (
            folder.is_dir()
            and not _is_store(folder)
            and Path(os.path.realpath(folder)) in place.parents
        ):
            raise UserError(
                f"--out {out} lies in {folder}, all files of which are read as frames: a later "
                "reading would take the forecast for one of them. Choose an --out elsewhere"
            )


def _is_store(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def _begins(path: Path, kind: Kind) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return any(start.startswith(bytes_) or start[4:].startswith(bytes_) for bytes_ in kind.begins)


def _is_marked(path: Path, kind: Kind) -> bool:
    try:
        return kind.marked(path)
    except Exception:  # a damaged file, or one of another kind, fails in any of the libraries
        return False


def _netcdf_is_marked(path: Path) -> bool:
    """Look for the mark among the bytes: HDF5 may search a damaged file for ever."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        begins = content[:4] == b"\x89HDF"
        return begins and content.find(MARKED.encode()) >= 0 <= content.find(_CREATOR.encode())


def _zarr_is_marked(path: Path) -> bool:
    described = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    return _is_mark(described["attributes"][MARKED])


def _npz_is_marked(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return _is_mark(archive.comment.decode(errors="replace"))


def _gif_is_marked(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-100, os.SEEK_END)
        end = file.read()
    return _is_mark(end[end.rindex(b"\x21\xfe") + 3 : -2].decode())


def _mp4_is_marked(path: Path) -> bool:
    with av.open(path) as file:
        return _is_mark(file.metadata.get("comment"))


def _is_mark(said: object) -> bool:
    return isinstance(said, str) and said.startswith(_CREATOR)


KINDS = {
    ".nc": Kind((b"CDF", b"\x89HDF"), _netcdf_is_marked),
    ".zarr": Kind((), _zarr_is_marked),
    ".npz": Kind((b"PK",), _npz_is_marked),
    ".gif": Kind((b"GIF8",), _gif_is_marked),
    ".mp4": Kind((b"ftyp",), _mp4_is_marked),
}
"""The kinds of files that forecasts are written to, by their suffixes."""
