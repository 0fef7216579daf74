"""Time axes: the step from frame to frame, and the times that come after the last one."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

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


def step_of(times: np.ndarray) -> Step:
    """Return the step of a time axis.

    Args:
        times: [T], T ≥ 2, numbers, datetime64 or cftime objects, ascending.

    Raises:
        UserError: if the axis is neither evenly spaced nor monthly; the first place where
            the step changes is named.
    """
    if len(times) < 2:
        raise UserError("one time alone has no step: give at least two frames")
    differences = np.diff(times)
    if not differences[0] > 0 * differences[0]:
        raise UserError(
            f"the times do not ascend: {readable(times[0])} is followed by {readable(times[1])}"
        )
    if _all_close(differences):
        return Step(difference=_mean(times) if times.dtype.kind == "f" else differences[0])
    months = np.diff(_months(times)) if not np.issubdtype(times.dtype, np.number) else None
    if months is not None and months[0] > 0 and (months == months[0]).all():
        return Step(months=int(months[0]))
    odd = int(np.argmax(~_is_close(differences, differences[0])))
    raise UserError(
        f"the times are not evenly spaced: the step is {differences[0]} at first, but "
        f"{differences[odd]} from {readable(times[odd])} to {readable(times[odd + 1])}. "
        "Fill or cut the gap first (xarray's resample or sel can)"
    )


def continue_times(times: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` times [count] that come after the last of `times`, at its step."""
    step = step_of(times)
    ahead = np.arange(1, count + 1)
    if not step.months:
        return np.asarray(times[-1] + ahead * step.difference)
    return np.array([_add_months(times[-1], int(n) * step.months) for n in ahead])


def readable(time: Any) -> str:
    """Write a time for people: dates to the second, without zeros that say nothing."""
    if not isinstance(time, np.datetime64):
        return str(time)
    text = str(np.datetime_as_string(time, unit="s"))
    return text.removesuffix(":00").removesuffix("T00:00")


def _mean(times: np.ndarray) -> Any:
    """Mean step of a float axis, whose single steps are rounded."""
    return (times[-1] - times[0]) / (len(times) - 1)


def _all_close(differences: np.ndarray) -> bool:
    return bool(_is_close(differences, differences[0]).all())


def _is_close(differences: np.ndarray, first: Any) -> np.ndarray:
    if np.issubdtype(differences.dtype, np.floating):
        return np.asarray(np.isclose(differences, first, rtol=1e-4))
    return np.asarray(differences == first)


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
