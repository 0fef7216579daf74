"""A trained network as it is scored: given frames in one pass, then a closed loop of any length."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.forecast.competitor import Stretch
from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Batch
from framecast.frames.frames import Frames
from framecast.frames.windows import Windows


class _Memory(NamedTuple):
    """State of a network, and its last given frame, whose values fill what is missing next."""

    progress: Any
    last: Float[Tensor, "B C H W"]


class Network:
    """A trained model on frames of its own kind: a `Competitor`.

    Args:
        predictor: the model, on its device.
        frames: where the windows lie.
    """

    def __init__(self, predictor: Predictor, frames: Frames) -> None:
        self.predictor = predictor
        self.windows = Windows(frames, predictor.scaling, 1)

    def predict(self, stretch: Stretch, state: _Memory | None) -> tuple[Tensor, Any]:
        """Read what is given in one pass, and go on from there, frame by frame."""
        batch = self._batch(stretch, state)
        conditions, given = batch.conditions(), stretch.given
        progress = None if state is None else state.progress
        parts = []
        last = batch.frames[:, 0] if state is None else state.last
        if given:
            mask = batch.mask
            read = replace(
                batch,
                frames=batch.frames[:, :given],
                mask=None if mask is None else mask[:, :given],
            )
            predictions, progress = self.predictor.given(
                read, conditions.between(0, given), progress
            )
            parts.append(predictions)
            last = read.frames[:, -1]
        ahead = (conditions.at(step) for step in range(given, stretch.steps))
        assert progress is not None
        followed = list(self.predictor.ahead(ahead, progress))
        if followed:
            parts.append(torch.stack([frame for frame, _ in followed], dim=1))
            progress = followed[-1][1]
        return torch.cat(parts, dim=1)[None], _Memory(progress, last)

    def _batch(self, stretch: Stretch, state: _Memory | None) -> Batch:
        length = stretch.values.shape[1]
        before = [None] * len(stretch.places) if state is None else list(state.last)
        return Batch.stack([
            self.windows.make(self.windows.values(place, place.start + length), place, last)
            for place, last in zip(stretch.places, before, strict=True)
        ])  # fmt: skip
