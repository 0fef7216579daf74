"""One file of frames, by what it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from framecast.base.claim import heal
from framecast.base.errors import UserError
from framecast.frames.coarsen import coarsen
from framecast.frames.frames import Frames
from framecast.frames.lazy import held
from framecast.frames.region import cut_region, turn_rows
from framecast.readers import arrays
from framecast.readers.guard import check_file
from framecast.readers.kinds import GROUPED, LABELLED, SUFFIXES, Kind, kind_of
from framecast.readers.packed import named, unpack
from framecast.readers.pictures import read_pictures
from framecast.readers.remote import address_of
from framecast.readers.selection import Selection
from framecast.readers.video import read_videos

# What reads labelled files is imported where one is read: xarray takes a third of a second.


def _read_labelled(path: Path, selection: Selection) -> Frames:
    """A labelled file; HDF5 and Zarr may hold arrays without labels instead."""
    from framecast.readers.contents import is_unlabelled

    if is_unlabelled(path, selection.group):
        return arrays.read_contents(path, selection)
    return _read_gridded(path, selection)


def _read_gridded(path: Path, selection: Selection) -> Frames:
    from framecast.readers.gridded import read_gridded

    return read_gridded(path, selection)


_READERS: dict[Kind, Callable[[Path, Selection], Frames]] = {
    "netcdf": _read_labelled,
    "zarr": _read_labelled,
    "grib": _read_gridded,
    "geotiff": _read_gridded,
    "numpy": arrays.read_arrays,
    "matlab": arrays.read_contents,
    "torch": arrays.read_contents,
    "safetensors": arrays.read_contents,
    "picture": read_pictures,
    "video": lambda path, selection: read_videos([path], selection),
}


def open_file(path: Path, selection: Selection) -> Frames:
    """Read what is selected of one file of frames, or of a Zarr store.

    Raises:
        UserError: if it is missing, of an unknown kind, or cannot be read, or if it has no such
            region, or blocks do not divide its grid.
    """
    return on_grid(_open_whole(path, selection), selection)


def on_grid(frames: Frames, selection: Selection) -> Frames:
    """Return the part of the grid that is selected, as coarse, and with its rows in order.

    Raises:
        UserError: if there is no such region, or blocks do not divide it.
    """
    size, count = selection.size, selection.coarsen
    grid = None if size is None else (size[0] // count, size[1] // count)
    part = coarsen(cut_region(frames, selection.region), count, selection.cells, grid)
    part = turn_rows(part, selection.northward)
    unread = part is frames or selection.lazy
    return part if unread else replace(part, values=held(part.values))


def _open_whole(path: Path, selection: Selection) -> Frames:
    heal(path)
    check_file(path)
    if address := address_of(path):
        with named(address, path):
            return replace(_open(path, selection), source=address)
    return _open(path, selection)


def _open(path: Path, selection: Selection) -> Frames:
    kind = kind_of(path)
    if kind == "gzip":
        return _open_packed(path, selection)
    read = _READERS.get(kind)
    if read is None:
        raise UserError(
            f"{path}: cannot tell its kind from its content or its name; readable are "
            + ", ".join(SUFFIXES)
        )
    if selection.group is not None and kind not in GROUPED:
        raise UserError(
            f"{path} has no groups, of which data.group {selection.group} names one: leave it out"
        )
    return read(path, selection)


def _open_packed(path: Path, selection: Selection) -> Frames:
    inner = unpack(path)
    if kind_of(inner) in ("gzip", "folder"):
        raise UserError(f"{path} is packed twice: unpack it first (gunzip)")
    with named(path, inner):
        return replace(_open_whole(inner, selection), source=str(path))


def names_in(path: Path, selection: Selection) -> tuple[str, ...] | None:
    """Return the names of the variables of a labelled file; None for other kinds.

    Raises:
        UserError: if it cannot be opened.
    """
    if kind_of(path) == "gzip":
        return names_in(unpack(path), selection)
    kind = kind_of(path)
    if kind not in LABELLED:
        return None
    from framecast.readers.contents import is_unlabelled
    from framecast.readers.labelled import close_labelled, open_labelled

    if kind in ("netcdf", "zarr") and is_unlabelled(path, selection.group):
        return None
    dataset = open_labelled(path, selection.group)
    names = tuple(map(str, dataset.data_vars))
    close_labelled(dataset, path)
    return names
