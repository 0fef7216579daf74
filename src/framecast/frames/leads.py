"""Lead times for people: in units in which they are whole numbers."""

import numpy as np

from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames
from framecast.frames.times import seconds_of

_DAYS_FROM = 48
"""Hours from which on lead times are said in days, where they are halves of one."""
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
    if frames.irregular and frames.length > steps:
        return _uneven(axis, steps)
    if step.months:
        return leads * step.months, "months"
    seconds = step.seconds
    if seconds is None:
        return np.round(leads * float(step.difference), 9), str(axis.attributes.get("units", ""))
    name, size = next(((n, s) for n, s in _TIME_UNITS if seconds % s == 0), ("s", 1))
    return leads * (seconds / size), name


def _uneven(axis: Coordinate, steps: int) -> tuple[np.ndarray, str]:
    """The times since the frame before the last K ones."""
    ahead = axis.values[-steps:] - axis.values[-steps - 1]
    seconds = [seconds_of(difference) for difference in ahead]
    known = [second for second in seconds if second is not None]
    if len(known) < len(seconds):
        return ahead.astype(np.float64), str(axis.attributes.get("units", ""))
    units = (unit for unit in _TIME_UNITS if all(second % unit[1] == 0 for second in known))
    name, size = next(units, ("s", 1))
    return np.array(known) / size, name


def spoken(times: np.ndarray, units: str) -> list[str]:
    """Write lead times as people say them: 18 h, 2.5 days, 3 frames.

    Args:
        times: [K], as `lead_times` gives them.
        units: of the times.
    """
    units = "" if units == "1" else units
    if units == "h" and times[-1] >= _DAYS_FROM:
        return [
            f"{t / 24:g} days" if t >= _DAYS_FROM and t % 12 == 0 else f"{t:g} h" for t in times
        ]
    one = {"days": "day", "months": "month", "frames": "frame"}
    return [f"{time:g} {one.get(units, units) if time == 1 else units}".strip() for time in times]


def with_units(name: str, units: str) -> str:
    """Write units behind a name; nothing for what has none."""
    return f"{name} ({units})" if units not in ("", "1") else name
