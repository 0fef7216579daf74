"""The grid of a page: where its cells lie, and cells put together."""

from typing import Any

import numpy as np
from jaxtyping import Float

from framecast.frames.frames import Frames
from framecast.frames.places import AXES, find_axis, rows_ascend


def coarser(fields: Float[np.ndarray, "*any H W"], size: int) -> Float[np.ndarray, "*any _H _W"]:
    """Return the mean of the known values of squares of cells; NaN where none is known."""
    if size == 1:
        return fields
    *outer, height, width = fields.shape
    rows, columns = (-(-side // size) for side in (height, width))
    room = [(0, 0)] * len(outer) + [(0, rows * size - height), (0, columns * size - width)]
    padded = np.pad(fields, room, constant_values=np.nan)
    cells = padded.reshape(*outer, rows, size, columns, size)
    known = np.isfinite(cells)
    total, count = np.where(known, cells, 0).sum((-3, -1)), known.sum((-3, -1))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def describe_grid(frames: Frames, coarse: int) -> dict[str, Any]:
    """Return sides, axes and direction of the grid of a page, as plain values.

    `geographic` is whether rows are latitudes and columns longitudes, in degrees.
    """
    rows, columns = (_axis(frames, n) for n in (0, 1))
    height, width = (-(-side // coarse) for side in frames.grid)
    latitude, longitude = (find_axis(frames, axis) for axis in AXES)
    named = [latitude is not None and latitude.dims == (frames.dims[-2],)]
    named.append(longitude is not None and longitude.dims == (frames.dims[-1],))
    return {
        "rows": height,
        "columns": width,
        "up": rows_ascend(frames),
        "geographic": all(named) and rows["values"] is not None and columns["values"] is not None,
        "y": _coarse(rows, coarse),
        "x": _coarse(columns, coarse),
    }


def _axis(frames: Frames, place: int) -> dict[str, Any]:
    """Name, units and values of the rows or columns; no values where they do not run one way."""
    dim = frames.dims[-2 + place]
    found = find_axis(frames, AXES[place])
    if found is None or found.dims != (dim,):
        found = frames.coordinates.get(dim)
    if found is None or found.values.dtype.kind not in "fiu" or found.values.ndim != 1:
        return {"name": dim, "units": "", "values": None}
    values = found.values.astype(np.float64)
    if find_axis(frames, "longitude") is found:
        values = np.unwrap(values, period=360)
    steps = np.diff(values)
    one_way = bool((steps > 0).all() or (steps < 0).all()) and len(values) > 1
    units = str(found.attributes.get("units", ""))
    return {"name": dim, "units": units, "values": values if one_way else None}


def _coarse(axis: dict[str, Any], size: int) -> dict[str, Any]:
    if axis["values"] is None:
        return axis
    values = axis["values"]
    means = [float(values[n : n + size].mean()) for n in range(0, len(values), size)]
    return axis | {"values": [round(value, 6) for value in means]}
