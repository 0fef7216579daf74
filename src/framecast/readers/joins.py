"""Frames of several files made one: behind one another in time, channel by channel, side by side.

What is joined stays where it is: the values of the result are read from those of the parts.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from framecast.base.errors import UserError
from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Values
from framecast.frames.times import readable, step_of
from framecast.readers.differences import check_alike, same_values
from framecast.readers.parts import ChannelsReader, ChosenReader, SequencesReader, TimesReader


def join_times(parts: Sequence[Frames], source: str) -> Frames:
    """Put frames behind one another, in the order of their times.

    Args:
        parts: at least two, on one grid, with the same channels. Those without times are kept in
            the order in which they are given, and so must be all.
        source: of the result, for messages.

    Raises:
        UserError: if parts are not alike, or two of them hold the same times.
    """
    check_alike(parts)
    parts = _in_order(parts)
    time = parts[0].time_dim
    if time in parts[0].coordinates:
        _check_overlaps(parts)
    reader = TimesReader(tuple(map(_values, parts)), source)
    joined = replace(
        parts[0],
        values=LazyValues.of(reader),
        coordinates=_along(parts, time),
        source=source,
        actions=_cat_actions(parts),
    )
    _say_gaps(parts, joined)
    return joined


def join_channels(parts: Sequence[Frames], source: str) -> Frames:
    """Make the channels of several frames those of one, at the times that all of them have.

    Args:
        parts: at least two, on one grid, with different channels.
        source: of the result, for messages.

    Raises:
        UserError: if grids differ, or no time is in all of them.
    """
    check_alike(parts, channels=False)
    places = _common(parts)
    values = tuple(map(_values, parts))
    reader = ChannelsReader(values, places, source)
    first = parts[0]
    static = next((part.static for part in parts if part.static is not None), None)
    actions = next(
        (
            part.actions[:, torch.from_numpy(place)]
            for part, place in zip(parts, places, strict=True)
            if part.actions is not None
        ),
        None,
    )
    return replace(
        first,
        values=LazyValues.of(reader),
        channels=tuple(channel for part in parts for channel in part.channels),
        coordinates=_at(first, places[0]),
        source=source,
        static=static,
        actions=actions,
    )


def choose_channels(frames: Frames, names: Sequence[str]) -> Frames:
    """Return some of the channels of frames, in an order."""
    kept = tuple(frames.names.index(name) for name in names)
    if kept == tuple(range(len(frames.names))):
        return frames
    if isinstance(frames.values, Tensor):
        values: Values = frames.values[:, :, list(kept)]
    else:
        values = LazyValues.of(ChosenReader(frames.values, kept))
    return replace(frames, values=values, channels=tuple(frames.channels[i] for i in kept))


def join_sequences(parts: Sequence[Frames], names: Sequence[str], source: str) -> Frames:
    """Make each of several frames a sequence of one, or several where it holds several.

    Where their times differ, the times of the result are counted from the beginning of each. What
    each part says of itself, without dimensions, or of its sequences becomes a coordinate of the
    sequences.

    Args:
        parts: at least two, on one grid, with the same channels; they may differ in length.
        names: of the parts, by which the sequences are called.
        source: of the result, for messages.

    Raises:
        UserError: if parts are not alike, or their steps of time differ.
    """
    check_alike(parts, sequences=False)
    if any(part.actions is not None for part in parts):
        raise UserError(
            f"{source}: actions are read of one file, or of files that follow one another "
            "(data.join time)"
        )
    reader = SequencesReader(tuple(map(_values, parts)), source)
    lengths = [length for part in parts for length in part.lengths]
    named = [n for n, part in zip(names, parts, strict=True) for _ in part.lengths]
    first, time = parts[0], parts[0].time_dim
    labels = {"sequence": Coordinate(("sequence",), np.array(named))}
    space = {n: c for n, c in first.coordinates.items() if set(c.dims) <= set(first.dims[-2:])}
    return replace(
        first,
        values=LazyValues.of(reader, tuple(lengths)),
        dims=("sequence", *first.dims[-3:]),
        coordinates={
            **space,
            **_of_each(parts),
            **_shared_times(parts, time, max(lengths)),
            **labels,
        },
        source=source,
    )


def _of_each(parts: Sequence[Frames]) -> dict[str, Coordinate]:
    """Coordinates of whole sequences, of all parts; those without dimensions where they differ."""
    found = {}
    for name, first in parts[0].coordinates.items():
        each = [part.coordinates.get(name) for part in parts]
        pairs = zip(each, parts, strict=True)
        known = [c for c, part in pairs if c is not None and _whole(c, part)]
        if len(known) < len(parts):
            continue
        values = [
            np.broadcast_to(c.values, len(part.lengths))
            for c, part in zip(known, parts, strict=True)
        ]
        if any(c.dims for c in known) or any(v[0] != values[0][0] for v in values):
            found[name] = replace(first, dims=("sequence",), values=np.concatenate(values))
    return found


def _whole(coordinate: Coordinate, part: Frames) -> bool:
    """Whether a coordinate is of each sequence, or has no dimensions."""
    return coordinate.dims in ((), part.dims[:-3])


def _values(part: Frames) -> LazyValues:
    if not isinstance(part.values, LazyValues):
        raise TypeError("only frames that are read lazily are joined")
    return part.values


def _in_order(parts: Sequence[Frames]) -> list[Frames]:
    """Parts by their first times; as they are given where they have none."""
    if parts[0].time_dim not in parts[0].coordinates:
        return list(parts)
    return sorted(parts, key=lambda part: part.times[0])


def _check_overlaps(parts: Sequence[Frames]) -> None:
    """Refuse parts that hold the same time, or times of which one lies within the other's."""
    for first, second in pairwise(parts):
        if second.times[0] <= first.times[-1]:
            raise UserError(
                f"{first.source} and {second.source} overlap in time: {_span(first)}, and "
                f"{_span(second)}. Cut what is there twice from one of them (xarray's sel), name "
                "the files that follow one another alone, or set data.join sequences if each file "
                "is a series of its own"
            )


def _span(part: Frames) -> str:
    first, last = readable(part.times[0]), readable(part.times[-1])
    return f"one holds {first}" if len(part.times) == 1 else f"one holds {first} to {last}"


def _say_gaps(parts: Sequence[Frames], joined: Frames) -> None:
    """Warn of the first files between which times are missing."""
    times = joined.times
    if joined.irregular or joined.time_dim not in joined.coordinates or len(times) < 3:
        return
    # It says what is wrong with the axis before its pieces are looked at.
    step_of(times, tolerance=joined.tolerance)
    cuts = {piece.start for piece in joined.pieces if piece.start > 0}
    ends = accumulate(part.length for part in parts)
    gaps = [
        (first, second)
        for (first, second), end in zip(pairwise(parts), ends, strict=False)
        if end in cuts
    ]
    if gaps:
        first, second = gaps[0]
        more = f", and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        warnings.warn(
            f"{joined.source}: times are missing between {first.source}, which ends at "
            f"{readable(first.times[-1])}, and {second.source}, which begins at "
            f"{readable(second.times[0])}{more}: no window crosses such a gap",
            stacklevel=2,
        )


def _along(parts: Sequence[Frames], time: str) -> dict[str, Coordinate]:
    """The coordinates of the first part: those over time of all parts, others where all agree."""
    kept = {}
    for name, first in parts[0].coordinates.items():
        others = [part.coordinates.get(name) for part in parts]
        if any(c is None or c.dims != first.dims for c in others):
            continue
        alike = [c for c in others if c is not None]
        if time in first.dims:
            axis = first.dims.index(time)
            values = np.concatenate([c.values for c in alike], axis=axis)
            kept[name] = replace(first, values=values, encoding=_common_encoding(alike))
        elif all(same_values(first.values, c.values) for c in alike):
            kept[name] = first
    return kept


def _common_encoding(coordinates: Sequence[Coordinate]) -> Mapping[str, Any]:
    """How all are stored; the units of dates alone would not do for those of another file."""
    first = coordinates[0].encoding
    if all(dict(c.encoding) == dict(first) for c in coordinates):
        return first
    return {key: value for key, value in first.items() if key == "calendar"}


def _cat_actions(parts: Sequence[Frames]) -> Tensor | None:
    """Actions one after the other; unit vectors of fewer actions are filled up with 0."""
    actions = [part.actions for part in parts if part.actions is not None]
    if len(actions) < len(parts):
        return None
    most = max(each.shape[-1] for each in actions)
    for part, each in zip(parts, actions, strict=True):
        if each.shape[-1] < most and not part.numbered_actions:
            raise UserError(
                f"{part.source} has {each.shape[-1]} numbers in an action, and others {most}: "
                "files of one series have the same"
            )
    return torch.cat([pad(each, (0, most - each.shape[-1])) for each in actions], dim=1)


def _common(parts: Sequence[Frames]) -> tuple[np.ndarray, ...]:
    """The places of the times that all parts have, in each; what is dropped is said."""
    common = parts[0].times
    for part in parts[1:]:
        common = np.intersect1d(common, part.times)
    if not len(common):
        spans = "; ".join(f"{p.source}: {_span(p)[10:]}" for p in parts)
        raise UserError(f"no time is in all of the files, whose variables differ ({spans})")
    dropped = {p.source: p.length - len(common) for p in parts if p.length > len(common)}
    if dropped:
        listed = ", ".join(f"{count} of {source}" for source, count in dropped.items())
        warnings.warn(
            f"variables are in several files, and {len(common)} times are in all of them: other "
            f"frames are not used ({listed})",
            stacklevel=2,
        )
    return tuple(np.flatnonzero(np.isin(part.times, common)) for part in parts)


def _at(frames: Frames, places: np.ndarray) -> dict[str, Coordinate]:
    """The coordinates of frames at some of their times."""
    time = frames.time_dim
    return {
        name: replace(c, values=np.take(c.values, places, c.dims.index(time)))
        if time in c.dims
        else c
        for name, c in frames.coordinates.items()
    }


def _shared_times(parts: Sequence[Frames], time: str, length: int) -> dict[str, Coordinate]:
    """The time axis of parts that stand side by side; none where no part has one."""
    axes = [part.coordinates.get(time) for part in parts]
    if any(axis is None for axis in axes):
        return {}
    longest = next(part for part in parts if part.length == length)
    if all(np.array_equal(longest.times[: part.length], part.times) for part in parts):
        return {time: longest.coordinates[time]}
    return {time: _lead_times(parts, longest)}


def _lead_times(parts: Sequence[Frames], longest: Frames) -> Coordinate:
    """Seconds, or units of the axis, since the first frame of each part."""
    for part in parts:
        if len(part.pieces) > len(part.lengths):
            cut = next(piece.start for piece in part.pieces if piece.start > 0)
            raise UserError(
                f"{part.source}: times are missing before {readable(part.times[cut])}, and other "
                "files have other times: as sequences (data.join sequences) each must be whole"
            )
        if part.length > 1 and part.step != longest.step:
            raise UserError(
                f"{longest.source} has a step of {longest.step}, but {part.source} of {part.step}"
            )
    step = longest.step
    seconds = None if step is None else step.seconds
    if seconds is None and step is not None and step.months:
        raise UserError(
            f"{longest.source}: files of months with other times cannot be sequences: months "
            "differ in length"
        )
    if seconds is None:
        values = longest.times - longest.times[0]
        return replace(longest.coordinates[longest.time_dim], values=values)
    values = np.arange(longest.length) * seconds
    attributes = {"units": "s", "axis": "T", "long_name": "time since the first frame"}
    values = values if math.fmod(seconds, 1) else values.astype(np.int64)
    return Coordinate((longest.time_dim,), values, attributes)
