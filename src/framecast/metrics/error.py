"""The error of a forecast: prediction − truth, of the mean over members."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.weights import Weights


@dataclass(frozen=True, eq=False)
class Errors(Family):
    """Means of the error e over all windows and cells, with weights w: Σ w e / Σ w.

    Attributes:
        weights: of the cells, in R regions.
    """

    metrics = ("rmse", "mae", "mse", "bias")
    statistics = ("weight", "error", "absolute", "squared")
    weights: Weights

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w, Σ w e, Σ w |e| and Σ w e², each [B,S,R,C]."""
        error = prediction.mean.double() - truth.values
        if truth.known is not None:
            error = error.where(truth.known, 0.0)
        return {
            "weight": self.weights.sum_known(truth.known, error.shape),
            "error": self.weights.sum(error),
            "squared": self.weights.sum(error.square()),
            "absolute": self.weights.sum(error.abs_()),
        }

    def bias(self, sums: Sums) -> Tensor:
        """Mean of the error, in the units of the channel; positive: predictions are too high."""
        return sums["error"] / sums["weight"]

    def mae(self, sums: Sums) -> Tensor:
        """Mean of the magnitude of the error, at least 0, in the units of the channel."""
        return sums["absolute"] / sums["weight"]

    def mse(self, sums: Sums) -> Tensor:
        """Mean of the square of the error, at least 0, in the square of these units."""
        return sums["squared"] / sums["weight"]

    def rmse(self, sums: Sums) -> Tensor:
        """Root of `mse`: of the mean over all windows and cells, not a mean of roots."""
        return self.mse(sums).sqrt()
