"""Which spectrum suits a grid, and how long its waves are."""

import numpy as np
from jaxtyping import Float64

from framecast.base.errors import UserError
from framecast.frames.formulas import EARTH_RADIUS
from framecast.frames.frames import Frames
from framecast.frames.places import find_axis, goes_around, grid_spacing
from framecast.metrics.spectrum import Bins, SpectrumKind, isotropic_bins, zonal_bins

LEAST_SIDE = 8
"""Least side of a grid with a spectrum to speak of."""


def find_bins(frames: Frames, kind: SpectrumKind | None, periodic: bool) -> Bins:
    """Choose the spectrum of frames: zonal on a globe, else isotropic.

    Args:
        frames: that have the grid.
        kind: which is wanted; None to choose.
        periodic: whether fields go on from one edge to the other.

    Raises:
        UserError: if a zonal one is wanted of a grid that does not go round the earth.
    """
    latitudes = globe_rows(frames)
    if kind == "zonal" and latitudes is None:
        raise UserError(
            f"{frames.source}: --spectrum zonal needs a latitude for each row and longitudes that "
            "go evenly round the earth: take --spectrum windowed"
        )
    if latitudes is not None and kind in (None, "zonal"):
        return zonal_bins(latitudes, frames.grid[1], EARTH_RADIUS)
    chosen = kind or ("periodic" if periodic else "windowed")
    return isotropic_bins(frames.grid, chosen, _spacing(frames))


def globe_rows(frames: Frames) -> Float64[np.ndarray, " H"] | None:
    """Return the latitude of each row, where each row goes round the earth; else None."""
    axis = find_axis(frames, "latitude")
    if axis is None or axis.dims != frames.dims[-2:-1] or not columns_wrap(frames):
        return None
    return np.asarray(axis.values, np.float64)


def columns_wrap(frames: Frames) -> bool:
    """Whether the last column lies beside the first, around the earth."""
    axis = find_axis(frames, "longitude")
    return axis is not None and axis.dims == frames.dims[-1:] and goes_around(axis)


def _spacing(frames: Frames) -> tuple[float, float] | None:
    """Mean distance of rows and of columns in km; None where nothing says so."""
    try:
        rows, columns = (float(spacing.mean()) for spacing in grid_spacing(frames))
    except UserError:
        return None
    return rows, columns
