"""Scores of predictions against the truth, as sums that merge."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Float64
from torch import Tensor

METRICS = ("rmse", "mae", "mse", "bias")
"""Names of the metrics: properties of `Scores`."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Sums over windows and pixels, for each of S steps and each of C channels.

    The error is prediction − truth. Adding scores of two sets of windows gives the scores of
    all of them, in whatever order and parts they come, so that evaluation needs memory for
    one batch only. Metrics have the units of the channel (mse: squared) and are means over
    all windows and pixels; they are NaN where nothing was counted.

    Attributes:
        count: how many errors were summed, [S,C].
        error: their sum, [S,C].
        absolute: sum of their magnitudes, [S,C].
        squared: sum of their squares, [S,C].
    """

    count: Float64[Tensor, "S C"]
    error: Float64[Tensor, "S C"]
    absolute: Float64[Tensor, "S C"]
    squared: Float64[Tensor, "S C"]

    @classmethod
    def of(
        cls, predictions: Float[Tensor, "B S C H W"], truth: Float[Tensor, "B S C H W"]
    ) -> "Scores":
        """Sum the errors of predictions, in float64.

        Raises:
            ValueError: if the shapes differ.
        """
        if predictions.shape != truth.shape:
            raise ValueError(
                f"predictions {list(predictions.shape)} and truth {list(truth.shape)} differ"
            )
        error = predictions.double() - truth.double()
        total = error.sum((0, 3, 4))
        return cls(
            count=torch.full_like(total, error[:, :1, :1].numel()),
            error=total,
            absolute=error.abs().sum((0, 3, 4)),
            squared=error.square().sum((0, 3, 4)),
        )

    def __add__(self, other: "Scores") -> "Scores":
        if self.count.shape != other.count.shape:
            raise ValueError(
                f"scores of {list(self.count.shape)} and {list(other.count.shape)} "
                "steps and channels do not merge"
            )
        return Scores(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __getitem__(self, steps: slice) -> "Scores":
        return Scores(*(getattr(self, f.name)[steps] for f in fields(self)))

    @property
    def bias(self) -> Float64[Tensor, "S C"]:
        """Mean of the error; positive where predictions are too high."""
        return self.error / self.count

    @property
    def mae(self) -> Float64[Tensor, "S C"]:
        """Mean of the magnitude of the error, at least 0."""
        return self.absolute / self.count

    @property
    def mse(self) -> Float64[Tensor, "S C"]:
        """Mean of the square of the error, at least 0."""
        return self.squared / self.count

    @property
    def rmse(self) -> Float64[Tensor, "S C"]:
        """Root of `mse`: of the mean over all windows and pixels, not a mean of roots."""
        return self.mse.sqrt()
