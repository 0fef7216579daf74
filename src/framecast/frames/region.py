"""A part of the grid, between coordinates or between places: data.region."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.channels import Coordinate
from framecast.frames.chunks import Chunks
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Reader, Values, stored_in
from framecast.frames.places import find_axis, goes_around, over_grid, runs_northward
from framecast.frames.times import readable

COUNTED = ("row", "column")
"""Names that count places from 0, rather than speak of a coordinate."""

Ends = Sequence[int | float]
"""Least and greatest value, both included."""


def check_region(region: Mapping[str, Any]) -> None:
    """Raise a ValueError unless each name has a least and a greatest value."""
    for name, ends in region.items():
        two = isinstance(ends, list | tuple) and len(ends) == 2
        if not two or not all(isinstance(end, int | float) for end in ends):
            raise ValueError(f"region of {name} must be [least, greatest], not {ends}")
        if name in COUNTED and not all(end == int(end) >= 0 for end in ends):
            raise ValueError(f"region of {name} {ends} must be places, whole numbers from 0")


def cut_region(frames: Frames, region: Mapping[str, Ends]) -> Frames:
    """Return the part of the grid that lies in a region; nothing is read for it.

    Where rows and columns do not follow the coordinates, it is the smallest rectangle of the grid
    that holds all points of the region. A region across the edge of a grid that goes around the
    earth is put together, and its longitudes ascend.

    Args:
        frames: on the whole grid.
        region: least and greatest value, both included, by the name of a coordinate over rows or
            columns, or by latitude, longitude, row or column (counted from 0). Longitudes may be
            counted to 180 or to 360, and [350, 10] crosses Greenwich.

    Raises:
        UserError: if there is no such coordinate, or no point in the region.
    """
    if not region:
        return frames
    inside = np.ones(frames.grid, bool)
    for name, ends in region.items():
        inside &= _inside(frames, name, ends)
    if not inside.any():
        raise UserError(f"{frames.source}: no point lies in all of data.region {dict(region)}")
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    rows, between = _between(rows), _between(columns)
    axis = find_axis(frames, "longitude")
    if len(between) == len(columns) or axis is None or axis.values.ndim > 1:
        return take_grid(frames, rows, between)
    if not goes_around(axis):
        raise UserError(
            f"{frames.source}: data.region {dict(region)} holds both edges of the grid, and not "
            "what lies between them: choose one side"
        )
    return take_grid(_ascending(frames, axis, columns), rows, _behind_the_gap(columns))


def turn_rows(frames: Frames, northward: bool | None) -> Frames:
    """Return frames whose rows run as they should; nothing is read for it.

    Args:
        frames: with latitudes along rows; others are returned as they are.
        northward: whether rows run from south to north; None for any way.
    """
    if northward is None or runs_northward(frames) in (None, northward):
        return frames
    height, width = frames.grid
    return take_grid(frames, np.arange(height)[::-1].copy(), np.arange(width))


@runtime_checkable
class Cuttable(Reader, Protocol):
    """A reader that reads a part of its grid alone, without the rest."""

    def cut(self, rows: Int[np.ndarray, " H"], columns: Int[np.ndarray, " W"]) -> Reader:
        """Return a reader of these rows and columns."""


@dataclass(frozen=True, eq=False)
class RegionReader:
    """Gives rows and columns of what another reader reads whole: a `Reader`."""

    whole: Reader
    rows: Int[np.ndarray, " H"]
    columns: Int[np.ndarray, " W"]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        return *self.whole.shape[:3], len(self.rows), len(self.columns)

    @property
    def source(self) -> str:
        """Where the values come from."""
        return self.whole.source

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        values = self.whole.read(sequence, start, stop)
        return values[..., self.rows, :][..., self.columns]

    @property
    def chunks(self) -> Chunks | None:
        """How the frames are stored."""
        return stored_in(self.whole)

    def fingerprint(self) -> str:
        """Return a digest of the whole, and of the part."""
        return f"{self.whole.fingerprint()} {self.rows.tolist()} {self.columns.tolist()}"


def _inside(frames: Frames, name: str, ends: Ends) -> Bool[np.ndarray, "H W"]:
    """Where the grid lies between two values of a coordinate."""
    low, high = ends
    if name in COUNTED:
        axis = COUNTED.index(name)
        size = frames.grid[axis]
        if not low <= high < size:
            raise UserError(
                f"{frames.source}: data.region of {name} [{low:g}, {high:g}] must be two of its "
                f"{size} {name}s, 0 to {size - 1}, the smaller one first"
            )
        places = np.indices(frames.grid)[axis]
        return np.asarray((places >= low) & (places <= high))
    coordinate = _coordinate(frames, name)
    values = over_grid(frames, coordinate)
    if coordinate is find_axis(frames, "longitude"):
        width = high - low if high - low >= 360 else (high - low) % 360
        inside = (values - low + 1e-6) % 360 <= width + 2e-6
    else:
        inside = (values >= low) & (values <= high)
    if not inside.any():
        span = f"{readable(float(values.min()))} to {readable(float(values.max()))}"
        raise UserError(
            f"{frames.source}: {name} goes from {span}, and no point lies in data.region "
            f"{name} [{low:g}, {high:g}]"
        )
    return np.asarray(inside)


def _coordinate(frames: Frames, name: str) -> Coordinate:
    space = set(frames.dims[-2:])
    over = {n: c for n, c in frames.coordinates.items() if c.dims and set(c.dims) <= space}
    found = over.get(name)
    if found is None and name == "latitude":
        found = find_axis(frames, "latitude")
    if found is None and name == "longitude":
        found = find_axis(frames, "longitude")
    if found is None:
        there = ", ".join([*over, *COUNTED])
        raise UserError(
            f"{frames.source} has no coordinate {name} over its rows or columns, which "
            f"data.region asks for; it has {there}"
        )
    return found


def _between(places: Int[np.ndarray, " N"]) -> Int[np.ndarray, " M"]:
    """All places from the first to the last."""
    return np.arange(places[0], places[-1] + 1)


def _behind_the_gap(places: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Places around a circle, that begin behind the largest gap in their order."""
    return np.roll(places, -1 - int(np.argmax(np.diff(places))))


def _ascending(frames: Frames, axis: Coordinate, columns: Int[np.ndarray, " W"]) -> Frames:
    """Frames whose longitudes ascend along columns that cross the edge of the grid."""
    name = next(name for name, other in frames.coordinates.items() if other is axis)
    order = _behind_the_gap(columns)
    shift = np.zeros(len(axis.values), axis.values.dtype)
    before = order[: int(np.argmin(order))]
    shift[before] = -360 if axis.values[before[0]] > 180 else 0
    shift[np.setdiff1d(order, before)] = 0 if shift[before[0]] else 360
    bounds = str(axis.attributes.get("bounds", ""))
    moved = {name: replace(axis, values=axis.values + shift)}
    if (ends := frames.coordinates.get(bounds)) is not None and ends.dims[0] == axis.dims[0]:
        moved[bounds] = replace(ends, values=ends.values + shift[:, None])
    return replace(frames, coordinates={**frames.coordinates, **moved})


def take_grid(frames: Frames, rows: np.ndarray, columns: np.ndarray) -> Frames:
    """Return some rows and columns, in any order; nothing is read for it."""
    chosen = dict(zip(frames.dims[-2:], (rows, columns), strict=True))
    static = frames.static
    if static is not None:
        static = static._replace(values=static.values[:, rows][:, :, columns])
    return replace(
        frames,
        values=_take_values(frames.values, rows, columns),
        coordinates={name: _take_along(c, chosen) for name, c in frames.coordinates.items()},
        static=static,
    )


def _take_values(values: Values, rows: np.ndarray, columns: np.ndarray) -> Tensor | LazyValues:
    if isinstance(values, Tensor):
        return values[..., rows, :][..., columns]
    whole = values.reader
    part = whole.cut(rows, columns) if isinstance(whole, Cuttable) else None
    return replace(values, reader=part or RegionReader(whole, rows, columns))


def _take_along(coordinate: Coordinate, chosen: Mapping[str, np.ndarray]) -> Coordinate:
    values = coordinate.values
    for axis, dim in enumerate(coordinate.dims):
        if dim in chosen:
            values = values.take(chosen[dim], axis)
    return replace(coordinate, values=values)
