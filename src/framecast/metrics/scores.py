"""Scores of predictions against the truth, as sums that merge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.metrics.frechet import Gaussians, frechet_distances

_SUMS = ("count", "error", "absolute", "squared", "frames", "totals", "counts")


class ClipSums(NamedTuple):
    """Features of clips of Q stretches of time, of predictions and of the truth."""

    predictions: Gaussians
    truth: Gaussians


@dataclass(frozen=True, eq=False)
class Scores:
    """Sums over windows and pixels, for each of S steps and each of C channels.

    The error is prediction − truth. Adding scores of two sets of windows gives the scores of
    all of them, in whatever order and parts they come, so that evaluation needs memory for
    one batch only. Metrics of the error have the units of the channel (mse: squared) and are
    means over all windows and pixels; they are NaN where nothing was counted.

    Attributes:
        count: how many errors were summed, [S,C].
        error: their sum, [S,C].
        absolute: sum of their magnitudes, [S,C].
        squared: sum of their squares, [S,C].
        frames: how many frames without gaps there were, [S].
        names: of M metrics that are one number a frame.
        totals: sum of these numbers over the frames where they are finite, [S,M].
        counts: how many frames those are, [S,M].
        clips: features of clips, which Q stretches of the steps make; None where there are none.
    """

    count: Float64[Tensor, "S C"]
    error: Float64[Tensor, "S C"]
    absolute: Float64[Tensor, "S C"]
    squared: Float64[Tensor, "S C"]
    frames: Float64[Tensor, " S"]
    names: tuple[str, ...]
    totals: Float64[Tensor, "S M"]
    counts: Float64[Tensor, "S M"]
    clips: ClipSums | None = None

    @classmethod
    def of(
        cls,
        predictions: Float[Tensor, "B S C H W"],
        truth: Float[Tensor, "B S C H W"],
        numbers: Mapping[str, Float64[Tensor, "B S"]] | None = None,
        clips: ClipSums | None = None,
    ) -> "Scores":
        """Sum the errors of predictions, and numbers that were measured of each frame.

        What is missing of the truth (NaN) counts nowhere. A number that is infinite, as the
        signal-to-noise ratio is of a frame without noise, is left out of its sum and its count;
        so is any number of a frame with gaps.

        Raises:
            ValueError: if the shapes differ.
        """
        if predictions.shape != truth.shape:
            raise ValueError(
                f"predictions {list(predictions.shape)} and truth {list(truth.shape)} differ"
            )
        known = ~truth.isnan()
        error = (predictions.double() - truth.double()).where(known, 0.0)
        total = error.sum((0, 3, 4))
        numbers = numbers or {}
        none = error.new_zeros(*error.shape[:2], 0)
        stacked = torch.cat([none, *(n[..., None] for n in numbers.values())], dim=2)
        whole = known.flatten(2).all(2)
        counted = ~stacked.isinf() & whole[..., None]
        return cls(
            count=known.sum((0, 3, 4)).double(),
            error=total,
            absolute=error.abs().sum((0, 3, 4)),
            squared=error.square().sum((0, 3, 4)),
            frames=whole.double().sum(0),
            names=tuple(numbers),
            totals=stacked.where(counted, 0.0).sum(0),
            counts=counted.double().sum(0),
            clips=clips,
        )

    @classmethod
    def cat(cls, parts: Sequence["Scores"]) -> "Scores":
        """Put the steps of the same windows behind one another."""
        clips = [part.clips for part in parts if part.clips is not None]
        sums: Any = {name: torch.cat([getattr(part, name) for part in parts]) for name in _SUMS}
        return replace(
            parts[0],
            **sums,
            clips=ClipSums(*map(Gaussians.cat, zip(*clips, strict=True))) if clips else None,
        )

    def __add__(self, other: "Scores") -> "Scores":
        if (self.count.shape, self.names) != (other.count.shape, other.names):
            raise ValueError(
                f"scores of {list(self.count.shape)} and {list(other.count.shape)} "
                f"steps and channels ({self.names}, {other.names}) do not merge"
            )
        clips = zip(self.clips or (), other.clips or (), strict=True)
        return replace(
            self,
            **{name: getattr(self, name) + getattr(other, name) for name in _SUMS},
            clips=ClipSums(*(ours + theirs for ours, theirs in clips)) if self.clips else None,
        )

    def pool(self, steps: slice = slice(None)) -> "Scores":
        """Merge steps into one, and all clips likewise."""
        return replace(
            self,
            **{name: getattr(self, name)[steps].sum(0, keepdim=True) for name in _SUMS},
            clips=ClipSums(*(side.pool() for side in self.clips)) if self.clips else None,
        )

    def metric(self, name: str) -> Float64[Tensor, "S _C"]:
        """Return a metric by its name in METRICS.

        Returns:
            For each step and channel, [S,C]; for a metric of whole frames, [S,1]; for fvd, one
            for each stretch of time that makes a clip, [Q,1].
        """
        value: Tensor
        if name == "fvd":
            value = self.fvd[:, None]
        elif name in self.names:
            value = self._of_frames(name)[:, None]
        else:
            value = getattr(self, name)
        return value

    def left_out(self, name: str) -> Float64[Tensor, " S"]:
        """Return how many frames are not in a mean over frames, as equal to the truth."""
        return self.frames - self.counts[:, self.names.index(name)]

    def _of_frames(self, name: str) -> Tensor:
        """The mean over frames; infinite where all frames were left out."""
        place = self.names.index(name)
        total, count = self.totals[:, place], self.counts[:, place]
        return torch.where((count == 0) & (self.frames > 0), torch.inf, total / count)

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

    @property
    def fvd(self) -> Float64[Tensor, " Q"]:
        """Squared Fréchet distance of the features of predicted and true clips."""
        if self.clips is None:
            raise ValueError("no clip was measured")
        return frechet_distances(*self.clips)
