"""Events: how often a value reaches a threshold, in the forecast, in the truth, in both."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.thresholds import Thresholds
from framecast.metrics.weights import Weights


@dataclass(frozen=True, eq=False)
class Events(Family):
    """The contingency table of each threshold, over all windows and cells, of the mean forecast.

    With hits a, false alarms b, misses c and correct rejections d, all weighted.

    Attributes:
        weights: of the cells, in R regions.
        thresholds: of each channel.
    """

    metrics = ("csi", "pod", "far", "frequency_bias", "hss", "ets")
    statistics = ("cases", "both", "forecast_events", "true_events")
    weights: Weights
    thresholds: Thresholds

    def reference(self, truth: Truth) -> Any:
        """Return where the truth has an event of each threshold, each [B,S,H,W]."""
        return self.thresholds.events(truth.values)

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w over all cases, hits, forecast events and true events, each [B,S,R,C,Q]."""
        shape = prediction.mean.shape
        cases = self.weights.sum_known(truth.known, shape)[..., None]
        empty = cases.new_zeros(*cases.shape[:-1], self.thresholds.values.shape[1])
        both, ours, theirs = (empty.clone() for _ in range(3))
        events = self.thresholds.events(prediction.mean)
        for (channel, column), own, event in zip(
            self.thresholds.places, events, reference, strict=True
        ):
            if truth.known is not None:
                own &= truth.known[:, :, channel]
            three = self.weights.sum(torch.stack([own & event, own, event], dim=2))
            for total, part in zip((both, ours, theirs), three.unbind(-1), strict=True):
                total[..., channel, column] = part
        return {
            "cases": cases.expand_as(both),
            "both": both,
            "forecast_events": ours,
            "true_events": theirs,
        }

    def csi(self, sums: Sums) -> Tensor:
        """Critical success index (threat score) a / (a + b + c), in [0, 1]."""
        either = sums["forecast_events"] + sums["true_events"] - sums["both"]
        return sums["both"] / either

    def pod(self, sums: Sums) -> Tensor:
        """Probability of detection (hit rate) a / (a + c), in [0, 1]."""
        return sums["both"] / sums["true_events"]

    def far(self, sums: Sums) -> Tensor:
        """False alarm ratio b / (a + b), in [0, 1]."""
        return 1 - sums["both"] / sums["forecast_events"]

    def frequency_bias(self, sums: Sums) -> Tensor:
        """Forecast events over true ones, (a + b) / (a + c), at least 0."""
        return sums["forecast_events"] / sums["true_events"]

    def hss(self, sums: Sums) -> Tensor:
        """Heidke skill score: how far the share of right cases exceeds that of chance; at most 1.

        2 (ad − bc) / ((a + c)(c + d) + (a + b)(b + d)).
        """
        n, a = sums["cases"], sums["both"]
        ours, theirs = sums["forecast_events"], sums["true_events"]
        expected = ours * theirs
        return 2 * (n * a - expected) / (theirs * (n - ours) + ours * (n - theirs))

    def ets(self, sums: Sums) -> Tensor:
        """Equitable threat score (Gilbert): CSI without the hits of chance, in [−1/3, 1].

        (a − r) / (a + b + c − r) with r = (a + b)(a + c) / n.
        """
        ours, theirs = sums["forecast_events"], sums["true_events"]
        chance = ours * theirs / sums["cases"]
        return (sums["both"] - chance) / (ours + theirs - sums["both"] - chance)
