"""Which spectrum suits a grid, and how long its waves are."""

import numpy as np
from jaxtyping import Float64

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.places import EARTH_RADIUS, find_axis, grid_spacing
from framecast.metrics.spectrum import Bins, SpectrumKind, isotropic_bins, zonal_bins

LEAST_SIDE = 8
"""Least side of a grid with a spectrum to speak of."""
_EVEN = 1e-3
"""Share of a step by which longitudes around the globe may be off."""


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
    if axis is None or axis.dims != frames.dims[-2:-1] or not goes_round(frames):
        return None
    return np.asarray(axis.values, np.float64)


def goes_round(frames: Frames) -> bool:
    """Whether the columns go evenly round the earth, so that the last lies beside the first."""
    axis = find_axis(frames, "longitude")
    columns = frames.grid[1]
    if axis is None or axis.dims != frames.dims[-1:] or columns < 2:
        return False
    steps = np.diff(np.unwrap(np.asarray(axis.values, np.float64), period=360))
    return bool(np.allclose(np.abs(steps), 360 / columns, rtol=_EVEN))


def _spacing(frames: Frames) -> tuple[float, float] | None:
    """Mean distance of rows and of columns in km; None where nothing says so."""
    try:
        rows, columns = (float(spacing.mean()) for spacing in grid_spacing(frames))
    except UserError:
        return None
    return rows, columns
