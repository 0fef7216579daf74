"""Probabilistic forecasts: how well the members of an ensemble stand for what may happen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.weights import Weights

_SEED = 20_100_817
"""Of the draws that break ties of ranks."""


@dataclass(frozen=True, eq=False)
class FairCrps(Family):
    """Continuous ranked probability score of M members x of a value y, a mean over cells.

    Attributes:
        weights: of the cells, in R regions.
    """

    metrics = ("crps",)
    statistics = ("crps_weight", "crps_sum")
    weights: Weights

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w and Σ w CRPS, each [B,S,R,C]."""
        score = fair_crps(prediction.members, truth.values)
        if truth.known is not None:
            score = score.where(truth.known, 0.0)
        return {
            "crps_weight": self.weights.sum_known(truth.known, score.shape),
            "crps_sum": self.weights.sum(score),
        }

    def crps(self, sums: Sums) -> Tensor:
        """Mean of the fair CRPS, in the units of the channel; at least 0 on average."""
        return sums["crps_sum"] / sums["crps_weight"]


def fair_crps(
    members: Float[Tensor, "M *any"], truth: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """Return Σ|x − y| / M − Σ|x − x'| / (2 M (M − 1)) of each value, in float64.

    Its expectation does not depend on the number of members; for one it is |x − y|. The second
    sum is taken over the sorted members, Σ (2 i − M − 1) x₍ᵢ₎, in M log M steps. Source: Ferro,
    Fair scores for ensemble forecasts, 2014.
    """
    count, score = len(members), torch.zeros(truth.shape, dtype=torch.float64)
    for member in members:
        score += (member.double() - truth).abs()
    score /= count
    if count > 1:
        # NumPy sorts along the first dimension several times faster than PyTorch.
        for place, ascending in enumerate(np.sort(members.numpy(), axis=0), start=1):
            weight = (2 * place - count - 1) / (count * (count - 1))
            score.sub_(torch.from_numpy(ascending), alpha=weight)
    return score


@dataclass(frozen=True, eq=False)
class Spread(Family):
    """Spread of the members beside the error of their mean, for M ≥ 2.

    Attributes:
        weights: of the cells, in R regions.
    """

    metrics = ("spread", "spread_skill")
    statistics = ("spread_weight", "variance", "mean_squared", "inflation")
    weights: Weights

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w, Σ w s² (over M − 1), Σ w e² and (M + 1) / M times Σ w, each [B,S,R,C]."""
        count = len(prediction.members)
        if count < 2:
            return {}
        mean = prediction.members.mean(0, dtype=torch.float64)
        variance = torch.zeros_like(mean)
        for member in prediction.members:
            variance += (member - mean).square()
        variance /= count - 1
        squared = (mean - truth.values).square()
        if truth.known is not None:
            variance = variance.where(truth.known, 0.0)
            squared = squared.where(truth.known, 0.0)
        weight = self.weights.sum_known(truth.known, squared.shape)
        return {
            "spread_weight": weight,
            "variance": self.weights.sum(variance),
            "mean_squared": self.weights.sum(squared),
            "inflation": weight * (count + 1) / count,
        }

    def spread(self, sums: Sums) -> Tensor:
        """Root of the mean variance of the members, at least 0, in the units of the channel."""
        return (sums["variance"] / sums["spread_weight"]).sqrt()

    def spread_skill(self, sums: Sums) -> Tensor:
        """√((M + 1) / M) · spread / RMSE of the mean: 1 where members and truth are alike.

        Source: Fortin et al., Why should ensemble spread match the RMSE of the ensemble mean?,
        2014, Eq. 15.
        """
        inflation = sums["inflation"] / sums["spread_weight"]
        return (inflation * sums["variance"] / sums["mean_squared"]).sqrt()


@dataclass(frozen=True, eq=False)
class Ranks(Family):
    """The rank of the truth among M ≥ 2 members; ties are broken by a draw that places seed.

    Attributes:
        weights: of the cells, in R regions.
    """

    metrics = ("rank_histogram",)
    statistics = ("rank_weight",)
    weights: Weights

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w of the cells in which the truth has each rank, [B,S,R,C,M+1]."""
        count = len(prediction.members)
        if count < 2:
            return {}
        below = (prediction.members < truth.values).sum(0)
        equal = (prediction.members == truth.values).sum(0)
        if equal.any():
            below = below + (_draw(truth) * (equal + 1)).long()
        parts = [below == rank for rank in range(count + 1)]
        if truth.known is not None:
            parts = [part & truth.known for part in parts]
        return {"rank_weight": torch.stack([self.weights.sum(part) for part in parts], -1)}

    def rank_histogram(self, sums: Sums) -> Tensor:
        """Share of the truth at each rank 0 to M; flat, 1 / (M + 1), for a reliable ensemble."""
        return sums["rank_weight"] / sums["rank_weight"].sum(-1, keepdim=True)


def _draw(truth: Truth) -> Tensor:
    """Numbers in [0, 1) that depend on the place of each window alone, not on its batch."""
    shape = truth.values.shape
    places = truth.places or [(n, 0) for n in range(shape[0])]
    draws = [np.random.default_rng([_SEED, *place]).random(shape[1:]) for place in places]
    return torch.from_numpy(np.stack(draws))


@dataclass(frozen=True, eq=False)
class Energy(Family):
    """Fair energy score of whole fields, frame by frame.

    The distance of two fields is the root of the weighted mean of the squared difference over the
    cells that are known, so that the score has the units of the channel. Source: Gneiting and
    Raftery, Strictly proper scoring rules, 2007, Eq. 22, made fair as Ferro 2014 does.

    Attributes:
        weights: of the cells, in R regions.
    """

    metrics = ("energy_score",)
    statistics = ("energy_frames", "energy")
    weights: Weights

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return how many frames there are with a known cell, and Σ ES, each [B,S,R,C]."""
        count = len(prediction.members)
        errors = prediction.members.double() - truth.values
        if truth.known is not None:
            errors = errors.where(truth.known, 0.0)
        weight = self.weights.sum_known(truth.known, truth.values.shape)
        score = self.weights.sum(errors.square()).sqrt().mean(0)
        if count > 1:
            score = score - self._between(errors) / (2 * count * (count - 1))
        known = weight > 0
        score = (score / weight.clamp(min=torch.finfo(torch.float64).tiny).sqrt()).where(known, 0.0)
        return {"energy_frames": known.double(), "energy": score}

    def _between(self, errors: Float64[Tensor, "M B S C H W"]) -> Float64[Tensor, "B S R C"]:
        """Sum of the distances of all pairs of members, both ways.

        ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b, with a and b taken from the mean over members, so that
        nothing cancels but what is small beside their spread.
        """
        rest = (errors - errors.mean(0)).flatten(-2).movedim(0, -2)
        regions = []
        for weights in self.weights.values.flatten(1):
            products = (rest * weights) @ rest.mT
            lengths = products.diagonal(dim1=-2, dim2=-1)
            squares = lengths[..., None] + lengths[..., None, :] - 2 * products
            regions.append(squares.clamp(min=0).sqrt().sum((-2, -1)))
        return torch.stack(regions, dim=2)

    def energy_score(self, sums: Sums) -> Tensor:
        """Mean of the energy score, in the units of the channel; for one member, of the error."""
        return sums["energy"] / sums["energy_frames"]
