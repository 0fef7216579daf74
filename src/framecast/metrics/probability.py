"""Probabilities of events: the share of the members that reach a threshold."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.thresholds import Thresholds
from framecast.metrics.weights import Weights


@dataclass(frozen=True, eq=False)
class Probabilities(Family):
    """How often an event comes true of each of the M + 1 probabilities k / M that it may have.

    With n the share of the cases that have a probability p, and o the share of these in which the
    event came true, the Brier score and its parts are sums over the probabilities. Source: Murphy,
    A new vector partition of the probability score, 1973.

    Attributes:
        weights: of the cells, in R regions.
        thresholds: of each channel.
    """

    metrics = (
        "brier",
        "brier_reliability",
        "brier_resolution",
        "brier_uncertainty",
        "reliability",
        "probability_share",
    )
    statistics = ("probability_cases", "probability_events")
    weights: Weights
    thresholds: Thresholds

    def reference(self, truth: Truth) -> Any:
        """Return where the truth has an event of each threshold, each [B,S,H,W]."""
        return self.thresholds.events(truth.values)

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w of the cases, and of those with an event, by probability, [B,S,R,C,Q,M+1]."""
        windows, steps, channels = truth.values.shape[:3]
        count = len(prediction.members)
        each = (len(self.weights.regions), channels, self.thresholds.values.shape[1], count + 1)
        cases, events = torch.zeros(2, windows, steps, *each, dtype=torch.float64)
        for (channel, column), own, event in zip(
            self.thresholds.places,
            self.thresholds.events(prediction.members),
            reference,
            strict=True,
        ):
            reached = own.sum(0)
            for number in range(count + 1):
                case = reached == number
                if truth.known is not None:
                    case &= truth.known[:, :, channel]
                both = self.weights.sum(torch.stack([case, case & event], dim=2))
                cases[..., channel, column, number] = both[..., 0]
                events[..., channel, column, number] = both[..., 1]
        return {"probability_cases": cases, "probability_events": events}

    def brier(self, sums: Sums) -> Tensor:
        """Mean of the squared difference of probability and outcome (0 or 1), in [0, 1]."""
        cases, events, p = self._table(sums)
        return (cases * p.square() - 2 * p * events + events).sum(-1) / cases.sum(-1)

    def brier_reliability(self, sums: Sums) -> Tensor:
        """Σ n (p − o)², in [0, 1]: 0 where events come as often as was said."""
        cases, events, p = self._table(sums)
        apart = (p * cases - events).square() / cases
        return apart.where(cases > 0, 0.0).sum(-1) / cases.sum(-1)

    def brier_resolution(self, sums: Sums) -> Tensor:
        """Σ n (o − ō)², in [0, brier_uncertainty]: how far the cases are told apart."""
        cases, events, _ = self._table(sums)
        usual = events.sum(-1, keepdim=True) / cases.sum(-1, keepdim=True)
        apart = (events - usual * cases).square() / cases
        return apart.where(cases > 0, 0.0).sum(-1) / cases.sum(-1)

    def brier_uncertainty(self, sums: Sums) -> Tensor:
        """ō (1 − ō), in [0, 1/4]: the score of always saying how often the event is."""
        cases, events, _ = self._table(sums)
        usual = events.sum(-1) / cases.sum(-1)
        return usual * (1 - usual)

    def reliability(self, sums: Sums) -> Tensor:
        """Share of the cases with each probability in which the event came true, in [0, 1]."""
        return sums["probability_events"] / sums["probability_cases"]

    def probability_share(self, sums: Sums) -> Tensor:
        """Share of all cases that have each probability, in [0, 1]."""
        cases = sums["probability_cases"]
        return cases / cases.sum(-1, keepdim=True)

    @staticmethod
    def _table(sums: Sums) -> tuple[Tensor, Tensor, Tensor]:
        cases = sums["probability_cases"]
        p = torch.linspace(0, 1, cases.shape[-1], dtype=torch.float64)
        return cases, sums["probability_events"], p
