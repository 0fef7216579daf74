"""Months of calendars: where times lie within them, and the same place in a later month."""

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

_DAY = np.timedelta64(1, "D")


class Place(NamedTuple):
    """Where times lie within their months.

    Attributes:
        day: of the month, 1 to 31; the last one of a month that is shorter.
        middle: whether they lie in the middle of their months, whatever the day.
        whole: whether the middle is cut to a whole day.
        regular: whether all times lie there.
    """

    day: int
    middle: bool = False
    whole: bool = False
    regular: bool = True


def months_of(times: np.ndarray) -> np.ndarray:
    """Return the months [T] since year 0 of times [T], datetime64 or cftime objects."""
    if times.dtype.kind == "M":
        return np.asarray(times.astype("datetime64[M]").astype(int)) + 1970 * 12
    return np.array([time.year * 12 + time.month - 1 for time in times])


def place_of(times: np.ndarray) -> Place:
    """Return where times [T] lie within their months: on a day, the last day, or in the middle."""
    within, lengths = zip(*map(_within, times), strict=True)
    days = [part.days + 1 for part in within]
    at_end = all(day == length for day, length in zip(days, lengths, strict=True))
    last = 31 if at_end and len(times) > 1 else max(days)
    if all(day == min(last, length) for day, length in zip(days, lengths, strict=True)):
        return Place(last)
    for whole in (False, True):
        middles = [_middle(length, whole) for length in lengths]
        if all(part == middle for part, middle in zip(within, middles, strict=True)):
            return Place(max(days), middle=True, whole=whole)
    return Place(days[-1], regular=False)


def later_month(time: Any, months: int, place: Place) -> Any:
    """Return the same place some months later, at the same hour; of a middle, the middle."""
    within, _ = _within(time)
    first, length = _first_of(time, months)
    later = _middle(length, place.whole)
    if not place.middle:
        hour = within - timedelta(days=within.days)
        later = timedelta(days=min(place.day, length) - 1) + hour
    if isinstance(time, np.datetime64):
        return (first.astype("datetime64[us]") + np.timedelta64(later)).astype(time.dtype)
    return first + later


def _middle(length: int, whole: bool) -> timedelta:
    return timedelta(days=length // 2 if whole else length / 2)


def _within(time: Any) -> tuple[timedelta, int]:
    """Time since the beginning of its month, and the days of the month."""
    first, length = _first_of(time, 0)
    if not isinstance(time, np.datetime64):
        return time - first, length
    return (time - first).astype("timedelta64[us]").item(), length


def _first_of(time: Any, months: int) -> tuple[Any, int]:
    """The beginning of the month some months later, and how many days that has."""
    if isinstance(time, np.datetime64):
        month = time.astype("datetime64[M]") + np.timedelta64(months, "M")
        first, after = (m.astype("datetime64[D]") for m in (month, month + np.timedelta64(1, "M")))
        return first, int((after - first) / _DAY)
    year, place = divmod(time.year * 12 + time.month - 1 + months, 12)
    zero = {"day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    first = time.replace(year=year, month=place + 1, **zero)
    return first, int(first.daysinmonth)
