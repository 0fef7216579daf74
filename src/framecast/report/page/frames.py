"""What the viewer of a page shows: fields of some windows, as many as its budget holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps

from framecast.evaluate.examples import PARTS, Example
from framecast.forecast.writers.colours import (
    DIVERGING,
    PICTURE,
    SEQUENTIAL,
    difference_colours,
    value_colours,
)
from framecast.frames.channels import in_colours
from framecast.frames.frames import Frames
from framecast.frames.lazy import load
from framecast.frames.leads import lead_times, spoken
from framecast.frames.times import SHOWN, readable
from framecast.report.page.coasts import coasts
from framecast.report.page.coding import Coding
from framecast.report.page.grid import coarser, describe_grid

BUDGET = 6_000_000
"""Bytes of a page that fields may take."""
ESSENTIAL = 4
"""Windows that are dropped only for want of room: first, best, median, worst."""
_COMPRESSION = 40
"""Times that fields are deflated to less, at the very best: beyond, nothing is tried."""
_WIDE = 1.5
"""Widths of the range of the truth that a forecast may leave it by, to either side."""
_FAR = 0.995
"""Share of the errors that lie within the colours of differences."""


class Effort(NamedTuple):
    """How much of fields is kept.

    Attributes:
        size: bytes of a value.
        windows: how many at least must fit.
        every: lead times from one that is kept to the next.
        coarse: cells a side that become one, by their mean.
    """

    size: int
    windows: int
    every: int = 1
    coarse: int = 1


@dataclass(frozen=True, eq=False)
class Show:
    """What is to be shown.

    Attributes:
        examples: windows, those that must not be missing first.
        context: given frames of each window.
        labels: of the forecasts of each.
        models: how many of these are models; the others are baselines.
        of: number of windows that they were chosen from.
    """

    examples: Sequence[Example]
    context: int
    labels: Sequence[str]
    models: int
    of: int

    @property
    def first(self) -> Frames:
        """The first window."""
        return self.examples[0].window

    @property
    def steps(self) -> int:
        """K."""
        return self.first.length - self.context


def scene(show: Show, budget: int = BUDGET) -> dict[str, Any]:
    """Return what the viewer reads, as plain values, within a budget of bytes.

    Windows are left out first, then values are rounded to 254 levels rather than 65534, then lead
    times are left out, then cells are put together; `notes` says what was done.
    """
    for effort in _efforts(len(show.examples)):
        encoded = _encode(show, effort, budget)
        if encoded is not None:
            return encoded
    raise AssertionError("one cell at one lead time takes no room")


def _efforts(count: int) -> Iterator[Effort]:
    """From the most to the least that may be kept."""
    essential = min(ESSENTIAL, count)
    yield Effort(2, essential)
    yield from (Effort(1, number) for number in range(essential, 0, -1))
    for power in range(1, 24):
        yield Effort(1, 1, every=2**power)
        yield Effort(1, 1, every=2**power, coarse=2 ** (power // 2))
        yield Effort(1, 1, every=2**power, coarse=2**power)


class _Kept(NamedTuple):
    """Which frames of a window are kept, in lead times: 0 is the last given one."""

    truth: list[int]
    forecast: list[int]


def _kept(show: Show, every: int) -> _Kept:
    leads = [*range(every, show.steps + 1, every)] or [show.steps]
    before = min(show.context, show.steps)
    return _Kept([*range(1 - before if every == 1 else 0, 1), *leads], leads)


def _encode(show: Show, effort: Effort, budget: int) -> dict[str, Any] | None:
    """The scene at an effort; None if it takes more than the budget."""
    kept = _kept(show, effort.every)
    cells = np.prod([-(-side // effort.coarse) for side in show.first.grid])
    frames = len(kept.truth) + sum(len(f) for f in show.examples[0].forecasts) * len(kept.forecast)
    raw = cells * frames * len(show.first.channels) * effort.size * effort.windows
    if raw > _COMPRESSION * budget:
        return None
    fields = [_fields(show, example, kept, effort.coarse) for example in show.examples]
    channels = range(len(show.first.channels))
    codings = [_codings(fields, channel, effort.size) for channel in channels]
    windows: list[dict[str, Any]] = []
    used = 0
    for example, own in zip(show.examples, fields, strict=True):
        window, size = _window(own, codings)
        used += size
        if used > budget:
            break
        windows.append(_about(show, example, kept) | window)
    if len(windows) < effort.windows:
        return None
    return _described(show, effort, kept, fields[: len(windows)], codings) | {"windows": windows}


class _Fields(NamedTuple):
    """The fields of a window: truth [T,C,H,W], and parts [P,K,C,H,W] of each forecast."""

    truth: Float[np.ndarray, "T C H W"]
    forecasts: list[Float[np.ndarray, "P K C H W"]]


def _fields(show: Show, example: Example, kept: _Kept, coarse: int) -> _Fields:
    truth = load(example.window.values)[0][[show.context - 1 + lead for lead in kept.truth]]
    places = [lead - 1 for lead in kept.forecast]
    forecasts = [coarser(parts[:, places].double().numpy(), coarse) for parts in example.forecasts]
    return _Fields(coarser(truth.double().numpy(), coarse), forecasts)


class _Codings(NamedTuple):
    """Of values and spreads of a channel, whether any value was cut, and errors for colours."""

    values: Coding
    spread: Coding
    cut: bool
    shown: tuple[float, float]
    error: float


def _codings(fields: Sequence[_Fields], channel: int, size: int) -> _Codings:
    """The range of a channel over all windows; forecasts that leave the truth's by far are cut."""
    truth = _ends([own.truth[:, channel] for own in fields])
    values = [p[[0, *range(2, len(p))], :, channel] for own in fields for p in own.forecasts]
    low, high = _ends(values)
    if np.isnan(low):
        low, high = (0.0, 1.0) if np.isnan(truth[0]) else truth
    if np.isnan(truth[0]):
        truth = (low, high)
    # Where the truth is one value, no forecast is far from it.
    width = (truth[1] - truth[0]) or max(high, truth[1]) - min(low, truth[0])
    room = _WIDE * width
    least, greatest = max(low, truth[0] - room), min(high, truth[1] + room)
    least, greatest = min(least, truth[0]), max(greatest, truth[1])
    _, spread = _ends([p[1, :, channel] for own in fields for p in own.forecasts if len(p) > 1])
    errors = np.concatenate([_errors(own, channel) for own in fields])
    limit = float(np.quantile(errors, _FAR)) if errors.size else 0.0
    return _Codings(
        Coding.between(least, greatest, size),
        Coding.between(0.0, spread if np.isfinite(spread) else 1.0, size),
        bool(low < least or high > greatest),
        truth,
        min(limit, width) or 1.0,
    )


def _ends(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Least and greatest finite value; NaN where there is none."""
    found = [each[np.isfinite(each)] for each in arrays]
    ends = [(float(each.min()), float(each.max())) for each in found if each.size]
    if not ends:
        return np.nan, np.nan
    return min(low for low, _ in ends), max(high for _, high in ends)


def _errors(fields: _Fields, channel: int) -> np.ndarray:
    """Sizes of the errors of the first forecast."""
    leads = fields.forecasts[0].shape[1]
    errors = np.abs(fields.forecasts[0][0, :, channel] - fields.truth[-leads:, channel])
    return np.asarray(errors[np.isfinite(errors)])


def _window(fields: _Fields, codings: Sequence[_Codings]) -> tuple[dict[str, Any], int]:
    """The fields of a window as text, and their size."""
    truth = [c.values.encode(fields.truth[:, n]) for n, c in enumerate(codings)]
    forecasts = [
        [
            [
                (c.spread if part == 1 and len(parts) > 1 else c.values).encode(own)
                for part, own in enumerate(parts[:, :, n])
            ]
            for n, c in enumerate(codings)
        ]
        for parts in fields.forecasts
    ]
    size = sum(map(len, truth)) + sum(len(t) for f in forecasts for c in f for t in c)
    return {"truth": truth, "forecasts": forecasts}, size


def _about(show: Show, example: Example, kept: _Kept) -> dict[str, Any]:
    times = example.window.times
    valid = [
        readable(times[show.context - 1 + lead], SHOWN).replace("T", " ") for lead in kept.truth
    ]
    return {"name": describe_choice(example, show.of), "valid": valid}


def describe_choice(example: Example, of: int) -> str:
    """Say which window one is: best, rank 1 of 9."""
    names, rank, place = example.choice
    if not rank:
        return ", ".join(names)
    called = ", ".join(names) or f"window {place + 1}"
    return f"{called} (rank {rank} of {of})" if of > 1 else "the only window"


def _described(
    show: Show,
    effort: Effort,
    kept: _Kept,
    fields: Sequence[_Fields],
    codings: Sequence[_Codings],
) -> dict[str, Any]:
    """All that the viewer needs beside the fields."""
    first, names = show.first, show.first.names
    times, units = lead_times(first, show.steps)
    said = spoken(times, units)
    channels = [
        {
            "name": channel.name,
            "units": "" if channel.units == "1" else channel.units,
            "values": coding.values._asdict() | {"cut": coding.cut},
            "spread": coding.spread._asdict(),
            "colours": value_colours(names, *_visible(channel, coding))._asdict(),
            "errors": difference_colours(coding.error)._asdict(),
        }
        for channel, coding in zip(first.channels, codings, strict=True)
    ]
    picture = in_colours(first.channels)
    return {
        "grid": describe_grid(first, effort.coarse) | {"coasts": coasts(first, effort.coarse)},
        "maps": {name: _colours(name) for name in (DIVERGING, SEQUENTIAL, PICTURE)},
        "channels": channels,
        "variables": [{"name": "colours", "channels": [0, 1, 2]}]
        if picture
        else [{"name": c.name, "channels": [n]} for n, c in enumerate(first.channels)],
        "parts": list(PARTS),
        "sources": [
            {"label": label, "model": n < show.models, "parts": len(parts)}
            for n, (label, parts) in enumerate(zip(show.labels, fields[0].forecasts, strict=True))
        ],
        "leads": [said[lead - 1] for lead in kept.forecast],
        "offsets": kept.truth,
        "known": bool(any(np.isfinite(own.truth).any() for own in fields)),
        "notes": list(_notes(show, effort, len(fields), codings)),
    }


def _visible(channel: Any, coding: _Codings) -> tuple[float, float]:
    low, high = coding.shown if channel.valid_range is None else channel.valid_range
    return (low, high) if low < high else (low, low + 1.0)


def _colours(name: str) -> list[int]:
    """The 256 colours of a map: red, green, blue, one after the other."""
    table = colormaps[name](np.linspace(0, 1, 256), bytes=True)[:, :3]
    return [int(value) for value in np.asarray(table).ravel()]


def _notes(show: Show, effort: Effort, windows: int, codings: Sequence[_Codings]) -> Iterator[str]:
    """What was left out, and how values were rounded."""
    if windows < show.of:
        yield f"{windows} of {show.of} windows are shown; the others are in the numbers alone."
    channels = zip(show.first.channels, codings, strict=True)
    rounded = [
        f"{c.name} to {coding.values.step:.2g} {'' if c.units == '1' else c.units}".strip()
        for c, coding in channels
    ]
    yield (
        f"Values are rounded for the maps, to {256**effort.size - 2:,} levels: "
        f"{', '.join(rounded)}."
    )
    cut = [c.name for c, coding in zip(show.first.channels, codings, strict=True) if coding.cut]
    if cut:
        yield (
            f"Forecasts of {', '.join(cut)} leave the range of the truth by more than {_WIDE:g} of "
            "its width; they are cut there, and read ≤ or ≥."
        )
    if effort.every > 1:
        yield f"Every {effort.every}th lead time is shown, so that the page stays small."
    if effort.coarse > 1:
        yield f"{effort.coarse}×{effort.coarse} cells are shown as one, by their mean."
