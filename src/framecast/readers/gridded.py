"""NetCDF and Zarr: labelled grids, read through xarray."""

import hashlib
import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from framecast.base.config import nearest
from framecast.base.errors import UserError
from framecast.frames.derived import FORCINGS, STATIC
from framecast.frames.frames import Channel, Coordinate, Frames, StaticFields
from framecast.frames.lazy import HELD, LazyValues
from framecast.readers.actions import make_actions
from framecast.readers.labelled import close_labelled, is_text, open_labelled, values_of
from framecast.readers.selection import EVERYTHING, Selection

SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf", ".zarr")

FINGERPRINTED = 256
"""Frames of a large file that make its fingerprint."""

_TIME_NAMES = {"time", "t", "valid_time", "frame", "date"}
_ROW_NAMES = {"lat", "latitude", "y", "nlat", "rlat", "row", "height"}
_COLUMN_NAMES = {"lon", "longitude", "x", "nlon", "rlon", "column", "width"}
_KEPT_ENCODING = ("units", "calendar", "dtype")


def read_gridded(path: Path, selection: Selection = EVERYTHING) -> Frames:
    """Read a NetCDF 3 or 4 file or a Zarr store.

    Args:
        path: file or store.
        selection: which variables become channels; all that have a time and two more dimensions
            if it names none. Those that change in time must share their dimensions: time, two
            of space, and at most one more, over independent sequences. Static ones have the two
            of space alone.

    Raises:
        UserError: if the file cannot be read, or no variables fit.
    """
    with ExitStack() as stack:
        dataset = open_labelled(path, selection.group)
        stack.callback(close_labelled, dataset, path)
        _check_names(dataset, selection, path)
        first = selection.variables or _grid_variables(dataset, path, selection.others)
        names = [*first, *selection.diagnostic, *selection.forcings]
        dims = _dims(dataset, names, path)
        if empty := [d for d in dims if dataset.sizes[d] == 0]:
            raise UserError(f"{path} holds no frames: {', '.join(empty)} has length 0")
        single = {d: 0 for n in names for d in dataset[n].dims if d not in dims}
        chosen = dataset[names].isel(single, drop=True).transpose(*dims)
        reader = GriddedReader(tuple(chosen[n] for n in names), str(path), selection)
        lazy = selection.lazy or 4 * math.prod(reader.shape) > HELD
        if lazy:
            stack.pop_all()  # the file stays open as long as the reader is there
        return Frames(
            values=LazyValues.of(reader) if lazy else reader.everything(),
            channels=tuple(_channel(dataset[n], selection, path) for n in names),
            dims=dims,
            coordinates=_coordinates(dataset, dims, path),
            attributes=_plain(dataset.attrs),
            source=str(path),
            static=_static(dataset, selection, dims[-2:], path),
            actions=_actions(dataset, selection, dims, path),
            irregular=selection.irregular,
        )


@dataclass(frozen=True, eq=False)
class GriddedReader:
    """Reads variables of an open file a window at a time: a `Reader`.

    Attributes:
        variables: one for each channel, of alike dimensions (sequence,) time, row, column.
        source: the file.
        selection: says which values stand for a missing one.
    """

    variables: tuple[xr.DataArray, ...]
    source: str
    selection: Selection

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        *sequences, t, h, w = self.variables[0].shape
        return (*sequences, 1)[0], t, len(self.variables), h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        several = self.variables[0].ndim == 4
        place = (sequence, slice(start, stop)) if several else (slice(start, stop),)
        return self._stack([values_of(variable[place], self.source) for variable in self.variables])

    def everything(self) -> Float[Tensor, "N T C H W"]:
        """Return all values."""
        return self._stack([values_of(v, self.source) for v in self.variables]).view(self.shape)

    def fingerprint(self) -> str:
        """Return a digest of 256 frames spread evenly: all of a large file would take too long."""
        n, t = self.shape[:2]
        digest = hashlib.blake2b(digest_size=12)
        for place in np.linspace(0, n * t - 1, FINGERPRINTED).astype(int).tolist():
            digest.update(self.read(place // t, place % t, place % t + 1).numpy().data)
        return digest.hexdigest()

    def _stack(self, channels: Sequence[np.ndarray]) -> Tensor:
        return self.selection.numbers(np.stack(channels, axis=-3))


def _check_names(dataset: xr.Dataset, selection: Selection, path: Path) -> None:
    """Raise a UserError for a variable that is not there, or has two roles."""
    names = [*(selection.variables or ()), *selection.others]
    missing = [n for n in names if n not in dataset.data_vars]
    if missing:
        raise UserError(
            f"{path} has no variable {', '.join(missing)}; "
            f"it has {', '.join(map(str, dataset.data_vars))}" + _derived_hint(missing, selection)
        )
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UserError(
            f"{', '.join(twice)} is named twice: a variable is one of data.variables, "
            "data.diagnostic, data.forcings, data.static and data.actions"
        )


def _derived_hint(missing: Sequence[str], selection: Selection) -> str:
    """Say what is derived without a file, where a forcing or static field is missing."""
    for role, known in (("forcings", FORCINGS), ("static", STATIC)):
        for name in missing:
            if name in getattr(selection, role):
                return f". Derived as data.{role} are {', '.join(known)}{nearest(name, [*known])}"
    return ""


def _grid_variables(dataset: xr.Dataset, path: Path, others: Sequence[str]) -> list[str]:
    """The variables that become prognostic channels where none are named."""
    names = [
        str(name)
        for name, variable in dataset.data_vars.items()
        if np.issubdtype(variable.dtype, np.number)
        and name not in others
        and len(_long_dims(variable)) >= 3
        and _time_dim(dataset, _long_dims(variable))
    ]
    if names:
        return sorted(names) if path.is_dir() else names  # a Zarr store keeps no order
    listing = ", ".join(f"{n}{list(v.dims)}" for n, v in dataset.data_vars.items()) or "none"
    raise UserError(
        f"{path} has no variable with a time and two space dimensions. Its variables: {listing}"
    )


def _static(
    dataset: xr.Dataset, selection: Selection, space: tuple[str, ...], path: Path
) -> StaticFields | None:
    """Fields without time; None if none are asked for."""
    if not selection.static:
        return None
    fields = []
    for name in selection.static:
        variable = dataset[name]
        extra = [d for d, n in variable.sizes.items() if d not in space and n > 1]
        if extra or not set(space) <= set(variable.dims):
            raise UserError(
                f"{path}: data.static {name} has dimensions {list(variable.dims)}; a static field "
                f"has {list(space)} alone"
            )
        rest = {d: 0 for d in variable.dims if d not in space}
        fields.append(values_of(variable.isel(rest, drop=True).transpose(*space), path))
    channels = tuple(Channel(n, _plain(dataset[n].attrs), "static") for n in selection.static)
    return StaticFields(selection.numbers(np.stack(fields)), channels)


def _actions(
    dataset: xr.Dataset, selection: Selection, dims: tuple[str, ...], path: Path
) -> Float[Tensor, "N T A"] | None:
    """What is done between frames; None if nothing is asked for."""
    if selection.actions is None:
        return None
    variable, (*sequence, time) = dataset[selection.actions], dims[:-2]
    parts = [d for d in map(str, variable.dims) if d not in (*sequence, time)]
    if time not in variable.dims or len(parts) > 1:
        raise UserError(
            f"{path}: data.actions {selection.actions} has dimensions {list(variable.dims)}; "
            f"needed are {time} and at most one of the numbers in an action"
        )
    over = [d for d in (*sequence, time) if d in variable.dims]
    array = values_of(variable.transpose(*over, *parts), path)
    size = dataset.sizes[sequence[0]] if sequence else 1
    if not sequence or sequence[0] not in variable.dims:
        array = np.broadcast_to(array, (size, *array.shape))
    return make_actions(array if parts else array[..., None], selection, str(path))


def _dims(dataset: xr.Dataset, names: Sequence[str], path: Path) -> tuple[str, ...]:
    """The dimensions in our order: (sequence,) time, row, column."""
    sets = {n: _long_dims(dataset[n]) for n in names}
    dims = sets[names[0]]
    if any(set(d) != set(dims) for d in sets.values()):
        raise UserError(
            f"{path}: the variables have different dimensions ("
            + ", ".join(f"{n}{list(d)}" for n, d in sets.items())
            + "): choose some that share them with --data.variables; fields without time are "
            "named with --data.static"
        )
    time = _time_dim(dataset, dims)
    if time is None or len(dims) not in (3, 4):
        raise UserError(
            f"{path}: {names[0]} has dimensions {list(dims)}; needed are time, two of space, and "
            "at most one of independent sequences. Select a level or rename (xarray's sel, rename)"
        )
    return _ordered(dims, time)


def _ordered(dims: tuple[str, ...], time: str) -> tuple[str, ...]:
    others = [d for d in dims if d != time]
    row = next((d for d in others if d.lower() in _ROW_NAMES), None)
    column = next((d for d in others if d.lower() in _COLUMN_NAMES), None)
    if row is None or column is None:
        row, column = others[-2:]
    return (*(d for d in others if d not in (row, column)), time, row, column)


def _long_dims(variable: xr.DataArray) -> tuple[str, ...]:
    """Dimensions longer than one; a time, row or column of one is a dimension all the same."""
    known = _TIME_NAMES | _ROW_NAMES | _COLUMN_NAMES
    return tuple(str(d) for d, n in variable.sizes.items() if n > 1 or str(d).lower() in known)


def _time_dim(dataset: xr.Dataset, dims: Sequence[Hashable]) -> str | None:
    for dim in map(str, dims):
        coordinate = dataset.coords.get(dim)
        if coordinate is not None and _is_time(coordinate):
            return dim
    return next((d for d in map(str, dims) if d.lower() in _TIME_NAMES), None)


def _is_time(coordinate: xr.DataArray) -> bool:
    attributes: dict[str, Any] = coordinate.attrs
    return (
        np.issubdtype(coordinate.dtype, np.datetime64)
        or (coordinate.dtype == object and not is_text(coordinate))
        or str(attributes.get("axis")) == "T"
        or str(attributes.get("standard_name")) == "time"
    )


def _coordinates(dataset: xr.Dataset, dims: tuple[str, ...], path: Path) -> dict[str, Coordinate]:
    _check_times(dataset, dims[-3], path)
    kept = {}
    for name, coordinate in dataset.coords.items():
        if set(coordinate.dims) <= set(dims):
            kept[str(name)] = Coordinate(
                dims=tuple(map(str, coordinate.dims)),
                values=values_of(coordinate, path),
                attributes=_plain(coordinate.attrs),
                encoding={k: v for k, v in coordinate.encoding.items() if k in _KEPT_ENCODING},
            )
    return kept


def _check_times(dataset: xr.Dataset, time: str, path: Path) -> None:
    """Refuse times that are neither numbers nor dates."""
    axis = dataset.coords.get(time)
    if axis is None or axis.dtype.kind in "iufM" or (axis.dtype == object and not is_text(axis)):
        return
    first = values_of(axis, path).flat[0]
    raise UserError(
        f"{path}: the times {time} are {axis.dtype}, the first {str(first)!r}; needed are numbers, "
        "or dates as ISO 8601 writes them, such as 2019-01-01T06:00"
    )


def _channel(variable: xr.DataArray, selection: Selection, path: Path) -> Channel:
    channel = selection.channel(str(variable.name), _plain(variable.attrs))
    if channel.declares_nonsense:
        warnings.warn(
            f"{path}: the range that {channel.name} declares (valid_range, or valid_min and "
            "valid_max) is not two numbers: it is ignored",
            stacklevel=2,
        )
    return channel


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes without NumPy types, so that any format can carry them on."""
    return {
        str(key): value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in attributes.items()
    }
