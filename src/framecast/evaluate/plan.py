"""On what runs are evaluated: frames, and windows of them in groups."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from framecast.base.errors import UserError
from framecast.evaluate.returns import Returns
from framecast.evaluate.runs import Run, check_frames, test_frames
from framecast.evaluate.scoring import ScoredWindows, Usual
from framecast.evaluate.strides import Stride, strides_of
from framecast.frames.batch import Place
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.windows import allowed_starts, side_by_side
from framecast.readers.paths import Paths

ALL = ""
"""The group of windows where they are not grouped."""


class Plan(NamedTuple):
    """On what runs are evaluated.

    Attributes:
        every: the frames of each run.
        channels: that are predicted.
        context: frames given.
        steps: K.
        groups: where the windows of each group begin.
        sized: whether these are groups of as many windows each, over which numbers are means.
        strides: frames from one window to the next, in turns; none where they lie side by side.
    """

    every: list[Frames]
    channels: tuple[Channel, ...]
    context: int
    steps: int
    groups: dict[str, list[Place]]
    sized: bool = False
    strides: tuple[int, ...] = ()

    @property
    def frames(self) -> Frames:
        """Those of the first run, that hold the truth."""
        return self.every[0]

    @property
    def places(self) -> list[Place]:
        """Where all windows begin."""
        return [place for places in self.groups.values() for place in places]

    @property
    def windows(self) -> int:
        """Their number."""
        return sum(map(len, self.groups.values()))

    def scored(
        self,
        batch_size: int,
        possible: Tensor | None,
        usual: Usual | None,
        returns: Returns | None,
    ) -> ScoredWindows:
        """Return the windows as they are scored (see `ScoredWindows`)."""
        return ScoredWindows(
            self.frames,
            len(self.channels),
            self.context,
            self.steps,
            self.groups,
            batch_size,
            possible,
            usual,
            returns,
        )

    def window(self, place: int) -> Frames:
        """Return a window, in memory."""
        sequence, start = self.places[place]
        times = slice(start, start + self.context + self.steps)
        return self.frames.select(slice(sequence, sequence + 1), times).predicted()


def make_plan(
    runs: Sequence[Run],
    data: Paths | None,
    steps: int | None,
    context: int | None,
    stride: Stride | None,
    by: str | None,
    group_size: int | None,
) -> Plan:
    """Read the frames, and choose the windows.

    Args:
        runs: that are evaluated.
        data: other frames than those of the test part; None for these.
        steps: K; the longest horizon of the runs if None.
        context: frames given; the longest of the runs if None.
        stride: how far windows lie apart; None for side by side.
        by: a coordinate over the sequences that groups windows.
        group_size: windows of a group.

    Raises:
        UserError: if the frames do not suit the runs, no window fits, there is no such coordinate,
            or windows make no whole groups.
    """
    steps = max(run.checkpoint.horizon for run in runs) if steps is None else steps
    context = max(run.checkpoint.context for run in runs) if context is None else context
    every = test_frames(runs, data)
    check_frames(every, runs, context, steps)
    strides = strides_of(every[0], stride)
    places = _places(every[0], runs[0], context, steps, strides)
    channels = runs[0].checkpoint.frames.predicted
    if group_size is None:
        groups = _by_coordinate(places, every[0], by)
    elif by is None:
        groups = _of_size(places, group_size)
    else:
        raise UserError(f"--by {by} and --group-size {group_size} both group windows: give one")
    return Plan(every, channels, context, steps, groups, group_size is not None, strides)


def _places(
    frames: Frames, run: Run, context: int, steps: int, strides: Sequence[int]
) -> list[Place]:
    """Where windows begin: those whose targets are known well enough."""
    known_fraction, gaps = run.data.known_fraction, any(run.checkpoint.statistics.gaps)
    allowed = allowed_starts(frames, context + steps, context, known_fraction, gaps)
    places = side_by_side(frames, context + steps, allowed, strides)
    if not places:
        raise UserError(
            f"{frames.source}: no window of {context} + {steps} frames has a target that is known "
            f"to {known_fraction:g} (data.known_fraction of the run)"
        )
    return places


def _by_coordinate(
    places: Sequence[Place], frames: Frames, by: str | None
) -> dict[str, list[Place]]:
    """Windows by the value that a coordinate has for their sequence, in order of appearance."""
    if by is None:
        return {ALL: list(places)}
    over = {
        name: c.values
        for name, c in frames.coordinates.items()
        if len(frames.dims) == 4 and c.dims == frames.dims[:1]
    }
    if by not in over:
        there = f"there are {', '.join(over)}" if over else "there is none"
        raise UserError(f"{frames.source} has no coordinate {by} over its sequences: {there}")
    groups: dict[str, list[Place]] = {}
    for place in places:
        groups.setdefault(str(over[by][place.sequence]), []).append(place)
    return groups


def _of_size(places: Sequence[Place], size: int) -> dict[str, list[Place]]:
    """Groups of as many windows each, one after the other."""
    count = len(places)
    if size < 1 or count % size:
        near = [n for n in range(1, count + 1) if count % n == 0]
        raise UserError(
            f"--group-size {size}: the {count} windows make no whole groups of so many: choose one "
            f"of {', '.join(map(str, near))}"
        )
    starts = range(0, count, size)
    return {f"group {n}": list(places[at : at + size]) for n, at in enumerate(starts, start=1)}
