"""What is scored: trained models and baselines, in a closed loop of any length."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Batch, Place
from framecast.frames.frames import Frames
from framecast.frames.scaling import fill
from framecast.frames.windows import Windows

PERSISTENCE, CLIMATOLOGY = "persistence", "climatology"


class Stretch(NamedTuple):
    """T + 1 frames of B windows, of which the last T are to be predicted.

    Attributes:
        places: of the first frame of each.
        values: predicted channels in physical units, NaN where nothing is known, [B,T+1,C,H,W].
        given: how many of the first T frames may be read; from then on predictions are.
    """

    places: Sequence[Place]
    values: Float[Tensor, "B L C H W"]
    given: int

    @property
    def steps(self) -> int:
        """T."""
        return self.values.shape[1] - 1


@runtime_checkable
class Competitor(Protocol):
    """Predicts the frames of stretches; what it remembers is a state, passed in and returned."""

    def predict(self, stretch: Stretch, state: Any) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Predict frames 2 to T + 1 of a stretch that follows the one before. No state: None.

        A deterministic forecast has one member.
        """


class _Memory(NamedTuple):
    """State of a network, and its last given frame, whose values fill what is missing next."""

    progress: Any
    last: Float[Tensor, "B C H W"]


class Network:
    """A trained model on frames of its own kind.

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


@dataclass(frozen=True, eq=False)
class Persistence:
    """Nothing changes: each frame is the one before, a forecast the last given frame.

    Attributes:
        typical: stands for values that were never known, [C,H,W]; their climatology.
    """

    typical: Float[Tensor, "C H W"]

    def predict(self, stretch: Stretch, state: Tensor | None) -> tuple[Tensor, Any]:
        """Repeat each given frame, and the last of them for the rest."""
        last = self.typical.expand_as(stretch.values[:, 0]) if state is None else state
        given = stretch.values[:, : stretch.given]
        parts = []
        if stretch.given:
            parts.append(fill(given, ~given.isnan(), last))
            last = parts[0][:, -1]
        rest = stretch.steps - stretch.given
        parts.append(last.unsqueeze(1).expand(-1, rest, -1, -1, -1))
        return torch.cat(parts, dim=1)[None], last


@dataclass(frozen=True, eq=False)
class Climatology:
    """Every frame is the mean of the training frames, [C,H,W]."""

    mean: Float[Tensor, "C H W"]

    def predict(self, stretch: Stretch, state: None) -> tuple[Tensor, Any]:
        """Predict the mean for each frame."""
        return self.mean.expand_as(stretch.values[:, 1:])[None], None


def baselines(predictor: Predictor, grid: tuple[int, int]) -> dict[str, Competitor]:
    """Return persistence, and climatology where the grid is that of the training."""
    scaling = predictor.scaling
    mean = scaling.predicted.climatology
    typical = scaling.denormalise(scaling.typical(grid))
    chosen: dict[str, Competitor] = {PERSISTENCE: Persistence(typical)}
    if tuple(mean.shape[1:]) == grid:
        chosen[CLIMATOLOGY] = Climatology(mean)
    return chosen
