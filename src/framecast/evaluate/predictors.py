"""What is scored: networks and baselines, in a closed loop of any length."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.runs.checkpoint import Checkpoint

PERSISTENCE, CLIMATOLOGY = "persistence", "climatology"


@runtime_checkable
class Predictor(Protocol):
    """Predicts each next frame; all that it remembers is a state, passed in and returned."""

    def given(
        self, frames: Float[Tensor, "B T C H W"], state: Any
    ) -> tuple[Float[Tensor, "B T C H W"], Any]:
        """Read true frames, T ≥ 1; predict the frame after each. No state: None."""

    def ahead(self, steps: int, state: Any) -> tuple[Float[Tensor, "B steps C H W"], Any]:
        """Predict the next frames from what was predicted last."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network, in physical units."""

    checkpoint: Checkpoint

    def given(self, frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read true frames in one pass."""
        inner = None if state is None else state[1]
        predictions, inner = self.checkpoint.model(
            self.checkpoint.statistics.normalise(frames), inner
        )
        return self.checkpoint.statistics.denormalise(predictions), (predictions[:, -1:], inner)

    def ahead(self, steps: int, state: Any) -> tuple[Tensor, Any]:
        """Go on from the last prediction, frame by frame."""
        last, before = state
        frames, after = [], before
        for frame, inner in self.checkpoint.model.forecast(last, steps, before):
            frames.append(frame)
            after = inner
        predictions = torch.stack(frames, dim=1)
        return self.checkpoint.statistics.denormalise(predictions), (predictions[:, -1:], after)


class Persistence:
    """Nothing changes: each frame is the one before, a forecast the last given frame."""

    def given(self, frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Repeat each frame."""
        return frames, frames[:, -1:]

    def ahead(self, steps: int, state: Any) -> tuple[Tensor, Any]:
        """Repeat the last given frame."""
        return state.expand(-1, steps, -1, -1, -1), state


@dataclass(frozen=True, eq=False)
class Climatology:
    """Every frame is the mean of the training frames, [C,H,W]."""

    mean: Float[Tensor, "C H W"]

    def given(self, frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Predict the mean for each frame."""
        return self.mean.expand_as(frames), len(frames)

    def ahead(self, steps: int, state: Any) -> tuple[Tensor, Any]:
        """Predict the mean."""
        return self.mean.expand(state, steps, -1, -1, -1), state


def baselines(checkpoint: Checkpoint, grid: tuple[int, int]) -> dict[str, Predictor]:
    """Return persistence, and climatology where the grid is that of the training."""
    chosen: dict[str, Predictor] = {PERSISTENCE: Persistence()}
    mean = checkpoint.statistics.climatology
    if tuple(mean.shape[1:]) == grid:
        chosen[CLIMATOLOGY] = Climatology(mean)
    return chosen
