"""Anomalies: how forecast and truth differ from what is usual, of the mean over members."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.weights import Weights


@dataclass(frozen=True, eq=False)
class Anomalies(Family):
    """Second moments of the anomalies f of the forecast and o of the truth: value − climatology.

    Attributes:
        weights: of the cells, in R regions.
    """

    metrics = ("acc", "activity")
    statistics = ("usual", "ours", "theirs", "ours_squared", "theirs_squared", "product")
    weights: Weights

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w, Σ w f, Σ w o, Σ w f², Σ w o² and Σ w f o, each [B,S,R,C]."""
        if truth.climatology is None:
            return {}
        usual = truth.climatology.double()
        ours, theirs = prediction.mean.double() - usual, truth.values.double() - usual
        missing = theirs.isnan()
        known = ~missing if missing.any() else None
        if known is not None:
            ours, theirs = ours.where(known, 0.0), theirs.where(known, 0.0)
        return {
            "usual": self.weights.sum_known(known, ours.shape),
            "ours": self.weights.sum(ours),
            "theirs": self.weights.sum(theirs),
            "product": self.weights.sum(ours * theirs),
            "ours_squared": self.weights.sum(ours.square()),
            "theirs_squared": self.weights.sum(theirs.square()),
        }

    def acc(self, sums: Sums) -> Tensor:
        """Anomaly correlation Σ w f o / √(Σ w f² · Σ w o²), in [−1, 1]; not centred.

        NaN for a forecast that is the climatology.
        """
        squares = sums["ours_squared"] * sums["theirs_squared"]
        return sums["product"] / squares.sqrt()

    def activity(self, sums: Sums) -> Tensor:
        """Standard deviation of f over that of o, at least 0: below 1, the forecast is tame."""
        return (self._variance(sums, "ours") / self._variance(sums, "theirs")).sqrt()

    @staticmethod
    def _variance(sums: Sums, whose: str) -> Tensor:
        mean = sums[whose] / sums["usual"]
        return (sums[f"{whose}_squared"] / sums["usual"] - mean.square()).clamp(min=0)
