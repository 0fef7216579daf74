"""Scoring competitors on windows, a stretch of frames at a time.

Neither forecasts nor windows are held in memory whole: whatever the horizon, there are a few frames
of one batch, and one small sum for each step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framecast.base.progress import track
from framecast.evaluate.competitors import Competitor, Stretch
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.metrics import Measure, Scores


class Scored(NamedTuple):
    """What is kept of the forecasts of one competitor.

    Attributes:
        groups: scores for frames 2..L of the windows of each group.
        example: the forecast of the first window.
    """

    groups: Mapping[str, Scores]
    example: Float[Tensor, "K C H W"]


@dataclass(frozen=True, eq=False)
class ScoredWindows:
    """Windows of context + K frames, in batches that do not mix groups.

    Attributes:
        frames: that the windows lie in.
        channels: C, of which are predicted: the first ones.
        context: frames given.
        leads: K.
        batches: the group of each batch, and where its windows begin.
        possible: where a value may be forecast at all, [C,H,W]; None for everywhere.
    """

    frames: Frames
    channels: int
    context: int
    leads: int
    batches: Sequence[tuple[str, Sequence[Place]]]
    possible: Bool[Tensor, "C H W"] | None = None

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
        return Stretch(places, values, given)

    def truth(self, stretch: Stretch) -> Float[Tensor, "B T C H W"]:
        """Return what was to be predicted, NaN where nothing is known or may be forecast."""
        truth = stretch.values[:, 1:]
        return truth if self.possible is None else truth.where(self.possible, torch.nan)


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
    stretches = windows.stretches(measure.clip)
    every = stretches * len(windows.batches)
    turns = track(every, "evaluate", len(every), progress)
    groups: list[dict[str, Scores]] = [{} for _ in competitors]
    examples = torch.empty(len(competitors), windows.leads, windows.channels, *windows.frames.grid)
    first: Tensor | None = examples
    for group, batch in windows.batches:
        turn = islice(turns, len(stretches))
        parts = _score_batch(competitors, windows, batch, measure, turn, first)
        for known, scores in zip(groups, parts, strict=True):
            known[group] = known[group] + scores if group in known else scores
        first = None
    return [Scored(known, example) for known, example in zip(groups, examples, strict=True)]


def _score_batch(
    competitors: Sequence[Competitor],
    windows: ScoredWindows,
    batch: Sequence[Place],
    measure: Measure,
    stretches: Iterator[range],
    examples: Tensor | None,
) -> list[Scores]:
    """Scores of each competitor on a batch; its forecast of the first window goes to examples."""
    states: list[Any] = [None] * len(competitors)
    scores: list[list[Scores]] = [[] for _ in competitors]
    for steps in stretches:
        forecast = steps.start >= windows.context - 1
        stretch = windows.read(batch, steps)
        reference = measure.reference(windows.truth(stretch), forecast)
        for place, competitor in enumerate(competitors):
            predictions, states[place] = competitor.predict(stretch, states[place])
            scores[place].append(measure.scores(predictions, reference))
            if forecast and examples is not None:
                lead = steps.start - (windows.context - 1)
                examples[place, lead : lead + len(steps)] = predictions[0]
    return [Scores.cat(parts) for parts in scores]
