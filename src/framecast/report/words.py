"""Words and ticks that the table and the pictures share."""

import math

import numpy as np

from framecast.evaluate import Forecasts
from framecast.frames.frames import Frames

_TIME_UNITS = (("days", 86400), ("h", 3600), ("min", 60))


def lead_times(frames: Frames, steps: int) -> tuple[np.ndarray, str]:
    """Return the times of leads 1..K and their units.

    Args:
        frames: frames whose time axis counts.
        steps: K.

    Returns:
        [K], and days, h, min, s, months, what the axis gives for plain numbers (maybe
        nothing), or frames where there is no axis.
    """
    leads, step = np.arange(1, steps + 1), frames.step
    axis = frames.coordinates.get(frames.time_dim)
    if axis is None or step is None:
        return leads, "frames"
    if step.months:
        return leads * step.months, "months"
    seconds = step.seconds
    if seconds is None:
        return np.round(leads * float(step.difference), 9), str(axis.attributes.get("units", ""))
    name, size = next(((n, s) for n, s in _TIME_UNITS if seconds % s == 0), ("s", 1))
    return leads * (seconds / size), name


def title(forecasts: Forecasts, space: str = " ") -> str:
    """Name a model, with the number of its seeds where there are several."""
    seeds = len(forecasts.runs)
    return f"{forecasts.label}{space}({seeds} seeds)" if seeds > 1 else forecasts.label


def chosen(count: int, most: int) -> np.ndarray:
    """Up to `most` of the places 0..count-1: both ends, and between them lead times that step."""
    if count <= most:
        return np.arange(count)
    stride = math.ceil(count / (most - 2))
    return np.unique([0, *range(stride - 1, count, stride), count - 1])


def with_units(name: str, units: str) -> str:
    """Write units behind a name; nothing for what has none."""
    return f"{name} ({units})" if units not in ("", "1") else name
