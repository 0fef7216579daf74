"""A time that somebody names, as one of those that an axis has, and back into a text."""

import re
from datetime import timedelta
from typing import Any

import cftime
import numpy as np

from framecast.base.errors import UserError
from framecast.frames.durations import seconds_in
from framecast.frames.times import readable, seconds_of

_DATE = re.compile(r"(\d+)-(\d+)-(\d+)(?:[T ](\d+)(?::(\d+)(?::(\d+)(?:\.(\d{1,6}))?)?)?)?")

_INSTANT = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?|NaT")


def time_like(time: Any, axis: np.ndarray) -> Any:
    """Return a time as those of an axis are.

    Args:
        time: a time of the same kind, or a text: a date in ISO 8601, a duration such as 6 h, or a
            number.
        axis: of which it may be one: datetime64, timedelta64, cftime objects or numbers.

    Raises:
        UserError: if it is no such time, or is missing (NaT, NaN).
    """
    try:
        found = _found(time, axis)
        if np.isnat(found) if axis.dtype.kind in "mM" else found != found:
            raise ValueError("it is missing")
        return found
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(f"time {time!r} is none like {readable(axis[0])}: {error}") from error


def time_text(time: Any) -> str:
    """Write a time so that `time_like` reads the same from it."""
    if isinstance(time, np.timedelta64 | timedelta):
        return f"{seconds_of(time)!r} s"
    return str(time.isoformat()) if isinstance(time, cftime.datetime) else str(time)


def _found(time: Any, axis: np.ndarray) -> Any:
    kind = axis.dtype.kind
    if kind == "M":
        return _instant(time).astype(axis.dtype)
    if kind == "O":
        return _date(time, axis[0])
    if kind == "m":
        if isinstance(time, str):
            time = np.timedelta64(round(1e9 * seconds_in(time, "time")), "ns")
        elif not isinstance(time, np.timedelta64 | timedelta):
            raise ValueError("a duration is needed, such as 6 h")
        return np.timedelta64(time).astype(axis.dtype)
    found = axis.dtype.type(time)
    if kind in "iu" and found != float(time):
        raise ValueError("a whole number is needed")
    return found


def _instant(time: Any) -> np.datetime64:
    """An instant of UTC; NumPy alone would take 20200106 for a year, and count on past its ends."""
    if isinstance(time, str):
        time = time.removesuffix("Z")
        if not _INSTANT.fullmatch(time):
            raise ValueError("a date of UTC is needed, such as 2000-01-31T12:00")
    exact = np.datetime64(time)
    if not np.isnat(exact) and exact.astype("M8[ns]").astype(exact.dtype) != exact:
        raise ValueError("it lies beyond the dates that nanoseconds can count to")
    return exact


def _date(time: Any, like: cftime.datetime) -> cftime.datetime:
    """A date of the calendar of another one."""
    if isinstance(time, str):
        parts = _DATE.fullmatch(time)
        if parts is None:
            raise ValueError("a date is needed, such as 2000-01-31T12:00")
        *whole, fraction = parts.groups(default="0")
        year, month, day, hour, minute, second = map(int, whole)
        return like.replace(
            year=year,
            month=month,
            day=day,
            hour=hour,
            minute=minute,
            second=second,
            microsecond=int(fraction.ljust(6, "0")),
        )
    if time.calendar != like.calendar:
        raise ValueError(f"it is of the calendar {time.calendar}, and not {like.calendar}")
    return time
