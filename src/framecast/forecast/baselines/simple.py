"""Baselines of a line: nothing changes, the usual comes, or what is unusual fades."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.forecast.baselines.baseline import BASELINES, Baseline, Training
from framecast.forecast.baselines.climate import Climate, anomalies


@BASELINES.register("persistence")
@dataclass(frozen=True, eq=False)
class Persistence(Baseline[Tensor]):
    """Nothing changes: a forecast is the last given frame."""

    @classmethod
    def fit(cls, training: Training) -> "Persistence":
        """There is nothing to learn."""
        return cls()

    def observe(self, frame: Tensor, times: np.ndarray, state: Tensor | None) -> Tensor:
        """Remember the frame."""
        return frame

    def ahead(self, state: Tensor, lead: int, times: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return it."""
        return state, state


@BASELINES.register("climatology")
@dataclass(frozen=True, eq=False)
class Climatology(Baseline[int]):
    """What is usual at the time of the frame comes, whatever was seen."""

    climate: Climate

    @classmethod
    def fit(cls, training: Training) -> "Climatology":
        """Take the climate of the training."""
        return cls(training.climate)

    def observe(self, frame: Tensor, times: np.ndarray, state: int | None) -> int:
        """Look away."""
        return 0

    def ahead(self, state: int, lead: int, times: np.ndarray) -> tuple[Tensor, int]:
        """Return what is usual then."""
        return self.climate.at(times), state


@BASELINES.register("damped_persistence")
@dataclass(frozen=True, eq=False)
class DampedPersistence(Baseline[Tensor]):
    """What is unusual in the last given frame fades: anomaly × φ^lead, as of an AR(1) process.

    Attributes:
        climate: what is usual.
        memory: φ, the correlation of anomalies one step apart at each point, in [0, 1], [C,H,W].
    """

    climate: Climate
    memory: Float[Tensor, "C H W"]

    @classmethod
    def fit(cls, training: Training) -> "DampedPersistence":
        """Estimate φ = Σ a(t) a(t+1) / Σ a(t)² at each point."""
        shape = training.frames.values.shape[2:]
        products, squares = torch.zeros(2, *shape, dtype=torch.float64)
        for part, _ in anomalies(training.frames, training.climate):
            products += (part[:-1] * part[1:]).sum(0)
            squares += part[:-1].square().sum(0)
        memory = (products / squares).nan_to_num(0.0).clamp(0, 1)
        return cls(training.climate, memory.float())

    def observe(self, frame: Tensor, times: np.ndarray, state: Tensor | None) -> Tensor:
        """Remember what is unusual in the frame."""
        return frame - self.climate.at(times)

    def ahead(self, state: Tensor, lead: int, times: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return what is usual then, and what is left of the unusual."""
        return self.climate.at(times) + state * self.memory**lead, state
