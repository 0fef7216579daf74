"""Events near the right place: fractions of neighbourhoods in which they occur."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor
from torch.nn.functional import pad

from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.thresholds import Thresholds
from framecast.metrics.weights import Weights


@dataclass(frozen=True, eq=False)
class Neighbourhoods(Family):
    """Fractions skill score of the mean forecast, for Q thresholds and N neighbourhoods.

    Source: Roberts and Lean, Scale-selective verification of rainfall accumulations, 2008, Eq. 5
    to 7. Beyond an edge of the grid, and where the truth is missing, there is no event.

    Attributes:
        weights: of the cells, in R regions.
        thresholds: of each channel.
        sizes: sides of the square neighbourhoods in cells, odd.
        wraps: whether the last column lies beside the first, as on a globe.
    """

    metrics = ("fss",)
    statistics = ("fraction_difference", "fraction_squares")
    weights: Weights
    thresholds: Thresholds
    sizes: tuple[int, ...]
    wraps: bool = False

    def reference(self, truth: Truth) -> Any:
        """Return the fractions of the truth, [B,S,1,H,W], by threshold and size."""
        return [self._fractions(event) for event in self.thresholds.events(truth.values)]

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return Σ w (f − o)² and Σ w (f² + o²) of the fractions, each [B,S,R,C,Q,N]."""
        windows, steps, channels = prediction.mean.shape[:3]
        thresholds = self.thresholds.values.shape[1]
        each = (len(self.weights.regions), channels, thresholds, len(self.sizes))
        apart, squares = torch.zeros(2, windows, steps, *each, dtype=torch.float64)
        events = self.thresholds.events(prediction.mean)
        for (channel, column), event, fractions in zip(
            self.thresholds.places, events, reference, strict=True
        ):
            known = None if truth.known is None else truth.known[:, :, channel]
            if known is not None:
                event &= known
            for place, (ours, theirs) in enumerate(
                zip(self._fractions(event), fractions, strict=True)
            ):
                parts = torch.cat([(ours - theirs).square(), ours.square() + theirs.square()], 2)
                if known is not None:
                    parts = parts.where(known[:, :, None], 0.0)
                both = self.weights.sum(parts)
                apart[..., channel, column, place] = both[..., 0]
                squares[..., channel, column, place] = both[..., 1]
        return {"fraction_difference": apart, "fraction_squares": squares}

    def _fractions(self, event: Bool[Tensor, "B S H W"]) -> list[Float64[Tensor, "B S 1 H W"]]:
        """Share of the cells of the neighbourhoods of each cell where there is an event.

        Sums over squares are differences of sums over all cells above and to the left.
        """
        height, width = event.shape[-2:]
        reach = max(self.sizes) // 2
        across = min(reach, width) if self.wraps else 0
        totals = event.double()[:, :, None]
        if across:
            totals = torch.cat([totals[..., -across:], totals, totals[..., :across]], -1)
        rest = reach - across
        totals = pad(totals, (rest + 1, rest, reach + 1, reach)).cumsum(-2).cumsum(-1)

        def above(rows: int, columns: int) -> Tensor:
            return totals[..., rows : rows + height, columns : columns + width]

        shares = []
        for size in self.sizes:
            first = reach - size // 2
            last = first + size
            corners = above(last, last) - above(first, last) - above(last, first)
            shares.append((corners + above(first, first)) / size**2)
        return shares

    def fss(self, sums: Sums) -> Tensor:
        """1 − Σ w (f − o)² / Σ w (f² + o²), in [0, 1]; NaN where there is no event at all."""
        return 1 - sums["fraction_difference"] / sums["fraction_squares"]
