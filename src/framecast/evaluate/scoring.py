"""Scoring competitors on windows, a stretch of frames at a time.

Neither forecasts nor windows are held in memory whole: whatever the horizon, there are a few frames
of one batch, and small sums for each step, of a hundred blocks of windows at most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from framecast.base.progress import track
from framecast.base.ranks import Ranks, ranks_here
from framecast.evaluate.blocks import assign
from framecast.evaluate.returns import Returns
from framecast.forecast.competitor import Competitor, Stretch
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.metrics import Measure, Scores, Truth
from framecast.metrics.family import Family
from framecast.metrics.frechet import ClipSums


@runtime_checkable
class Usual(Protocol):
    """What is usual at places and times: a climatology."""

    def __call__(self, places: Sequence[Place], steps: int) -> Float[Tensor, "B S C H W"]:
        """Return the climatology of the S frames that begin at each place, in physical units."""


class Scored(NamedTuple):
    """What is kept of the forecasts of one competitor.

    Attributes:
        groups: scores for frames 2..L of the windows of each group: sums of each of its blocks.
        example: the forecast of the first window.
        errors: RMSE of the forecast of each window and channel, in the order of the groups.
    """

    groups: Mapping[str, Scores]
    example: Float[Tensor, "M K C H W"]
    errors: Float64[Tensor, "B C"]


class WindowBatch(NamedTuple):
    """Windows that are scored together.

    Attributes:
        group: that they all belong to.
        places: where they begin.
        blocks: the block of the group that each belongs to.
    """

    group: str
    places: Sequence[Place]
    blocks: Sequence[int]


@dataclass(frozen=True, eq=False)
class ScoredWindows:
    """Windows of context + K frames.

    Attributes:
        frames: that the windows lie in.
        channels: C, of which are predicted: the first ones.
        context: frames given.
        leads: K.
        groups: where the windows of each group begin.
        size: windows of a batch.
        possible: where a value may be forecast at all, [C,H,W]; None for everywhere.
        usual: the climatology; None where there is none.
        returns: how long ago the place of a frame was shown; None where nobody knows.
        spans: where each window lies in one series, and how long one is, where windows that may
            overlap are sequences of their own; None where `groups` say it.
    """

    frames: Frames
    channels: int
    context: int
    leads: int
    groups: Mapping[str, Sequence[Place]]
    size: int = 16
    possible: Bool[Tensor, "C H W"] | None = None
    usual: Usual | None = None
    returns: Returns | None = None
    spans: tuple[Sequence[Place], int] | None = None

    def batches(self) -> list[WindowBatch]:
        """Cut the windows into batches that do not mix groups."""
        batches = []
        for group, places in self.groups.items():
            blocks = assign(*(self.spans or (places, self.context + self.leads)))
            for start in range(0, len(places), self.size):
                part = slice(start, start + self.size)
                batches.append(WindowBatch(group, places[part], blocks[part]))
        return batches

    def stretches(self, length: int) -> list[range]:
        """Cut predictions 0..context + K − 2 into stretches within either phase.

        Prediction p is of frame p + 1 of a window, counted from 0.
        """
        phases = (0, self.context - 1), (self.context - 1, self.context + self.leads - 1)
        return [
            range(start, min(start + length, stop))
            for begin, stop in phases
            for start in range(begin, stop, length)
        ]

    def read(self, batch: Sequence[Place], steps: range) -> Stretch:
        """Read the frames from which, and of which, some predictions of a batch are made."""
        places = [Place(n, first + steps.start) for n, first in batch]
        values = torch.stack([self.frames.values[n, at : at + len(steps) + 1] for n, at in places])[
            :, :, : self.channels
        ]
        given = max(0, min(steps.stop, self.context) - steps.start)
        return Stretch(places, values, given, steps.start >= self.context - 1)

    def truth(
        self, stretch: Stretch, batch: Sequence[Place], steps: range, given: bool = False
    ) -> Truth:
        """Return what was to be predicted, NaN where nothing is known or may be forecast.

        Args:
            stretch: of frames; those after the first were to be predicted.
            batch: where the windows begin that it is a stretch of.
            steps: the predictions of it.
            given: whether it tells the given frames of a forecast too.
        """
        values = stretch.values[:, 1:]
        if self.possible is not None:
            values = values.where(self.possible, torch.nan)
        places = tuple(Place(n, start + 1) for n, start in stretch.places)
        usual = None if self.usual is None else self.usual(places, stretch.steps)
        ages = None
        if stretch.forecast and self.returns is not None:
            first = steps.start - (self.context - 1)
            ages = self.returns(batch, slice(first, first + len(steps)))
        shown = self._given(batch) if given and stretch.forecast else None
        return Truth(values, usual, places, stretch.forecast, ages, shown)

    def _given(self, batch: Sequence[Place]) -> Float[Tensor, "B T C H W"]:
        """The given frames of windows."""
        each = [self.frames.values[n, first : first + self.context] for n, first in batch]
        return torch.stack(each)[:, :, : self.channels]


@torch.inference_mode()
def score(
    competitors: Sequence[Competitor], windows: ScoredWindows, measure: Measure, progress: bool
) -> list[Scored]:
    """Score all competitors on the same windows.

    Args:
        competitors: what is to be scored.
        windows: where.
        measure: the metrics.
        progress: whether to show a progress bar on stderr.
    """
    stretches, batches = windows.stretches(measure.clip), windows.batches()
    counts = {group: last + 1 for group, _, (*_, last) in batches}
    ranks = ranks_here()
    mine = batches[ranks.rank :: ranks.count]
    turns = track(stretches * len(mine), "evaluate", len(stretches) * len(mine), progress)
    groups: list[dict[str, Scores]] = [{} for _ in competitors]
    examples: list[Tensor] = []
    errors: list[list[Tensor]] = [[] for _ in competitors]
    for batch, found in _shared(batches, ranks, competitors, windows, measure, turns):
        blocks = torch.tensor(batch.blocks)
        for known, scores in zip(groups, found.scores(measure.families), strict=True):
            before = known.get(batch.group)
            known[batch.group] = scores.gather(blocks, counts[batch.group], before)
        for every, own in zip(errors, found.errors, strict=True):
            every.append(own)
        examples = examples or found.examples
    return [
        Scored(known, example, torch.cat(each))
        for known, example, each in zip(groups, examples, errors, strict=True)
    ]


class _Found(NamedTuple):
    """What comes of a batch, small enough to be sent to another process.

    Attributes:
        sums: of each competitor: those of its scores, and features of clips.
        errors: of each competitor: RMSE of each window and channel.
        examples: of each competitor, its forecast of the first window; none if it is not kept.
    """

    sums: list[tuple[Mapping[str, Tensor], ClipSums | None]]
    errors: list[Tensor]
    examples: list[Tensor]

    def scores(self, families: tuple[Family, ...]) -> list[Scores]:
        """Return the scores of each competitor."""
        return [Scores(sums, families, clips) for sums, clips in self.sums]


def _shared(
    batches: Sequence[WindowBatch],
    ranks: Ranks,
    competitors: Sequence[Competitor],
    windows: ScoredWindows,
    measure: Measure,
    turns: Iterator[range],
) -> Iterator[tuple[WindowBatch, _Found]]:
    """Yield all batches, in their order, with what comes of them.

    Several processes take them in turns and tell one another, so that sums are made in the same
    order in each of them, and in one alone.
    """
    count = len(windows.stretches(measure.clip))
    for start in range(0, len(batches), ranks.count):
        round_ = batches[start : start + ranks.count]
        own = None
        if ranks.rank < len(round_):
            places, first = round_[ranks.rank].places, start + ranks.rank == 0
            own = _score_batch(competitors, windows, places, measure, islice(turns, count), first)
        for batch, found in zip(round_, ranks.gather(own), strict=False):
            assert found is not None
            yield batch, found


def _score_batch(
    competitors: Sequence[Competitor],
    windows: ScoredWindows,
    batch: Sequence[Place],
    measure: Measure,
    stretches: Iterator[range],
    first: bool,
) -> _Found:
    """Scores of each competitor on a batch; of the first one, forecasts of its first window too."""
    states: list[Any] = [None] * len(competitors)
    squares: list[list[Tensor]] = [[] for _ in competitors]
    scores: list[list[Scores]] = [[] for _ in competitors]
    examples: list[list[Tensor]] = [[] for _ in competitors]
    for steps in stretches:
        forecast = steps.start >= windows.context - 1
        stretch = windows.read(batch, steps)
        reference = measure.reference(windows.truth(stretch, batch, steps, measure.whole))
        for place, competitor in enumerate(competitors):
            predictions, states[place] = competitor.predict(stretch, states[place])
            scores[place].append(measure.scores(predictions, reference))
            if forecast and first:
                examples[place].append(predictions[:, 0].clone())
            if forecast:
                squares[place].append(_squares(predictions.mean(0), reference.truth.values))
    joined = [Scores.cat(parts) for parts in scores]
    return _Found(
        [(scores.sums, scores.clips) for scores in joined],
        [_root(own) for own in squares],
        [torch.cat(parts, dim=1) for parts in examples] if first else [],
    )


def _root(squares: Sequence[Tensor]) -> Float64[Tensor, "B C"]:
    """The root of the mean of squares of several stretches."""
    total, count = torch.stack(list(squares)).sum(0)
    return torch.as_tensor((total / count).sqrt())


def _squares(
    prediction: Float[Tensor, "B S C H W"], truth: Float[Tensor, "B S C H W"]
) -> Float64[Tensor, "2 B C"]:
    """Sum of the squared error of each window and channel, and of how many values it is."""
    error = prediction.double() - truth
    known = ~truth.isnan()
    return torch.stack([
        error.square().where(known, 0.0).sum((1, 3, 4)), known.double().sum((1, 3, 4))
    ])  # fmt: skip
