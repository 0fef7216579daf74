"""Losses as sums with their weights, so that parts, batches and processes add up to one mean."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

Loss = Literal["mse", "l1", "l1_mse", "crps", "head"]

ERRORS: dict[str, Callable[[Tensor], Tensor]] = {
    "mse": torch.square,
    "l1": torch.abs,
    "l1_mse": lambda error: error.abs() + error.square(),
}
"""What is summed of an error prediction − truth."""


class Losses(NamedTuple):
    """The loss of V variables: sums over what is known, and how much that is.

    Attributes:
        sums: Σ w·m·e of each variable: errors e, weighted by area w, where the mask m is 1.
        weights: Σ w·m of each variable.
    """

    sums: Float[Tensor, " V"]
    weights: Float64[Tensor, " V"]

    def __add__(self, other: "Losses") -> "Losses":  # type: ignore[override]
        return Losses(self.sums + other.sums, self.weights + other.weights)

    def detach(self) -> "Losses":
        """Return the same numbers, through which no gradient flows."""
        return Losses(self.sums.detach(), self.weights)

    def means(self, weights: Float64[Tensor, " V"] | None = None) -> Float[Tensor, " V"]:
        """Return the mean of each variable, Σ w·m·e / Σ w·m; 0 where nothing is known.

        Args:
            weights: of all that the sums are a part of; their own if None.
        """
        whole = self.weights if weights is None else weights
        kind = self.sums.dtype  # in which the least number above 0 must not round to 0
        return self.sums / whole.to(kind).clamp(min=torch.finfo(kind).tiny)

    def mean(
        self,
        shares: Float[Tensor, " V"] | None = None,
        weights: Float64[Tensor, " V"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the weighted mean over the variables of which anything is known.

        Args:
            shares: weight of each variable; equal if None.
            weights: of all that the sums are a part of; their own if None.
        """
        whole = self.weights if weights is None else weights
        known = (whole > 0).to(self.sums.dtype)
        counted = known if shares is None else known * shares.to(known)
        return (self.means(whole) * counted).sum() / counted.sum().clamp(min=1e-30)


def measure(
    predictions: Float[Tensor, "B T V H W"],
    truth: Float[Tensor, "B T V H W"],
    known: Bool[Tensor, "B T V H W"] | None,
    area: Float[Tensor, "H W"] | None,
    loss: Loss,
) -> Losses:
    """Sum the errors of predictions where the truth is known, for each variable.

    An all-known mask gives what no mask gives, to the bit.

    Args:
        predictions: as the network gives them.
        truth: finite everywhere; what is not known does not count, whatever its value.
        known: where the truth is known; None for everywhere.
        area: weight of each cell; None for 1.
        loss: which error of ERRORS.
    """
    return gather(ERRORS[loss](predictions.to(truth.dtype) - truth), known, area)


def gather(
    errors: Float[Tensor, "B T V H W"],
    known: Bool[Tensor, "B T V H W"] | None,
    area: Float[Tensor, "H W"] | None,
) -> Losses:
    """Sum errors where the truth is known, for each variable (see `measure`)."""
    weights = weigh(errors, known, area)
    if known is not None:
        errors = errors.where(known, 0.0)
    if area is not None:
        errors = errors * area
    return Losses(errors.sum((0, 1, 3, 4)), weights)


def weigh(
    truth: Float[Tensor, "B T V H W"],
    known: Bool[Tensor, "B T V H W"] | None,
    area: Float[Tensor, "H W"] | None,
) -> Float64[Tensor, " V"]:
    """Return Σ w·m of each variable: how much `measure` sums over."""
    batch, steps, *size = truth.shape
    if known is None:
        counts = torch.full(size, batch * steps, dtype=torch.float64, device=truth.device)
    else:
        counts = known.sum((0, 1)).double()
    return (counts if area is None else counts * area).sum((1, 2))
