"""What is usual at a time of the year and of the day: the climatology of some frames."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from framecast.base.limits import check_memory
from framecast.frames.formulas import time_of_day, time_of_year
from framecast.frames.frames import Frames
from framecast.frames.months import months_of

DAYS = 5
"""Days of a part of the year; it has 73 of them."""
REACH = 30
"""Days to either side over which a day of the year is smoothed, with weights that fall linearly."""
BEFORE = 0.29
"""Share of a bin of the hours of the day that lies before its hour: no half, third or quarter, at
which frames tend to lie."""
LONG, ENOUGH = 730, 30
"""Days of data from which on the time of the year counts, and that of the day."""
_DAY = 86400.0
_STRETCH = 64


@dataclass(frozen=True, eq=False)
class Climate:
    """The mean of training frames, by the time of the year and of the day where they suffice.

    Frames of at least two years tell what is usual on a day of the year, a mean over the days
    around it in all years; monthly ones, in a month. Frames of at least a month that are less than
    a day apart tell what is usual at an hour of the day. Days that are missing leave means of those
    that are there.

    Attributes:
        table: means by part of the year and hour of the day, [P,Q,C,H,W]; where nothing was ever
            known, the mean over the grid.
        possible: where anything was known, [C,H,W].
        monthly: whether the parts of the year are months, between which nothing is interpolated.
    """

    table: Float[Tensor, "P Q C H W"]
    possible: Bool[Tensor, "C H W"]
    monthly: bool = False

    @classmethod
    def of(cls, frames: Frames) -> "Climate":
        """Average frames of the predicted channels; one pass over them.

        Raises:
            UserError: if the table does not fit into memory.
        """
        parts, hours, monthly = _resolution(frames)
        shape = frames.values.shape[2:]
        check_memory(
            12 * parts * hours * math.prod(shape),
            f"{frames.source}: the climatology of {parts} parts of the year at {hours} hours",
            "Choose a smaller region (data.region), or fewer variables",
        )
        sums, counts = torch.zeros(2, parts * hours, *shape)
        for values, times in _stretches(frames):
            place = torch.from_numpy(_bins(times, parts, hours, monthly))
            known = ~values.isnan()
            sums.index_add_(0, place, values.nan_to_num(0.0))
            counts.index_add_(0, place, known.float())
        sums, counts = (part.view(parts, hours, *shape) for part in (sums, counts))
        if parts > 1 and not monthly:
            sums, counts = _smooth(sums), _smooth(counts)
        return cls(means_of(sums, counts), counts.sum((0, 1)) > 0, monthly)

    @classmethod
    def constant(cls, mean: Float[Tensor, "C H W"]) -> "Climate":
        """Return one that is the same at all times; where the mean is NaN, none is possible."""
        known = ~mean.isnan()
        return cls(means_of(mean.nan_to_num(0.0)[None, None], known.float()[None, None]), known)

    @property
    def constant_in_time(self) -> bool:
        """Whether it is the same at all times."""
        return self.table.shape[:2] == (1, 1)

    @property
    def says(self) -> str:
        """What it is a mean by, in words."""
        parts, hours = self.table.shape[:2]
        year = "month" if self.monthly else "day of the year"
        by = [year] * (parts > 1) + ["hour of the day"] * (hours > 1)
        return f"mean by {' and '.join(by)}" if by else "mean of the training"

    @property
    def mean(self) -> Float[Tensor, "C H W"]:
        """Of all frames, each time of year and day counting alike."""
        return self.table.mean((0, 1))

    def at(self, times: np.ndarray) -> Float[Tensor, "T C H W"]:
        """Return what is usual at some times [T], datetime64, cftime or numbers."""
        parts, hours = self.table.shape[:2]
        if parts * hours == 1:
            return self.table[0, 0].expand(len(times), *self.table.shape[2:])
        hour = torch.from_numpy(_hours(times, hours))
        if parts == 1 or self.monthly:
            part = torch.from_numpy(_parts(times, parts, self.monthly))
            return self.table[part, hour]
        place = time_of_year(times) * parts - 0.5
        before = np.floor(place)
        share = torch.from_numpy(place - before).float().view(-1, 1, 1, 1)
        low, high = (torch.from_numpy((before + n).astype(int) % parts) for n in (0, 1))
        return (1 - share) * self.table[low, hour] + share * self.table[high, hour]


def _resolution(frames: Frames) -> tuple[int, int, bool]:
    """Parts of the year, hours of the day, and whether the parts are months."""
    step, times = frames.step, frames.times
    if step is None or times.dtype.kind not in "MO":
        return 1, 1, False
    if step.months:
        return (12, 1, True) if step.months == 1 and len(times) >= 24 else (1, 1, False)
    seconds = step.seconds or _DAY
    span = seconds * len(times) / _DAY
    hours = min(24, round(_DAY / seconds)) if seconds < _DAY and span >= ENOUGH else 1
    return (round(365 / DAYS) if span >= LONG else 1), hours, False


def _stretches(frames: Frames) -> Iterator[tuple[Float[Tensor, "T C H W"], np.ndarray]]:
    for sequence, length in enumerate(frames.lengths):
        for start in range(0, length, _STRETCH):
            part = slice(start, min(start + _STRETCH, length))
            yield frames.values[sequence, part], frames.times[part]


def _bins(times: np.ndarray, parts: int, hours: int, monthly: bool) -> Int[np.ndarray, " T"]:
    return np.asarray(_parts(times, parts, monthly) * hours + _hours(times, hours))


def _parts(times: np.ndarray, parts: int, monthly: bool) -> Int[np.ndarray, " T"]:
    if parts == 1:
        return np.zeros(len(times), int)
    if monthly:
        return np.asarray(months_of(times) % 12)
    return np.asarray((time_of_year(times) * parts).astype(int) % parts)


def _hours(times: np.ndarray, hours: int) -> Int[np.ndarray, " T"]:
    if hours == 1:
        return np.zeros(len(times), int)
    # Frames may lie between whole bins, or be off by a little: neither must be near an edge.
    return np.asarray(np.floor(time_of_day(times) * hours + BEFORE).astype(int) % hours)


def _smooth(values: Float[Tensor, "P Q C H W"]) -> Float[Tensor, "P Q C H W"]:
    """Add what lies within REACH days around each part of the year, with falling weights."""
    reach = REACH // DAYS
    total = torch.zeros_like(values)
    for shift in range(-reach, reach + 1):
        total.add_(values.roll(shift, 0), alpha=1 - abs(shift) / (reach + 1))
    return total


def means_of(
    sums: Float[Tensor, "P Q C H W"], counts: Float[Tensor, "P Q C H W"]
) -> Float[Tensor, "P Q C H W"]:
    """Return means; where nothing is known, that of all hours, of all times, then of all places."""
    means = sums / counts
    for dims in ((1,), (0, 1), (0, 1, 3, 4)):
        wider = sums.sum(dims, keepdim=True) / counts.sum(dims, keepdim=True)
        means = torch.where(means.isnan(), wider, means)
    return means


def anomalies(frames: Frames, climate: Climate) -> Iterator[tuple[Float64[Tensor, "T C H W"], int]]:
    """Yield stretches of a training part as differences from its climate, each with its piece.

    What is missing is 0. A stretch overlaps the one before by a frame, so that all neighbours in
    time stand in one of them.
    """
    for number, piece in enumerate(frames.pieces):
        for start in range(piece.start, max(piece.stop - 1, piece.start + 1), _STRETCH):
            part = slice(start, min(start + _STRETCH + 1, piece.stop))
            usual = climate.at(frames.times[part])
            yield (frames.values[piece.sequence, part] - usual).double().nan_to_num(0.0), number
