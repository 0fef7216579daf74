"""Time axes: the step from frame to frame, gaps, and the times that come after the last one."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float64

from framecast.base.errors import UserError


@dataclass(frozen=True)
class Step:
    """The step of a time axis: a fixed difference, or a whole number of calendar months."""

    difference: Any = None
    months: int = 0

    def __str__(self) -> str:
        if self.months:
            return f"{self.months} month(s)"
        if self.seconds is None:
            return f"{self.difference:g}"
        return f"{self.seconds / 3600:g} h" if self.seconds >= 3600 else f"{self.seconds:g} s"

    @property
    def seconds(self) -> float | None:
        """Length in seconds; None for months, and on an axis of plain numbers."""
        if isinstance(self.difference, np.timedelta64):
            return float(self.difference / np.timedelta64(1, "s"))
        if isinstance(self.difference, timedelta):
            return self.difference.total_seconds()
        return None


def step_of(times: np.ndarray, irregular: bool = False) -> Step:
    """Return the step of a time axis: the one that most frames follow each other at.

    Args:
        times: [T], T ≥ 2, numbers, datetime64 or cftime objects, ascending.
        irregular: whether the axis may be uneven throughout; its median step is returned then.

    Raises:
        UserError: if the times do not ascend, or no step holds for more than half of them; the
            first place where the step changes is named.
    """
    if len(times) < 2:
        raise UserError("one time alone has no step: give at least two frames")
    differences = np.diff(times)
    _check_ascending(times, differences)
    if irregular:
        return Step(difference=np.sort(differences)[len(differences) // 2])
    step, agrees = _commonest(times, differences)
    if 2 * agrees.sum() > len(agrees):
        return step
    odd = int(np.argmax(differences != differences[0]))
    raise UserError(
        f"the times are not evenly spaced: the step is {differences[0]} at first, but "
        f"{differences[odd]} from {readable(times[odd])} to {readable(times[odd + 1])}, and no "
        "step holds for more than half of the frames. Resample them first (xarray's resample "
        "can), or set data.irregular for a layer that reads the time between frames (conv_s5)"
    )


def even_stretches(times: np.ndarray) -> list[range]:
    """Cut a time axis where frames are missing from it.

    Args:
        times: [T], as `step_of` takes them; one time alone is a stretch.

    Returns:
        Stretches of places in which each time follows the one before at the axis' step.

    Raises:
        UserError: as `step_of`.
    """
    if len(times) < 2:
        return [range(len(times))]
    step_of(times)
    _, agrees = _commonest(times, np.diff(times))
    ends = [0, *(np.flatnonzero(~agrees) + 1).tolist(), len(times)]
    return [range(start, stop) for start, stop in pairwise(ends)]


def intervals(times: np.ndarray) -> Float64[np.ndarray, " T"]:
    """Return the time since the frame before, in steps; 1 for the first frame."""
    step = step_of(times, irregular=True).difference
    return np.array([1.0, *(difference / step for difference in np.diff(times))])


def continue_times(times: np.ndarray, count: int, irregular: bool = False) -> np.ndarray:
    """Return the `count` times [count] that come after the last of `times`, at its step."""
    return times_after(times[-1], step_of(times, irregular), count)


def times_after(time: Any, step: Step, count: int) -> np.ndarray:
    """Return the `count` times [count] that come after a time at a step."""
    ahead = np.arange(1, count + 1)
    if not step.months:
        return np.asarray(time + ahead * step.difference)
    return np.array([_add_months(time, int(n) * step.months) for n in ahead])


def readable(time: Any) -> str:
    """Write a time for people: dates to the second, without zeros that say nothing."""
    if not isinstance(time, np.datetime64):
        return str(time)
    text = str(np.datetime_as_string(time, unit="s"))
    return text.removesuffix(":00").removesuffix("T00:00")


def _check_ascending(times: np.ndarray, differences: np.ndarray) -> None:
    wrong = ~(differences > 0 * differences[0])
    if wrong.any():
        place = int(np.argmax(wrong))
        raise UserError(
            f"the times do not ascend: {readable(times[place])} is followed by "
            f"{readable(times[place + 1])}"
        )


def _commonest(times: np.ndarray, differences: np.ndarray) -> tuple[Step, np.ndarray]:
    """The step that most differences have, and which ones have it."""
    usual = _usual(differences)
    agrees = _is_close(differences, usual)
    if not agrees.all() and not np.issubdtype(times.dtype, np.number):
        months = np.diff(_months(times))
        usual_months = _usual(months)
        if usual_months > 0 and (months == usual_months).sum() > agrees.sum():
            return Step(months=int(usual_months)), months == usual_months
    if times.dtype.kind == "f" and agrees.all():
        usual = (times[-1] - times[0]) / (len(times) - 1)  # single steps are rounded
    return Step(difference=usual), agrees


def _usual(differences: np.ndarray) -> Any:
    """The commonest of differences; of rounded ones, the median."""
    if np.issubdtype(differences.dtype, np.floating):
        return np.sort(differences)[(len(differences) - 1) // 2]
    if differences.dtype == object:
        return Counter(differences.tolist()).most_common(1)[0][0]
    values, counts = np.unique(differences, return_counts=True)
    return values[counts.argmax()]


def _is_close(differences: np.ndarray, usual: Any) -> np.ndarray:
    if np.issubdtype(differences.dtype, np.floating):
        return np.asarray(np.isclose(differences, usual, rtol=1e-4))
    return np.asarray(differences == usual)


def _months(times: np.ndarray) -> np.ndarray:
    if np.issubdtype(times.dtype, np.datetime64):
        return np.asarray(times.astype("datetime64[M]").astype(int))
    return np.array([t.year * 12 + t.month for t in times])


def _add_months(time: Any, months: int) -> Any:
    """The same day and hour `months` later, or the last day of a shorter month."""
    if isinstance(time, np.datetime64):
        month = time.astype("datetime64[M]")
        later = month + np.timedelta64(months, "M")
        length = (later + np.timedelta64(1, "M")).astype("datetime64[D]") - later.astype(
            "datetime64[D]"
        )
        within = time - month.astype(time.dtype)
        day = min(within.astype("timedelta64[D]"), length - np.timedelta64(1, "D"))
        hour = within - within.astype("timedelta64[D]")
        return (later.astype("datetime64[D]") + day).astype(time.dtype) + hour
    year, month0 = divmod(time.year * 12 + time.month - 1 + months, 12)
    first = time.replace(year=year, month=month0 + 1, day=1)
    return first.replace(day=min(time.day, first.daysinmonth))
