"""Time axes: the step from frame to frame, gaps, and the times that come after the last one."""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
from jaxtyping import Float64

from framecast.base.errors import UserError
from framecast.frames.months import Place, later_month, months_of, place_of

TOLERANCE = 0.02
"""Share of a step that a time may be off by default: jitter of scans, and rounding."""

SHOWN = 6
"""Digits of a time that is shown beside a picture, if it is a number."""

_ODD = 0.1
"""Share of steps that may be neither the usual one nor as long as a gap: each cuts the axis."""

_EXACT = 1e-4
"""Share of a step by which times are off that were rounded to float32."""


@dataclass(frozen=True)
class Step:
    """The step of a time axis: a fixed difference, or a whole number of calendar months.

    Attributes:
        difference: from time to time; None for months.
        months: how many; 0 for a fixed difference.
        place: of the times within their months.
    """

    difference: Any = None
    months: int = 0
    place: Place | None = None

    def __str__(self) -> str:
        if self.months:
            return f"{self.months} month(s)"
        if self.seconds is None:
            return f"{self.difference:g}"
        return f"{self.seconds / 3600:g} h" if self.seconds >= 3600 else f"{self.seconds:g} s"

    @property
    def seconds(self) -> float | None:
        """Length in seconds; None for months, and on an axis of plain numbers."""
        return None if self.difference is None else seconds_of(self.difference)


def step_of(times: np.ndarray, irregular: bool = False, tolerance: float = TOLERANCE) -> Step:
    """Return the step of a time axis: the one that most frames follow each other at.

    Args:
        times: [T], T ≥ 2, numbers, datetime64, timedelta64 or cftime objects, ascending.
        irregular: whether the axis may be uneven throughout; its median step is returned then.
        tolerance: share of a step that each time may be off.

    Raises:
        UserError: if the times do not ascend, or no step holds for more than half of them, or a
            tenth of them is neither at the step nor behind a gap; the first place where the step
            changes is named.
    """
    if len(times) < 2:
        raise UserError("one time alone has no step: give at least two frames")
    check_ascending(times)
    differences = np.diff(times)
    if irregular:
        return Step(difference=np.sort(differences)[len(differences) // 2])
    step, agrees = _commonest(times, differences, tolerance)
    odd = ~agrees & (differences < 1.5 * step.difference) if step.difference else np.zeros(1, bool)
    if 2 * agrees.sum() > len(agrees) and odd.sum() <= _ODD * len(agrees):
        return step
    raise _uneven(times, differences)


def check_ascending(times: np.ndarray, name: str = "time") -> None:
    """Raise a UserError, with the remedy, for times that are missing, doubled or unsorted.

    Args:
        times: [T], numbers, datetime64, timedelta64 or cftime objects.
        name: of the axis, for the remedy.
    """
    unknown = np.isnat(times) if times.dtype.kind in "mM" else times != times
    if np.any(unknown):
        raise UserError(
            f"the axis {name} has no time (NaT or NaN) at {int(np.sum(unknown))} of "
            f"{len(times)} places, the first of which is {int(np.argmax(unknown))}: cut these "
            f"frames off first (xarray: data.sel({name}=data.{name}.notnull()))"
        )
    later = times[1:] > times[:-1]
    if np.all(later):
        return
    place = int(np.argmin(later))
    this, after = readable(times[place]), readable(times[place + 1])
    doubled = times[1:] == times[:-1]
    if np.all(later | doubled):
        raise UserError(
            f"the axis {name} has the same time twice, {int(doubled.sum())} times in all, first "
            f"{this} at the places {place} and {place + 1}: drop the doubled frames first "
            f"(xarray: data.drop_duplicates('{name}'))"
        )
    order = "descends" if not np.any(later) else "is not sorted"
    raise UserError(
        f"the axis {name} {order}: {this} is followed by {after}. Sort the frames first "
        f"(xarray: data.sortby('{name}'))"
    )


def _uneven(times: np.ndarray, differences: np.ndarray) -> UserError:
    odd = int(np.argmax(differences != differences[0]))
    first, other = in_words(differences[0]), in_words(differences[odd])
    return UserError(
        f"the times are not evenly spaced: the step is {first} at first, but {other} from "
        f"{readable(times[odd])} to {readable(times[odd + 1])}, and no step holds for most of "
        "the frames. If they only jitter, allow it with data.time_tolerance; else resample "
        "them first (xarray's resample can), or set data.irregular for a layer that reads the time "
        "between frames (conv_s5)"
    )


def even_stretches(times: np.ndarray, tolerance: float = TOLERANCE) -> list[range]:
    """Cut a time axis where frames are missing from it.

    Args:
        times: [T], as `step_of` takes them; one time alone is a stretch.
        tolerance: share of a step that each time may be off.

    Returns:
        Stretches of places in which each time follows the one before at the axis' step.

    Raises:
        UserError: as `step_of`.
    """
    if len(times) < 2:
        return [range(len(times))]
    step_of(times, tolerance=tolerance)
    _, agrees = _commonest(times, np.diff(times), tolerance)
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
    place = step.place or place_of(np.array([time]))
    return np.array([later_month(time, int(n) * step.months, place) for n in ahead])


def places_at(axis: np.ndarray, wanted: np.ndarray, step: Step | None, off: float) -> list[int]:
    """Return where times stand on an axis, up to the first that does not.

    Args:
        axis: [T], ascending.
        wanted: times of the same kind.
        step: of the wanted times; None, or one of months, for times that must be equal.
        off: share of a step by which a time may differ.
    """
    if step is None or step.difference is None or not len(wanted):
        known = {time: place for place, time in enumerate(axis.tolist())}
        return list(map(known.__getitem__, takewhile(known.__contains__, wanted.tolist())))
    along, asked = ((times - axis[0]) / step.difference for times in (axis, wanted))
    along, asked = along.astype(np.float64), asked.astype(np.float64)
    nearest = _nearest(along, asked)
    close = np.abs(along[nearest] - asked) <= max(off, _EXACT) * (1 + 1e-9)
    found = len(close) if close.all() else int(close.argmin())
    return [int(place) for place in nearest[:found]]


def _nearest(along: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The place of the value nearest to each that is asked for."""
    if len(along) == 1:
        return np.zeros(len(asked), int)
    after = np.searchsorted(along, asked).clip(1, len(along) - 1)
    return np.where(asked - along[after - 1] <= along[after] - asked, after - 1, after)


def readable(time: Any, digits: int = 12) -> str:
    """Write a time for people: dates to the second, without zeros that say nothing.

    Args:
        time: a date, a duration or a number.
        digits: of a number, at most, but for those before the point; the default is without the
            last digits of a sum of steps, and exact enough to be typed.
    """
    if isinstance(time, np.timedelta64 | timedelta):
        return in_words(time)
    if isinstance(time, float | np.floating):
        number = float(time)
        return f"{number:.{max(digits, len(f'{abs(number):.0f}'))}g}"
    if not isinstance(time, np.datetime64):
        return str(time)
    text = str(np.datetime_as_string(time, unit="s"))
    return text.removesuffix(":00").removesuffix("T00:00")


def in_words(difference: Any) -> str:
    """Write a duration in the largest unit that suits it, such as 6 hours; numbers as they are."""
    seconds = seconds_of(difference)
    if seconds is None:
        return f"{difference:g}"
    for name, size in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if abs(seconds) >= size and (seconds / size) % 1 == 0:
            return counted(seconds / size, name)
    return counted(seconds, "second")


def seconds_of(difference: Any) -> float | None:
    """Return the length of a duration in seconds; None for a plain number."""
    if isinstance(difference, np.timedelta64):
        return float(difference / np.timedelta64(1, "s"))
    return difference.total_seconds() if isinstance(difference, timedelta) else None


def counted(number: int | float, name: str) -> str:
    """Write a number of things, with an s behind the name of more or less than one."""
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {name}" if number == 1 else f"{shown} {name}s"


def _commonest(
    times: np.ndarray, differences: np.ndarray, tolerance: float
) -> tuple[Step, np.ndarray]:
    """The step that most differences have, and which ones have it."""
    usual = _usual(differences)
    agrees = _is_close(differences, usual, tolerance)
    even = _is_close(differences, usual, 0.0).all()
    if not even and times.dtype.kind in "MO":
        months = np.diff(months_of(times))
        usual_months = int(_usual(months))
        alike = months == usual_months
        place = place_of(times) if usual_months > 0 else None
        if place and (alike.sum() > agrees.sum() or (place.regular and alike.all())):
            return Step(months=usual_months, place=place), alike
    about = _is_close(differences, usual, 2 * tolerance)  # the median itself jitters
    if about.any():
        usual = _refined(differences[about], usual, tolerance)
        agrees = _is_close(differences, usual, tolerance)
    return Step(difference=usual), agrees


def _usual(differences: np.ndarray) -> Any:
    """The difference that more than half have; else, of differences that jitter, the median."""
    if differences.dtype.kind == "f":
        return np.sort(differences)[(len(differences) - 1) // 2]
    if differences.dtype == object:
        commonest, count = Counter(differences.tolist()).most_common(1)[0]
    else:
        values, counts = np.unique(differences, return_counts=True)
        commonest, count = values[counts.argmax()], counts.max()
    if 2 * count > len(differences):
        return commonest
    return np.sort(differences)[(len(differences) - 1) // 2]


def _is_close(differences: np.ndarray, usual: Any, tolerance: float) -> np.ndarray:
    """Which differences are the usual one, where each of their two ends may be off."""
    if differences.dtype.kind == "f":
        off = max(2 * tolerance, _EXACT) * abs(usual)
        return np.asarray(np.abs(differences - usual) <= off * (1 + 1e-9))
    off = np.abs(differences - usual) / usual
    return np.asarray(off.astype(float) <= 2 * tolerance * (1 + 1e-9))


def _refined(differences: np.ndarray, usual: Any, tolerance: float) -> Any:
    """The step that differences jitter about: their mean, or a round number as near to it.

    The mean of n steps is off by no more than an n-th part of what both ends may be off.
    """
    if differences.dtype.kind == "f" and _is_close(differences, usual, 0.0).all():
        return differences.mean(dtype=np.float64)  # single steps are rounded
    if (differences == usual).all():
        return usual
    mean = differences.sum() / len(differences)
    off = 2 * tolerance * abs(usual) / len(differences)
    for unit in _units(usual):
        rounded = round(mean / unit) * unit
        if rounded > 0 * unit and abs(rounded - mean) <= off:
            return rounded
    return mean


def _units(difference: Any) -> list[Any]:
    """Units that a step is likely to be a multiple of, largest first."""
    seconds = [86400, 3600, 60, 1]
    if isinstance(difference, timedelta):
        return [timedelta(seconds=second) for second in seconds]
    if isinstance(difference, np.timedelta64):
        return [np.timedelta64(second, "s") for second in seconds]
    size = math.floor(math.log10(abs(difference)))
    return [10.0 ** (size - digit) for digit in range(5)]
