"""A stretch of time, and every so many frames of it: data.period and data.every."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.chunks import Chunks
from framecast.frames.durations import Every, frames_in
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Values
from framecast.frames.times import readable, seconds_of

Anchor = Literal["first", "last"]
"""The frame that is kept, from which the others are counted."""

_WRITTEN = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?")
"""A date that is compared as a text, or the beginning of one."""


def check_period(period: Sequence[Any]) -> None:
    """Raise a ValueError unless there are two ends, of which one may be open."""
    if len(period) != 2 or all(end is None for end in period):
        raise ValueError(
            f"period {list(period)} must be [first, last], such as [2000-01-01, 2009-12]; null for "
            "an open end"
        )


def cut_period(frames: Frames, period: Sequence[Any]) -> Frames:
    """Return the frames of a period, both ends included; nothing is read for it.

    Args:
        frames: with times that are dates or numbers; else frames are counted from 0.
        period: first and last time; None for an open end. A part of a date stands for all times
            that begin with it: the last of [2000, 2009] is the end of 2009.

    Raises:
        UserError: if no frame is in it, or it speaks of dates where there are none.
    """
    times = frames.times
    dated = times.dtype.kind in "MO"
    inside = _among_dates(times, period) if dated else _among_numbers(frames, period)
    if not inside.any():
        raise UserError(
            f"{frames.source}: no frame lies in data.period {[plain(end) for end in period]}; its "
            f"times go from {readable(times[0])} to {readable(times[-1])}"
        )
    places = np.flatnonzero(inside)
    return frames.select(times=slice(int(places[0]), int(places[-1]) + 1))


def thin(frames: Frames, every: Every, anchor: Anchor = "first") -> Frames:
    """Return frames that are further apart; those between them are not read.

    Args:
        frames: with even steps, though frames may be missing.
        every: how many frames, or how long it is from one to the next.
        anchor: which one is kept for sure, the first or the last.

    Raises:
        UserError: if a duration is no whole number of steps, or there are no dates for it.
    """
    count = frames_in(frames, every)
    if count == 1:
        return frames
    places = _places(frames, count, anchor)
    if len(places) == frames.length:
        return frames
    axis = {
        name: replace(c, values=c.values.take(places, c.dims.index(frames.time_dim)))
        if frames.time_dim in c.dims
        else c
        for name, c in frames.coordinates.items()
    }
    actions = frames.actions
    if actions is not None:
        raise UserError(
            f"{frames.source}: actions are done between one frame and the next, and data.every "
            f"{every} leaves frames out: choose one of data.actions and data.every"
        )
    return replace(frames, values=_take(frames.values, places), coordinates=axis)


@dataclass(frozen=True, eq=False)
class ThinReader:
    """Reads some of the frames of lazy values: a `Reader`."""

    values: LazyValues
    places: Int[np.ndarray, " T"]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, _, c, h, w = self.values.shape
        return n, len(self.places), c, h, w

    @property
    def source(self) -> str:
        """Where the values come from."""
        return self.values.reader.source

    @property
    def chunks(self) -> Chunks | None:
        """How the frames are stored."""
        stored = self.values.chunks
        return None if stored is None else stored.at(self.places)

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence; each is read by itself."""
        chosen = self.places[start:stop].tolist()
        return torch.cat([self.values[sequence, place : place + 1] for place in chosen])

    def fingerprint(self) -> str:
        """Return a digest of all frames, and of which they are."""
        return f"{self.values.fingerprint()} {self.places.tolist()}"


def _among_dates(times: np.ndarray, period: Sequence[Any]) -> Bool[np.ndarray, " T"]:
    """Which times lie in a period; dates are compared as ISO texts, whatever their calendar."""
    low, high = (None if end is None else written(end) for end in period)
    for end in (low, high):
        if end is not None and not _WRITTEN.fullmatch(end):
            raise UserError(
                f"data.period: {end!r} is no date as 2000-01-31T12:00, or a part of one such as "
                "2000-01, in the times of the data and without a zone"
            )
    texts = [_iso(time) for time in times]
    return np.array([
        (low is None or text >= low) and (high is None or text[: len(high)] <= high)
        for text in texts
    ])  # fmt: skip


def _among_numbers(frames: Frames, period: Sequence[Any]) -> Bool[np.ndarray, " T"]:
    low, high = (_number(end, frames) for end in period)
    numbers = frames.times.astype(np.float64)
    above = numbers >= (-np.inf if low is None else low)
    return np.asarray(above & (numbers <= (np.inf if high is None else high)))


def _take(values: Values, places: np.ndarray) -> Tensor | LazyValues:
    if isinstance(values, Tensor):
        return values[:, places]
    ends = tuple(int((places < length).sum()) for length in values.lengths)
    return LazyValues.of(ThinReader(values, places), ends if len(set(ends)) > 1 else None)


def _places(frames: Frames, count: int, anchor: Anchor) -> Int[np.ndarray, " T"]:
    """The frames that lie a whole number of long steps from the first, or from the last."""
    times, step = frames.times, frames.step
    origin = 0 if anchor == "first" else -1
    if step is None or step.difference is None or frames.irregular:
        if len(frames.pieces) > len(frames.values):
            raise UserError(
                f"{frames.source} lacks some frames of its months: data.every cannot count over "
                "the gap; choose a period without one (data.period)"
            )
        return np.arange((frames.length - 1) % count if origin else 0, frames.length, count)
    apart = np.array([_ratio(time - times[origin], step.difference) for time in times])
    long = apart / count
    return np.asarray(np.flatnonzero(np.abs(long - np.round(long)) * count < 0.5))


def _ratio(difference: Any, step: Any) -> float:
    seconds, whole = seconds_of(difference), seconds_of(step)
    if seconds is None or whole is None:
        return float(difference / step)
    return seconds / whole


def _iso(time: Any) -> str:
    if isinstance(time, np.datetime64):
        return str(np.datetime_as_string(time, unit="s"))
    return str(time.isoformat())


def written(end: Any) -> str:
    """Return a date as ISO text, however YAML read it."""
    return str(end.isoformat() if hasattr(end, "isoformat") else end).strip().replace(" ", "T")


def plain(end: Any) -> Any:
    """Return an end of a period as YAML can write it: a number, a text or None."""
    return end if isinstance(end, int | float) or end is None else written(end)


def _number(end: Any, frames: Frames) -> float | None:
    try:
        return None if end is None else float(end)
    except (TypeError, ValueError):
        raise UserError(
            f"{frames.source} has no dates, but data.period asks for {written(end)}: its times go "
            f"from {readable(frames.times[0])} to {readable(frames.times[-1])}"
        ) from None
