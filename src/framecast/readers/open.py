"""Frames of whatever a user names: a file, a folder, a pattern, or a list of these."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.frames.frames import Frames
from framecast.frames.lazy import held
from framecast.frames.period import cut_period, thin
from framecast.frames.units import convert_units
from framecast.readers.counted import with_time_units
from framecast.readers.file import on_grid
from framecast.readers.kinds import Kind, kind_of
from framecast.readers.opened import open_lazily
from framecast.readers.paths import Paths, files_in, find_paths, name_of
from framecast.readers.selection import Selection
from framecast.readers.series import read_series
from framecast.readers.video import read_videos


def read_frames(
    path: PathLike | Sequence[PathLike], variables: Sequence[str] | None = None, **further: Any
) -> Frames:
    """Read frames, whatever they are stored in: what a file is follows from its content.

    Args:
        path: a file, a folder of files, a pattern such as 'obs/2019-*.nc', or a list of files,
            which are one series.
        variables: which become prognostic channels, in this order; None for all.
        further: diagnostic, forcings, static, missing, join, times_from, group and the other
            attributes of `readers.selection.Selection`.

    Raises:
        UserError: if it is missing, of an unknown kind, or cannot be read.
    """
    chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in further.items()}
    names = None if variables is None else tuple(variables)
    return open_frames(path, Selection(variables=names, **chosen))


def open_frames(place: Paths, selection: Selection) -> Frames:
    """Read what is selected of a file, or of all files that a place means.

    Videos are sequences, other files one series.

    Raises:
        UserError: as `read_frames`.
    """
    frames = with_time_units(_open(place, selection), selection.time_units)
    frames = convert_units(frames, selection.units)
    part = frames if selection.period is None else cut_period(frames, selection.period)
    part = thin(part, selection.every, selection.anchor)
    if selection.label is not None:
        from framecast.readers.classes import with_labels  # of labelled files: xarray takes a while

        part = with_labels(part, selection.label)
    return part if part is frames or selection.lazy else replace(part, values=held(part.values))


def _open(place: Paths, selection: Selection) -> Frames:
    files, source = files_of(place), name_of(place)
    if not selection.cache:
        return _read(files, source, selection)
    from framecast.readers.rewritten import rewritten  # into Zarr, which takes a while

    return rewritten(_read(files, source, replace(selection, lazy=True)), files, selection)


def _read(files: list[Path], source: str, selection: Selection) -> Frames:
    if len(files) == 1:
        return open_lazily(files[0], selection)
    kinds = {file: kind_of(file) for file in files}
    if set(kinds.values()) == {"video"} and selection.join != "time":
        return on_grid(read_videos(files, selection, source), selection)
    _check_kinds(kinds, source)
    if set(kinds.values()) == {"picture"} and selection.join is None:
        selection = replace(selection, join="time")  # numbered, where names have no times
    return read_series(files, selection, source)


def files_of(place: Paths) -> list[Path]:
    """Return all files that a place stands for, those of folders one by one.

    Raises:
        UserError: if there are none.
    """
    return [file for path in find_paths(place) for file in _files_of(path)]


def _files_of(path: Path) -> list[Path]:
    if kind_of(path) != "folder":
        return [path]
    files = files_in(path)
    if not files:
        raise UserError(f"{path} is a folder that holds no file of frames")
    return files


def _check_kinds(kinds: dict[Path, Kind], source: str) -> None:
    """Refuse files of different kinds, which are hardly one series."""
    first = next(iter(kinds))
    for file, kind in kinds.items():
        if kind != kinds[first]:
            raise UserError(
                f"{source} holds files of several kinds: {first} ({kinds[first]}) and {file} "
                f"({kind}). Name those that belong together by a pattern in quotes, such as "
                f"'{first.parent}/*{first.suffix}'"
            )
