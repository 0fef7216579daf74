"""How far frames lie apart, as a user says it: a number of frames, or a duration such as 6 h."""

import math
import re

import numpy as np

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.times import in_words

Every = int | str
"""How many frames, or how long, such as 6 h."""

_UNITS = {
    ("s", "sec", "second", "seconds"): 1,
    ("min", "minute", "minutes"): 60,
    ("h", "hr", "hour", "hours"): 3600,
    ("d", "day", "days"): 86400,
}
"""Seconds of the units of a time axis of numbers, without a date that they count from."""
_WHOLE = 0.05
"""Share of a step by which a duration may be no whole number of steps."""


def check_every(every: Every, name: str = "every") -> None:
    """Raise a ValueError for what is neither a number of frames from 1 on nor a duration.

    Args:
        every: what the user says.
        name: of the setting, for messages.
    """
    if isinstance(every, int):
        if every < 1:
            raise ValueError(f"{name} {every} must be at least 1 frame")
        return
    if seconds_in(every, name) <= 0:
        raise ValueError(f"{name} {every} must be longer than nothing")


def frames_in(frames: Frames, every: Every, name: str = "data.every") -> int:
    """Return how many steps of the time axis a duration is; a number of frames is that number.

    Args:
        frames: whose step counts.
        every: what the user says, as `check_every` allows it.
        name: of the setting, for messages.

    Raises:
        UserError: if a duration is no whole number of steps, or there are no dates for it.
    """
    if isinstance(every, int):
        return every
    step = frames.step
    if step is None:
        return 1
    length = step.seconds or _counted(frames)
    if length is None:
        raise UserError(
            f"{frames.source}: {name} {every} is a duration, but the frames come every {step}: "
            "give a number of frames"
        )
    steps = seconds_in(every, name) / length
    if round(steps) < 1 or abs(steps - round(steps)) > _WHOLE:
        raise UserError(
            f"{frames.source}: {name} {every} is {steps:g} of its steps of "
            f"{_spoken(length)}: give a whole number of steps"
        )
    return round(steps)


def _counted(frames: Frames) -> float | None:
    """Seconds of a step where numbers of hours or the like are counted; None for other numbers."""
    step, axis = frames.step, frames.coordinates.get(frames.time_dim)
    if step is None or step.difference is None or axis is None:
        return None
    unit = str(axis.attributes.get("units", "")).strip().lower()
    size = next((size for names, size in _UNITS.items() if unit in names), None)
    return None if size is None else float(step.difference) * size


def _spoken(seconds: float) -> str:
    return in_words(np.timedelta64(round(seconds * 1e9), "ns"))


def seconds_in(text: str, name: str) -> float:
    """Return the length of a duration in seconds.

    Args:
        text: such as 6 h, 100 minutes or 1h40m.
        name: of the setting, for messages.

    Raises:
        ValueError: if it is none.
    """
    from pandas import Timedelta  # comes with xarray, and takes long to load

    try:
        if text.strip().isdigit():
            raise ValueError("it has no unit")
        days = re.sub(r"(?<![A-Za-z])d(?![A-Za-z])", "D", text)  # pandas gives up the small one
        seconds = float(Timedelta(days).total_seconds())
        if math.isnan(seconds):
            raise ValueError("it stands for no time")
        return seconds
    except ValueError as error:
        raise ValueError(
            f"{name} {text} is neither a number of frames nor a duration such as 6 h: {error}"
        ) from error
