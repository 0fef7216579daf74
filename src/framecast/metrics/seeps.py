"""SEEPS: an error of precipitation in classes that are equally likely, or dry, at each place."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.weights import Weights

RAREST, COMMONEST = 0.1, 0.85
"""Climatological probability of a dry place, least and greatest, of the places that count."""


class WetClimate(NamedTuple):
    """How a channel usually is, at each place.

    Attributes:
        channel: its place among the channels.
        dry: the value below which it is dry, in its units.
        probability: of its being dry, [H,W], in [0, 1]; NaN where nothing is known.
        heavy: the value from which it is heavy, [H,W]: light is twice as likely as heavy.
    """

    channel: int
    dry: float
    probability: Float[Tensor, "H W"]
    heavy: Float[Tensor, "H W"]


@dataclass(frozen=True, eq=False)
class Seeps(Family):
    """Stable equitable error in probability space, of the mean over members.

    Forecast and truth are dry, light or heavy. An error costs the entry of a matrix that is made
    so that chance, and any constant forecast, costs 1 on average, and a perfect one 0. Source:
    Rodwell et al., A new equitable score suitable for verifying precipitation in numerical weather
    prediction, 2010, Eq. 15. Places with a probability of dry outside of [0.1, 0.85] count
    nowhere.

    Attributes:
        weights: of the cells, in R regions.
        climates: of the channels that are judged so.
    """

    metrics = ("seeps",)
    statistics = ("seeps_weight", "seeps_cost")
    weights: Weights
    climates: tuple[WetClimate, ...]

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w and Σ w s of the costs s, each [B,S,R,C]; 0 for other channels."""
        windows, steps, channels = prediction.mean.shape[:3]
        shape = (windows, steps, len(self.weights.regions), channels)
        weight, cost = torch.zeros(2, *shape, dtype=torch.float64)
        for climate in self.climates:
            theirs = truth.values[:, :, climate.channel]
            ours = prediction.mean[:, :, climate.channel]
            p = climate.probability
            counts = ~theirs.isnan() & (p >= RAREST) & (p <= COMMONEST)
            costs = cost_matrix(p.double())
            height, width = p.shape
            at = torch.arange(height * width).view(height, width)
            spent = costs.flatten(2)[classes(ours, climate), classes(theirs, climate), at]
            parts = torch.stack([counts.double(), spent.where(counts, 0.0)], dim=2)
            both = self.weights.sum(parts)
            weight[..., climate.channel], cost[..., climate.channel] = both.unbind(-1)
        return {"seeps_weight": weight, "seeps_cost": cost}

    def seeps(self, sums: Sums) -> Tensor:
        """Mean cost, at least 0; 1 for a forecast that knows nothing."""
        return sums["seeps_cost"] / sums["seeps_weight"]


def classes(values: Float[Tensor, "B S H W"], climate: WetClimate) -> Tensor:
    """Return 0 where it is dry, 1 where it is light and 2 where it is heavy."""
    dry = values < climate.dry
    return torch.where(dry, 0, torch.where(values < climate.heavy, 1, 2))


def cost_matrix(dry: Float[Tensor, "H W"]) -> Float[Tensor, "3 3 H W"]:
    """Return what each pair of forecast and true class costs, by the probability of dry."""
    wet, zero = 1 - dry, torch.zeros_like(dry)
    upper = 3 / (2 + dry)
    rows = [
        [zero, 1 / wet, 4 / wet],
        [1 / dry, zero, 3 / wet],
        [1 / dry + upper, upper, zero],
    ]
    return torch.stack([torch.stack(row) for row in rows]) / 2
