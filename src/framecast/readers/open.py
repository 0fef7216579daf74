"""A file of frames, by what it is."""

from collections.abc import Sequence
from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.frames.frames import Frames
from framecast.readers import arrays, decoding, gridded
from framecast.readers.video import read_videos

READABLE = (*gridded.SUFFIXES, *arrays.SUFFIXES, *decoding.SUFFIXES)
"""Suffixes of the files that are read."""


def read_frames(
    path: PathLike,
    variables: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
    rate: float | None = None,
) -> Frames:
    """Read a file of frames, by its suffix.

    Args:
        path: NetCDF, Zarr, NumPy or video.
        variables: which become channels, in this order; None for all.
        size: (H, W) to which a video is resized; None for its own.
        rate: frames a second that are taken from a video; None for all.

    Raises:
        UserError: if it is missing, of an unknown kind, or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if path.suffix in gridded.SUFFIXES:
        return gridded.read_gridded(path, variables)
    if path.suffix in arrays.SUFFIXES:
        return arrays.read_arrays(path, variables)
    if path.suffix.lower() in decoding.SUFFIXES:
        return read_videos([path], variables, size, rate)
    raise UserError(
        f"{path}: cannot tell its kind from its name; readable are {', '.join(READABLE)}"
    )
