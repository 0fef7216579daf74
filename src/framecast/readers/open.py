"""A file of frames, by what it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from framecast.base.claim import heal
from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.frames.frames import Frames
from framecast.readers import arrays, decoding, gridded
from framecast.readers.guard import check_file
from framecast.readers.selection import Selection
from framecast.readers.video import read_videos

READABLE = (*gridded.SUFFIXES, *arrays.SUFFIXES, *decoding.SUFFIXES)
"""Suffixes of the files that are read."""


def read_frames(path: PathLike, variables: Sequence[str] | None = None, **further: Any) -> Frames:
    """Read a file of frames, by its suffix.

    Args:
        path: NetCDF, Zarr, NumPy or video.
        variables: which become prognostic channels, in this order; None for all.
        further: diagnostic, forcings, static, missing and the other attributes of
            `readers.selection.Selection`.

    Raises:
        UserError: if it is missing, of an unknown kind, or cannot be read.
    """
    chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in further.items()}
    names = None if variables is None else tuple(variables)
    return open_frames(Path(path), Selection(variables=names, **chosen))


def open_frames(path: Path, selection: Selection) -> Frames:
    """Read what is selected of a file of frames, by its suffix.

    Raises:
        UserError: as `read_frames`.
    """
    heal(path)
    check_file(path)
    if path.suffix in gridded.SUFFIXES:
        return gridded.read_gridded(path, selection)
    if path.suffix in arrays.SUFFIXES:
        return arrays.read_arrays(path, selection)
    if path.suffix.lower() in decoding.SUFFIXES:
        return read_videos([path], selection)
    raise UserError(
        f"{path}: cannot tell its kind from its name; readable are {', '.join(READABLE)}"
    )
