"""A linear inverse model: the leading patterns of anomalies, and how one leads to the other.

Source: Penland and Sardeshmukh, The optimal growth of tropical sea surface temperature anomalies,
1995: G(1) = C(1) C(0)⁻¹, G(k) = G(1)^k.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.forecast.baselines.baseline import BASELINES, Baseline, Training
from framecast.forecast.baselines.climate import Climate, anomalies
from framecast.frames.places import area_weights, has_areas

MODES = 20
"""Patterns at most."""
EXPLAINED = 0.95
"""Share of the variance that the patterns explain, where fewer than MODES do."""
SAMPLES = 1000
"""Training frames from which the patterns are taken."""
FRAMES = 5
"""Training frames for each pattern, at least."""


@BASELINES.register("linear_inverse")
@dataclass(frozen=True, eq=False)
class LinearInverse(Baseline[Tensor]):
    """Forecasts the amplitudes of the leading patterns of anomalies; the rest is usual.

    Attributes:
        climate: what is usual.
        patterns: orthonormal empirical functions of weighted anomalies, [M,C·H·W].
        weights: of anomalies, √area over the deviation of the channel, [C,H,W].
        growth: takes the amplitudes at one time to the next, [M,M].
    """

    climate: Climate
    patterns: Float[Tensor, "M P"]
    weights: Float[Tensor, "C H W"]
    growth: Float64[Tensor, "M M"]

    @classmethod
    def fit(cls, training: Training) -> "LinearInverse":
        """Find the patterns in some frames, and their growth in all."""
        weights = _weights(training)
        patterns = _patterns(training, weights)
        now, after = torch.zeros(2, len(patterns), len(patterns), dtype=torch.float64)
        for part, _ in anomalies(training.frames, training.climate):
            amplitudes = (part.float() * weights).flatten(1) @ patterns.T
            first, second = amplitudes[:-1].double(), amplitudes[1:].double()
            now += first.T @ first
            after += second.T @ first
        growth = torch.linalg.lstsq(now, after.T).solution.T
        return cls(training.climate, patterns, weights, _bounded(growth))

    def observe(self, frame: Tensor, times: np.ndarray, state: Tensor | None) -> Tensor:
        """Take the amplitudes of the patterns in the frame."""
        anomaly = (frame - self.climate.at(times)) * self.weights
        return (anomaly.flatten(1) @ self.patterns.T).double()

    def ahead(self, state: Tensor, lead: int, times: np.ndarray) -> tuple[Tensor, Tensor]:
        """Let them grow by a step, and put the patterns together."""
        after = state @ self.growth.T
        usual = self.climate.at(times)
        anomaly = (after.float() @ self.patterns).view_as(usual) / self.weights
        return usual + anomaly, after


def _weights(training: Training) -> Float[Tensor, "C H W"]:
    frames = training.frames
    squares = torch.zeros(frames.values.shape[2:], dtype=torch.float64)
    count = 0
    for part, _ in anomalies(frames, training.climate):
        squares, count = squares + part.square().sum(0), count + len(part)
    deviation = (squares.mean((1, 2)) / count).sqrt().clamp(min=1e-30)
    area = torch.ones(frames.grid)
    if has_areas(frames):
        area = area_weights(frames).clamp(min=1e-6)
    return (area.sqrt() / deviation[:, None, None]).float()


def _patterns(training: Training, weights: Float[Tensor, "C H W"]) -> Float[Tensor, "M P"]:
    """The leading patterns of frames that are spread evenly over the training."""
    frames = training.frames
    total = sum(map(len, frames.pieces))
    modes = min(MODES, total // FRAMES)
    if modes < 1:
        raise UserError(
            f"{frames.source}: a linear inverse model takes at least {FRAMES} frames, not {total}"
        )
    every = -(-total // SAMPLES)
    check_memory(
        8 * total // every * weights.numel(),
        f"{frames.source}: the patterns of a linear inverse model",
        "Choose a smaller region (data.region), or leave linear_inverse out",
    )
    parts = [part[::every].float() for part, _ in anomalies(frames, training.climate)]
    sample = (torch.cat(parts) * weights).flatten(1)
    powers, times = torch.linalg.eigh((sample @ sample.T).double())  # ascending
    share = powers.flip(0).cumsum(0) / powers.sum()
    kept = min(modes, int((share < EXPLAINED).sum()) + 1)
    strongest = times[:, -kept:].flip(1).float()
    return torch.nn.functional.normalize(strongest.T @ sample)


def _bounded(growth: Float64[Tensor, "M M"]) -> Float64[Tensor, "M M"]:
    """The same, with all that would grow without end kept as it is: |λ| ≤ 1."""
    values, vectors = torch.linalg.eig(growth)
    values = values / values.abs().clamp(min=1)
    bounded: Tensor = (vectors @ torch.diag(values) @ torch.linalg.inv(vectors)).real
    return bounded
