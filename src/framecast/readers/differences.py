"""How the files of a series differ: the first that does not fit is named, with what differs."""

from collections.abc import Iterator, Sequence

import numpy as np

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.places import AXES, find_axis

CLOSE = 1e-6
"""Difference of coordinates, relative to the largest, that other ways of storing them explain."""


def check_alike(parts: Sequence[Frames], channels: bool = True, sequences: bool = True) -> None:
    """Refuse the first of several frames that does not fit the one before all others.

    Args:
        parts: at least one.
        channels: whether names and units of the channels must agree.
        sequences: whether number and names of the sequences must agree.

    Raises:
        UserError: that names both and what differs.
    """
    first = parts[0]
    for part in parts[1:]:
        found = next(_differences(first, part, channels, sequences), None)
        if found:
            raise UserError(
                f"{part.source} does not fit {first.source}: {found}. Files of one series have "
                "the same grid, variables and units: convert the file, or name those that fit"
            )


def same_values(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether coordinates agree, but for the rounding of another way of storing them."""
    if first.shape != second.shape:
        return False
    if first.dtype.kind not in "fiu" or second.dtype.kind not in "fiu" or not first.size:
        return bool(np.array_equal(first, second))
    largest = float(np.nanmax(np.abs(first), initial=0))
    return bool(np.allclose(first, second, rtol=0, atol=CLOSE * largest, equal_nan=True))


def same_places(frames: Frames, others: Frames) -> bool:
    """Whether rows and columns lie at the same coordinates, where both have some."""
    if frames.grid != others.grid:
        return False
    pairs = [
        (frames.coordinates.get(ours), others.coordinates.get(theirs))
        for ours, theirs in zip(frames.dims[-2:], others.dims[-2:], strict=True)
    ]
    pairs += [(find_axis(frames, axis), find_axis(others, axis)) for axis in AXES]
    return all(
        same_values(own.values, other.values)
        for own, other in pairs
        if own is not None and other is not None
    )


def _differences(first: Frames, part: Frames, channels: bool, sequences: bool) -> Iterator[str]:
    if channels and part.names != first.names:
        yield f"its variables are {', '.join(part.names)}, not {', '.join(first.names)}"
    if channels:
        for ours, theirs in zip(first.channels, part.channels, strict=False):
            if ours.units != theirs.units:
                yield f"{theirs.name} is in {_units(theirs.units)}, not in {_units(ours.units)}"
    if part.grid != first.grid:
        yield f"its grid has {_by(part)} rows and columns, not {_by(first)}"
    if part.dims[-2:] != first.dims[-2:]:
        yield f"its rows and columns are {list(part.dims[-2:])}, not {list(first.dims[-2:])}"
    if sequences and len(part.values) != len(first.values):
        yield f"it has {len(part.values)} sequences, not {len(first.values)}"
    yield from _other_coordinates(first, part, sequences)
    yield from _other_times(first, part)
    fixed, others = first.static, part.static
    if fixed and others and not same_values(fixed.values.numpy(), others.values.numpy()):
        yield "its static fields have other values"


def _other_coordinates(first: Frames, part: Frames, sequences: bool) -> Iterator[str]:
    compared = {*first.dims[-2:], *(first.dims[:-3] if sequences else ())}
    for name, ours in first.coordinates.items():
        theirs = part.coordinates.get(name)
        if theirs is None or not ours.dims or not set(ours.dims) <= compared:
            continue
        if not same_values(ours.values, theirs.values):
            yield f"its {name} is {_ends(theirs.values)}, not {_ends(ours.values)}"


def _other_times(first: Frames, part: Frames) -> Iterator[str]:
    ours, theirs = (frames.coordinates.get(frames.time_dim) for frames in (first, part))
    if (ours is None) != (theirs is None):
        yield "one of them has times, and the other has none"
    if ours is None or theirs is None:
        return
    kinds = [kind_of_times(axis.values) for axis in (ours, theirs)]
    if kinds[0] != kinds[1]:
        yield f"its times are {kinds[1]}, not {kinds[0]}"
    units = [str(axis.attributes.get("units", "")) for axis in (ours, theirs)]
    if units[0] != units[1]:
        yield f"its times are in {_units(units[1])}, not in {_units(units[0])}"


def kind_of_times(times: np.ndarray) -> str:
    """Return what times are, in words: numbers, durations, dates, or dates of another calendar."""
    if times.dtype.kind in "Mm":
        return "dates" if times.dtype.kind == "M" else "durations"
    if times.dtype == object:
        return f"dates of the calendar {getattr(times.flat[0], 'calendar', 'unknown')}"
    return "numbers"


def _ends(values: np.ndarray) -> str:
    if values.dtype.kind not in "fiu" or not values.size:
        return ", ".join(map(str, values.flat[:3]))
    first, last = values.flat[0], values.flat[-1]
    return f"{first:g} to {last:g} in {'×'.join(map(str, values.shape))} points"


def _units(units: str) -> str:
    return units or "no units"


def _by(frames: Frames) -> str:
    return f"{frames.grid[0]}×{frames.grid[1]}"
