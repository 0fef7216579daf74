"""One file of frames, by what it is."""

from collections.abc import Callable
from pathlib import Path

from framecast.base.claim import heal
from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.readers import arrays, gridded
from framecast.readers.guard import check_file
from framecast.readers.kinds import SUFFIXES, Kind, kind_of
from framecast.readers.labelled import close_labelled, open_labelled
from framecast.readers.selection import Selection
from framecast.readers.video import read_videos

_READERS: dict[Kind, Callable[[Path, Selection], Frames]] = {
    "netcdf": gridded.read_gridded,
    "zarr": gridded.read_gridded,
    "numpy": arrays.read_arrays,
    "video": lambda path, selection: read_videos([path], selection),
}


def open_file(path: Path, selection: Selection) -> Frames:
    """Read what is selected of one file of frames, or of a Zarr store.

    Raises:
        UserError: if it is missing, of an unknown kind, or cannot be read.
    """
    heal(path)
    check_file(path)
    read = _READERS.get(kind_of(path))
    if read is None:
        raise UserError(
            f"{path}: cannot tell its kind from its content or its name; readable are "
            + ", ".join(SUFFIXES)
        )
    return read(path, selection)


def names_in(path: Path, selection: Selection) -> tuple[str, ...] | None:
    """Return the names of the variables of a labelled file; None for other kinds.

    Raises:
        UserError: if it cannot be opened.
    """
    if kind_of(path) not in ("netcdf", "zarr"):
        return None
    dataset = open_labelled(path)
    names = tuple(map(str, dataset.data_vars))
    close_labelled(dataset, path)
    return names
