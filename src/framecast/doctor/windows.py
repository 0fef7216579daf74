"""Windows that fit the data: their length, and how a single series is divided into parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from framecast.base.errors import UserError
from framecast.datasets.files import USUAL
from framecast.doctor.findings import Findings
from framecast.frames.frames import Frames
from framecast.frames.splits import split
from framecast.runs.config import TrainingConfig

SHORTEST = 2
"""Frames of the shortest window: one given, one forecast."""
MOST_CROPS = 200
"""Windows that are drawn from one stretch in an epoch, at most."""


@dataclass(frozen=True)
class Division:
    """How data are divided.

    Attributes:
        context: frames of a window that are given.
        horizon: frames of a window that are forecast.
        validation: share of the data for validation.
        test: share of the data for the test.
        windows: windows of the training part in an epoch.
        crops: windows drawn from each stretch in an epoch; None for as many as do not overlap.
        counts: windows of each part that do not overlap, in words.
        notes: what a reader should know.
    """

    context: int
    horizon: int
    validation: float
    test: float
    windows: int
    crops: int | None
    counts: str
    notes: tuple[str, ...] = ()


def divide(findings: Findings, given: Mapping[str, str]) -> Division:
    """Choose windows and parts that fit each other.

    Args:
        findings: what the data hold.
        given: texts of the keys that the user set.

    Raises:
        UserError: if there are too few frames for any window.
    """
    made = findings.data.open().window
    usual = made or (TrainingConfig.context, TrainingConfig.horizon)
    wanted = [as_set(given, f"training.{n}", size) for n, size in zip(SIZES, usual, strict=True)]
    fixed = [made is not None or f"training.{name}" in given for name in SIZES]
    shares = _shares(findings, _least(wanted, fixed))
    parts = findings.parts if findings.divided else _split(findings.frames, *shares)
    longest = min(max(map(len, frames.pieces)) for frames in parts.values())
    if longest < SHORTEST:
        raise UserError(
            f"{findings.frames.source}: a part has stretches of {longest} frame(s), but a window "
            f"takes at least {SHORTEST}: more frames are needed, or fewer gaps"
        )
    context, horizon = _window(wanted, fixed, _longest_window(parts, sum(wanted), longest))
    pieces = [len(piece) for piece in next(iter(parts.values())).pieces]
    windows, crops = _crops(pieces, context + horizon)
    counts = ", ".join(
        f"{sum(len(piece) // (context + horizon) for piece in frames.pieces)} {name or 'all'}"
        for name, frames in parts.items()
    )
    notes = _notes(wanted, (context, horizon), findings.divided or shares != (0.0, 0.0))
    return Division(
        context, horizon, *shares, windows, crops, f"windows that do not overlap: {counts}", notes
    )


SIZES = ("context", "horizon")


def as_set(given: Mapping[str, str], key: str, otherwise: int) -> int:
    """Return the number that the user set a key to, at least 1; another number if none.

    What is no such number is refused where the configuration is built, with the name of the key.
    """
    text = given.get(key, "")
    return max(1, int(text)) if text.isdecimal() else otherwise


def _longest_window(parts: Mapping[str, Frames], wanted: int, longest: int) -> int:
    """Frames of a window at most: two thirds of a part that would hold a single one.

    Scores of one window would say little, and windows may overlap.
    """
    length = min(wanted, longest)
    several = all(sum(len(p) // length for p in frames.pieces) > 1 for frames in parts.values())
    return longest if several else max(SHORTEST, 2 * longest // 3)


def _window(wanted: Sequence[int], fixed: Sequence[bool], longest: int) -> tuple[int, int]:
    """The wanted window, or one in the same proportion that fits."""
    context, horizon = wanted
    if sum(wanted) <= longest or all(fixed):
        return context, horizon
    if fixed[0]:
        return context, max(1, longest - context)
    if fixed[1]:
        return max(1, longest - horizon), horizon
    fewer = min(max(1, round(longest * horizon / (context + horizon))), longest - 1)
    return longest - fewer, fewer


def _least(wanted: Sequence[int], fixed: Sequence[bool]) -> int:
    """Frames of the shortest window that the user allows."""
    return sum(size if is_fixed else 1 for size, is_fixed in zip(wanted, fixed, strict=True))


def _shares(findings: Findings, window: int) -> tuple[float, float]:
    """Shares of validation and test, such that each part can hold a window, where there are few."""
    data, frames = findings.data, findings.frames
    if findings.divided:
        return 0.0, 0.0
    by_time = len(frames.values) == 1
    total = frames.length if by_time else len(frames.values)
    least = window if by_time else 1
    share = max(USUAL, least / total)
    room = total >= 3 * least
    chosen = (share, share) if room else (0.0, 0.0)
    told = (data.validation_fraction, data.test_fraction)
    validation, test = (c if t is None else t for c, t in zip(chosen, told, strict=True))
    return round(validation, 4), round(test, 4)


def _split(frames: Frames, validation: float, test: float) -> Mapping[str, Frames]:
    parts = split(frames, validation, test)._asdict()
    return {name: part for name, part in parts.items() if part is not None}


def _crops(pieces: Sequence[int], window: int) -> tuple[int, int | None]:
    """Windows in an epoch; drawn anew at places of their own where few follow one another.

    Each stretch gives as many, so that no more are drawn than the shortest one has places: the
    others would else be seen too seldom beside it.
    """
    apart = sum(length // window for length in pieces)
    places = [length - window + 1 for length in pieces if length >= window]
    crops = min(MOST_CROPS, min(places, default=1))
    drawn = crops * max(1, len(places))
    return (drawn, crops) if apart < min(MOST_CROPS, drawn) else (apart, None)


def _notes(wanted: Sequence[int], window: tuple[int, int], parts: bool) -> tuple[str, ...]:
    notes = []
    if tuple(wanted) != window:
        notes.append(
            f"windows of {window[0]} + {window[1]} frames: longer ones would not fit into each "
            "part, or leave it a single one"
        )
    if not parts:
        notes.append("too few frames for parts of validation and test: the last weights are kept")
    return tuple(notes)
