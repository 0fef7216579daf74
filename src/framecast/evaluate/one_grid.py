"""Frames of several files on one grid, in the same units."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.places import AXES, degrees, find_axis
from framecast.frames.region import take_grid
from framecast.frames.units import convert_units
from framecast.readers.joins import choose_channels

_OFF = 0.01
"""Share of the distance of two points by which a point may lie elsewhere."""


def fitting(frames: Frames, grid: Frames, truth: Frames) -> Frames:
    """Return frames on a grid, with the variables and in the units of the truth.

    Raises:
        UserError: if they have others.
    """
    chosen = choose_channels(on_grid(frames, grid), truth.names)
    units = {
        channel.name: true.units
        for channel, true in zip(chosen.channels, truth.channels, strict=True)
        if true.units and channel.units and channel.units != true.units
    }
    return convert_units(chosen, units)


def on_grid(frames: Frames, grid: Frames) -> Frames:
    """Return the rows and columns of a grid, in its order.

    They are found by the coordinates of rows and of columns, and, where both have latitudes and
    longitudes of each point (a curvilinear grid), by these.

    Raises:
        UserError: if there are others.
    """
    chosen: list[np.ndarray | None] = []
    for place, (own, wanted) in enumerate(zip(_axes(frames), _axes(grid), strict=True)):
        if own is None or wanted is None:
            if frames.grid[place] != grid.grid[place]:
                raise UserError(
                    f"{frames.source} has {frames.grid[0]} × {frames.grid[1]} cells, and "
                    f"{grid.source} has {grid.grid[0]} × {grid.grid[1]}: they must be on one grid"
                )
            chosen.append(None)
            continue
        around = 360.0 if place == 1 and find_axis(frames, "longitude") is not None else None
        chosen.append(_found(own, wanted, around, frames, grid))
    rows, columns = _turned(chosen, frames, grid)
    alike = [rows.tolist(), columns.tolist()] == [list(range(n)) for n in frames.grid]
    return frames if alike else take_grid(frames, rows, columns)


def _axes(frames: Frames) -> list[np.ndarray | None]:
    """The coordinates of rows and of columns, where they have one of their own."""
    found: list[np.ndarray | None] = []
    for dim in frames.dims[-2:]:
        over = [c for c in frames.coordinates.values() if c.dims == (dim,)]
        numbers = [c.values for c in over if c.values.dtype.kind in "iuf"]
        own = frames.coordinates.get(dim)
        found.append(own.values if own is not None else numbers[0] if len(numbers) == 1 else None)
    return found


def _found(
    own: np.ndarray, wanted: np.ndarray, around: float | None, frames: Frames, grid: Frames
) -> Int[np.ndarray, " N"]:
    """Places of the values of a coordinate, or of its names, among those of another file."""
    if {own.dtype.kind, wanted.dtype.kind} - set("iuf"):
        names = own.astype(str).tolist()
        for name in wanted.astype(str).tolist():
            if names.count(name) != 1:
                raise _elsewhere(name, frames, grid)
        return np.array([names.index(name) for name in wanted.astype(str).tolist()])
    distance = np.abs(own[None].astype(np.float64) - wanted[:, None])
    if around is not None:
        distance = np.minimum(distance % around, -distance % around)
    spacing = np.abs(np.diff(wanted)).min() if len(wanted) > 1 else 1.0
    places = distance.argmin(1)
    missing = distance.min(1) > _OFF * spacing
    if missing.any():
        raise _elsewhere(f"{wanted[missing][0]:g}", frames, grid)
    return np.asarray(places)


def _turned(
    chosen: Sequence[np.ndarray | None], frames: Frames, grid: Frames
) -> tuple[Int[np.ndarray, " H"], Int[np.ndarray, " W"]]:
    """Rows and columns, of which those that no coordinate of their own found may be turned.

    Raises:
        UserError: if the points lie elsewhere, whichever way rows and columns run.
    """
    ways = [
        [np.arange(size), np.arange(size)[::-1].copy()] if places is None else [places]
        for size, places in zip(frames.grid, chosen, strict=True)
    ]
    orders = [(rows, columns) for rows in ways[0] for columns in ways[1]]
    if not (_is_curvilinear(frames) or _is_curvilinear(grid)):
        return orders[0]
    own, wanted = _points(frames), _points(grid)
    if own is None or wanted is None:
        return orders[0]
    off = _OFF * _spacing(wanted)
    away = [_distance(own[rows][:, columns], wanted) > off for rows, columns in orders]
    for order, missing in zip(orders, away, strict=True):
        if not missing.any():
            return order
    row, column = np.argwhere(away[0])[0]
    north, east = (degrees(grid, axis)[row, column] for axis in AXES)
    raise _elsewhere(f"latitude {north:g}, longitude {east:g}", frames, grid)


def _is_curvilinear(frames: Frames) -> bool:
    """Whether latitudes or longitudes are given for each point."""
    axes = [find_axis(frames, axis) for axis in AXES]
    return any(axis is not None and axis.values.ndim == 2 for axis in axes)


def _points(frames: Frames) -> Float64[np.ndarray, "H W 3"] | None:
    """Each point on a sphere of radius 1; None where latitudes or longitudes are not known."""
    if any(find_axis(frames, axis) is None for axis in AXES):
        return None
    north, east = (np.deg2rad(degrees(frames, axis)) for axis in AXES)
    flat = np.cos(north)
    return np.stack([flat * np.cos(east), flat * np.sin(east), np.sin(north)], axis=-1)


def _distance(
    points: Float64[np.ndarray, "*any 3"], others: Float64[np.ndarray, "*any 3"]
) -> Float64[np.ndarray, "*any"]:
    """Length of the straight line between points; NaN where one of them is not known."""
    return np.asarray(np.linalg.norm(points - others, axis=-1))


def _spacing(points: Float64[np.ndarray, "H W 3"]) -> float:
    """The usual distance of neighbours; of a single point, a degree."""
    along = _distance(points[1:], points[:-1]), _distance(points[:, 1:], points[:, :-1])
    between = np.concatenate([each.ravel() for each in along])
    between = between[between > 0]  # neither unknown nor doubled, as at the seam of an ocean grid
    return float(np.median(between)) if len(between) else float(np.deg2rad(1))


def _elsewhere(where: str, frames: Frames, grid: Frames) -> UserError:
    return UserError(
        f"{frames.source} has no point at {where}, where {grid.source} has one: they must be on "
        "one grid; interpolate one of them first (xarray's interp_like)"
    )
