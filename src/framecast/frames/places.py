"""Where the points of a grid lie: latitudes, longitudes, distances, areas."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.channels import Coordinate
from framecast.frames.formulas import sphere_spacing
from framecast.frames.frames import Frames

Axis = Literal["latitude", "longitude"]
AXES: tuple[Axis, Axis] = ("latitude", "longitude")

_EVEN = 1e-2
"""Share of a step by which longitudes around the earth may be off."""

_SAME = 1e-3
"""Share of the longest step by which others are shorter at most where all are even, as rounded."""

_CLOSE = 1e-4
"""Difference of the corners of a grid, relative to the largest, that rounding explains."""

_UNITS = {
    "latitude": {"degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"},
    "longitude": {"degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"},
}
_NAMES = {"latitude": {"lat", "latitude", "nlat"}, "longitude": {"lon", "longitude", "nlon"}}


def find_axis(frames: Frames, axis: Axis) -> Coordinate | None:
    """Find the coordinate that holds latitude or longitude, by units, standard name, then name.

    It is over the rows, over the columns, or over both (a curvilinear grid).
    """
    space = set(frames.dims[-2:])
    over = {
        name: c
        for name, c in frames.coordinates.items()
        if c.dims and set(c.dims) <= space and c.values.dtype.kind in "iuf"  # not names of rows
    }

    def said(coordinate: Coordinate, attribute: str) -> str:
        return str(coordinate.attributes.get(attribute, "")).lower()

    for coordinate in over.values():
        if said(coordinate, "units") in _UNITS[axis] or said(coordinate, "standard_name") == axis:
            return coordinate
    return next((c for name, c in over.items() if name.lower() in _NAMES[axis]), None)


def rows_ascend(frames: Frames) -> bool:
    """Whether rows run from south to north, or upwards: pictures then begin with the last row.

    Latitudes tell, also those of each point, and else the coordinate of the rows. An image's rows,
    which have none, run downwards.
    """
    axis = find_axis(frames, "latitude")
    if axis is None or frames.dims[-2] not in axis.dims:
        axis = frames.coordinates.get(frames.dims[-2])
    if axis is None or axis.values.size < 2 or frames.dims[-2] not in axis.dims:
        return False
    dim = axis.dims.index(frames.dims[-2])
    first, last = axis.values.take(0, dim), axis.values.take(-1, dim)
    return bool(np.mean(last > first) > 0.5)


def runs_northward(frames: Frames) -> bool | None:
    """Whether rows run from south to north; None where no latitudes lie along them alone."""
    axis = find_axis(frames, "latitude")
    if axis is None or axis.dims != frames.dims[-2:-1] or axis.values.size < 2:
        return None
    return bool(axis.values[-1] > axis.values[0])


def goes_around(longitudes: Coordinate) -> bool:
    """Whether longitudes go once around the earth at even steps: the last lies by the first."""
    values = np.asarray(longitudes.values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        return False
    steps = np.diff(np.unwrap(values, period=360))
    return bool(np.allclose(np.abs(steps), 360 / len(values), rtol=_EVEN))


def degrees(frames: Frames, axis: Axis) -> Float64[np.ndarray, "H W"]:
    """Return the latitude (degrees north) or longitude (degrees east) of each point.

    Raises:
        UserError: if the frames have no such coordinate.
    """
    coordinate = find_axis(frames, axis)
    if coordinate is None:
        unit = "degrees_north" if axis == "latitude" else "degrees_east"
        raise UserError(
            f"{frames.source} has no {axis}: a coordinate over its rows or columns with units "
            f"{unit} is needed. Its coordinates are {', '.join(frames.coordinates) or 'none'}"
        )
    return over_grid(frames, coordinate)


def grid_spacing(frames: Frames) -> Float64[np.ndarray, "2 H W"]:
    """Return the distance of neighbouring rows and of neighbouring columns, in km.

    From latitudes and longitudes where the frames have them, else from coordinates in m or km.

    Raises:
        UserError: if the frames have neither.
    """
    if find_axis(frames, "latitude") is not None:
        return sphere_spacing(degrees(frames, "latitude"), degrees(frames, "longitude"))
    spacing = []
    for axis, dim in enumerate(frames.dims[-2:]):
        coordinate = frames.coordinates.get(dim)
        units = "" if coordinate is None else str(coordinate.attributes.get("units", ""))
        if coordinate is None or units not in ("m", "metre", "meter", "metres", "meters", "km"):
            raise UserError(
                f"{frames.source}: grid_spacing needs latitudes and longitudes, or coordinates "
                f"{' and '.join(frames.dims[-2:])} in m or km"
            )
        size = 1.0 if units == "km" else 1e-3
        spacing.append(np.abs(np.gradient(over_grid(frames, coordinate), axis=axis)) * size)
    return np.stack(spacing)


def has_areas(frames: Frames) -> bool:
    """Whether the frames tell how large their cells are on the earth."""
    latitude = find_axis(frames, "latitude")
    if latitude is None:
        return False
    return latitude.values.ndim == 1 or find_axis(frames, "longitude") is not None


def area_weights(frames: Frames) -> Float[Tensor, "H W"]:
    """Return weights in proportion to the area of each cell, with mean 1.

    Where latitudes lie along rows or columns, this is their cosine, times the distance to the
    neighbours where that is not the same everywhere. Where each point has a latitude and a
    longitude of its own, it is the area between the ways to the neighbours in both directions;
    points whose place is not known, and their neighbours, count for nothing.

    Raises:
        UserError: if the frames have no latitudes, lack the longitudes of a curved grid, or say of
            no cell how large it is.
    """
    latitudes = degrees(frames, "latitude")
    weights = np.cos(np.deg2rad(latitudes)).clip(min=0)
    along = [c for axis in AXES if (c := find_axis(frames, axis)) is not None]
    if along[0].values.ndim == 1:
        for coordinate in along:
            if coordinate.values.ndim == 1:
                steps = Coordinate(coordinate.dims, _steps(coordinate.values))
                weights = weights * over_grid(frames, steps)
    elif min(frames.grid) > 1:
        weights = _areas(latitudes, degrees(frames, "longitude"))
    if not weights.mean() > 0:
        raise UserError(
            f"{frames.source}: its latitudes and longitudes make cells without an area, by which "
            "none can count"
        )
    return torch.from_numpy((weights / weights.mean()).astype(np.float32))


def _steps(values: np.ndarray) -> Float64[np.ndarray, " N"]:
    """How far neighbours of each point are apart; 1 for all where it is the same everywhere."""
    ascending = np.unwrap(values.astype(np.float64), period=360)
    steps = np.abs(np.diff(ascending))
    if len(steps) == 0 or np.ptp(steps) <= _SAME * steps.max():
        return np.ones(len(values))
    return np.abs(np.gradient(ascending))


def _areas(latitudes: np.ndarray, longitudes: np.ndarray) -> Float64[np.ndarray, "H W"]:
    """Area of the cell around each point of a curved grid, on a sphere of radius 1."""
    phi, lam = np.deg2rad(latitudes), np.deg2rad(longitudes)
    points = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    down, along = np.gradient(points, axis=(0, 1))
    return np.asarray(np.nan_to_num(np.abs(np.sum(np.cross(down, along) * points, -1))))


Corners = Mapping[str, tuple[float, float]]
"""By name of a coordinate, its values at the first and at the last point of a grid."""


def corners(frames: Frames) -> Corners:
    """Return where a grid lies: its latitudes and longitudes, or else its rows and columns.

    Empty where there are no such coordinates, or no numbers at the corners.
    """
    found: dict[str, Coordinate | None] = {axis: find_axis(frames, axis) for axis in AXES}
    if None in found.values():
        found = {dim: frames.coordinates.get(dim) for dim in frames.dims[-2:]}
    ends = {}
    for name, coordinate in found.items():
        if coordinate is None or coordinate.values.dtype.kind not in "iuf":
            return {}
        values = over_grid(frames, coordinate)
        ends[name] = float(values[0, 0]), float(values[-1, -1])
    return ends if np.isfinite([*ends.values()]).all() else {}


def agree(ours: Corners, theirs: Corners) -> bool:
    """Whether grids of one size lie at the same place, as far as both say where they lie.

    Longitudes may be counted from -180 or from 0 degrees.
    """
    if set(ours) != set(theirs):
        return True
    for name in ours:
        first, second = np.array(ours[name]), np.array(theirs[name])
        apart = np.abs(first - second)
        if name == "longitude":
            apart = np.minimum(apart % 360, -apart % 360)
        if apart.max() > _CLOSE * max(np.abs(first).max(), np.abs(second).max()):
            return False
    return True


def over_grid(frames: Frames, coordinate: Coordinate) -> Float64[np.ndarray, "H W"]:
    """Return the values of a coordinate over rows, columns or both at each point."""
    row, _ = frames.dims[-2:]
    values = np.asarray(coordinate.values, np.float64)
    if values.ndim == 2:
        values = values if coordinate.dims[0] == row else values.T
    else:
        values = values[:, None] if coordinate.dims[0] == row else values[None]
    return np.ascontiguousarray(np.broadcast_to(values, frames.grid))
