"""The Fréchet distance between two sets of features, each fitted by a Gaussian."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Count, mean and scatter of samples of F features, for each of Q sets; sums that merge.

    Adding those of some samples to those of others gives, up to rounding, those of all of
    them, in whatever order and parts they come: memory does not grow with the samples. They are
    merged by the formula of Chan, Golub and LeVeque (1979), which does not cancel where
    the mean is large beside the spread.

    Attributes:
        count: samples, [Q].
        mean: of the samples, [Q,F].
        scatter: sum over samples of the outer product of (sample − mean) with itself, [Q,F,F].
    """

    count: Float64[Tensor, " Q"]
    mean: Float64[Tensor, "Q F"]
    scatter: Float64[Tensor, "Q F F"]

    @classmethod
    def of(cls, samples: Float[Tensor, "N F"]) -> "Gaussians":
        """Describe one set of N samples, in float64; of none, all is 0."""
        values = samples.double()
        mean = values.sum(0) / max(1, len(values))
        rest = values - mean
        count = torch.tensor([len(values)], dtype=torch.float64)
        return cls(count, mean[None], (rest.T @ rest)[None])

    @classmethod
    def cat(cls, parts: Sequence["Gaussians"]) -> "Gaussians":
        """Put sets behind one another."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def __add__(self, other: "Gaussians") -> "Gaussians":
        count = self.count + other.count
        share = (other.count / count.clamp(min=1))[:, None]
        change = other.mean - self.mean
        between = change[:, :, None] * change[:, None, :]
        return Gaussians(
            count,
            self.mean + share * change,
            self.scatter + other.scatter + between * (self.count[:, None] * share)[:, :, None],
        )

    def pool(self) -> "Gaussians":
        """Merge all sets into one."""
        return reduce(add, (self._set(place) for place in range(len(self.count))))

    @property
    def covariance(self) -> Float64[Tensor, "Q F F"]:
        """Unbiased covariance (divided by count − 1); NaN where there are fewer than 2 samples."""
        return self.scatter / (self.count - 1).clamp(min=0)[:, None, None]

    def _set(self, place: int) -> "Gaussians":
        return Gaussians(*(getattr(self, f.name)[place : place + 1] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class ClipSums:
    """Features of clips of Q stretches of time, of predictions and of the truth.

    Attributes:
        predictions: their features.
        truth: those of the truth.
    """

    predictions: Gaussians
    truth: Gaussians

    @classmethod
    def cat(cls, parts: Sequence["ClipSums"]) -> "ClipSums | None":
        """Put stretches behind one another; None if there are none."""
        if not parts:
            return None
        sides = ([getattr(part, f.name) for part in parts] for f in fields(cls))
        return cls(*(Gaussians.cat(side) for side in sides))

    def __add__(self, other: "ClipSums") -> "ClipSums":
        return ClipSums(self.predictions + other.predictions, self.truth + other.truth)

    def pool(self) -> "ClipSums":
        """Merge all stretches into one."""
        return ClipSums(self.predictions.pool(), self.truth.pool())

    @property
    def distances(self) -> Float64[Tensor, " Q"]:
        """The squared Fréchet distance of each stretch."""
        return frechet_distances(self.predictions, self.truth)


def frechet_distances(ours: Gaussians, theirs: Gaussians) -> Float64[Tensor, " Q"]:
    """Return the squared Fréchet distance of each pair of sets; NaN for fewer than 2 samples."""
    return torch.stack([
        frechet_distance(*gaussians)
        if torch.stack([g.isfinite().all() for g in gaussians]).all()
        else torch.tensor(torch.nan, dtype=torch.float64)
        for gaussians in zip(
            ours.mean, ours.covariance, theirs.mean, theirs.covariance, strict=True
        )
    ])  # fmt: skip


def frechet_distance(
    mean_a: Float64[Tensor, " F"],
    covariance_a: Float64[Tensor, "F F"],
    mean_b: Float64[Tensor, " F"],
    covariance_b: Float64[Tensor, "F F"],
) -> Float64[Tensor, ""]:
    """Return the squared Fréchet (2-Wasserstein) distance of two Gaussians.

    |μa − μb|² + tr(Σa) + tr(Σb) − 2 tr((Σa^½ Σb Σa^½)^½). Source: Dowson and Landau, The Fréchet
    distance between multivariate normal distributions, 1982.

    The last trace is the sum of the singular values of Σa^½ Σb^½. Taken so, no square root is
    drawn of small eigenvalues that are rounding alone, as singular covariances have; and no
    complex numbers occur.
    """
    root_a, root_b = _root(covariance_a), _root(covariance_b)
    overlap = torch.linalg.svdvals(root_a @ root_b).sum()
    apart = (mean_a - mean_b).square().sum()
    traces = root_a.square().sum() + root_b.square().sum()
    distance: Tensor = (apart + traces - 2 * overlap).clamp(min=0)
    return distance


def _root(covariance: Float64[Tensor, "F F"]) -> Float64[Tensor, "F F"]:
    """The symmetric square root of a positive semi-definite matrix.

    Eigenvalues below 0, which only rounding makes, count as 0.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
    return root
