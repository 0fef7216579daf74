"""Scoring predictors on windows, a stretch of frames at a time.

Neither forecasts nor windows are held in memory whole: whatever the horizon, there are a few frames
of one batch, and one small sum for each step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.progress import track
from framecast.evaluate.predictors import Predictor
from framecast.frames.frames import Frames
from framecast.frames.windows import Position
from framecast.metrics import Measure, Scores


class Scored(NamedTuple):
    """What is kept of the forecasts of one predictor.

    Attributes:
        groups: scores for frames 2..L of the windows of each group.
        example: the forecast of the first window.
    """

    groups: Mapping[str, Scores]
    example: Float[Tensor, "K C H W"]


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of context + K frames, in batches that do not mix groups.

    Attributes:
        frames: that the windows lie in.
        context: frames given.
        leads: K.
        batches: the group of each batch, and where its windows begin.
    """

    frames: Frames
    context: int
    leads: int
    batches: Sequence[tuple[str, Sequence[Position]]]

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

    def read(self, batch: Sequence[Position], start: int, stop: int) -> Float[Tensor, "B T C H W"]:
        """Read frames start..stop − 1 of the windows of a batch."""
        return torch.stack(
            [self.frames.values[n, first + start : first + stop] for n, first in batch]
        )


@torch.inference_mode()
def score(
    predictors: Sequence[Predictor], windows: Windows, measure: Measure, progress: bool
) -> list[Scored]:
    """Score every predictor on the same windows.

    Args:
        predictors: what is to be scored.
        windows: where.
        measure: the metrics.
        progress: whether to show a progress bar on stderr.
    """
    stretches = windows.stretches(measure.clip)
    every = stretches * len(windows.batches)
    turns = track(every, "evaluate", len(every), progress)
    groups: list[dict[str, Scores]] = [{} for _ in predictors]
    examples = torch.empty(len(predictors), windows.leads, *windows.frames.values.shape[2:])
    first: Tensor | None = examples
    for group, batch in windows.batches:
        turn = islice(turns, len(stretches))
        parts = _score_batch(predictors, windows, batch, measure, turn, first)
        for known, scores in zip(groups, parts, strict=True):
            known[group] = known[group] + scores if group in known else scores
        first = None
    return [Scored(known, example) for known, example in zip(groups, examples, strict=True)]


def _score_batch(
    predictors: Sequence[Predictor],
    windows: Windows,
    batch: Sequence[Position],
    measure: Measure,
    stretches: Iterator[range],
    examples: Tensor | None,
) -> list[Scores]:
    """Scores of each predictor on a batch; its forecast of the first window goes to examples."""
    states: list[Any] = [None] * len(predictors)
    scores: list[list[Scores]] = [[] for _ in predictors]
    for stretch in stretches:
        forecast = stretch.start >= windows.context - 1
        truth = windows.read(batch, stretch.start + 1, stretch.stop + 1)
        reference = measure.reference(truth, forecast)
        known = None
        if stretch.start < windows.context:
            known = windows.read(batch, stretch.start, min(stretch.stop, windows.context))
        for place, predictor in enumerate(predictors):
            predictions, states[place] = _predict(predictor, known, len(stretch), states[place])
            scores[place].append(measure.scores(predictions, reference))
            if forecast and examples is not None:
                lead = stretch.start - (windows.context - 1)
                examples[place, lead : lead + len(stretch)] = predictions[0]
    return [Scores.cat(parts) for parts in scores]


def _predict(
    predictor: Predictor, known: Tensor | None, count: int, state: Any
) -> tuple[Tensor, Any]:
    """Predict the frame after each known one, and then on from predictions, `count` in all."""
    if known is None:
        return predictor.ahead(count, state)
    predictions, state = predictor.given(known, state)
    if count > known.shape[1]:
        ahead, state = predictor.ahead(count - known.shape[1], state)
        predictions = torch.cat([predictions, ahead], dim=1)
    return predictions, state
