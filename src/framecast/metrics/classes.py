"""How well classes are named: accuracy, confusion and calibration, from probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

BINS = 15
"""Bins of confidence that calibration is measured in, as is usual (Guo et al. 2017)."""
TOP = 5


class Reliability(NamedTuple):
    """What is said and what is so, in bins of confidence of equal width.

    Attributes:
        confidence: mean probability of the class that is named, [15]; NaN in an empty bin.
        accuracy: share of these that are right, [15]; NaN in an empty bin.
        counts: sequences in each bin, [15].
    """

    confidence: Float64[Tensor, " Q"]
    accuracy: Float64[Tensor, " Q"]
    counts: Int64[Tensor, " Q"]


@dataclass(frozen=True, eq=False)
class Named:
    """Sequences with the probabilities that were given to their classes, and the true ones.

    Attributes:
        probabilities: of each class, with a sum of 1, [S,K].
        labels: true classes, [S].
        names: of the classes.
    """

    probabilities: Float[Tensor, "S K"]
    labels: Int64[Tensor, " S"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def accuracy(self, top: int = 1) -> float:
        """Return the share of sequences whose class is among the `top` most probable, in [0, 1].

        Of classes that are equally probable those that come first are taken. It is perfect at 1; a
        guess reaches top/K of classes that are equally frequent.
        """
        return float((self._ranked[:, :top] == self.labels[:, None]).any(1).double().mean())

    def per_class(self) -> Float64[Tensor, " K"]:
        """Return the share of the sequences of each class that is named so; NaN of none."""
        counts = self.confusion()
        return counts.diagonal() / counts.sum(1).double()

    def confusion(self) -> Int64[Tensor, "K K"]:
        """Count the sequences of each true class (rows) that were named each class (columns)."""
        classes = len(self.names)
        pairs = self.labels * classes + self.predicted
        return pairs.bincount(minlength=classes**2).view(classes, classes)

    @property
    def predicted(self) -> Int64[Tensor, " S"]:
        """The most probable class of each, the first of those that are equally so."""
        return self._ranked[:, 0]

    @cached_property
    def _ranked(self) -> Int64[Tensor, "S K"]:
        """The classes of each sequence, the most probable first."""
        return torch.sort(self.probabilities, dim=1, descending=True, stable=True).indices

    @property
    def most_frequent(self) -> float:
        """The accuracy of naming the most frequent true class always."""
        return float(self.labels.bincount().max() / len(self))

    def reliability(self, bins: int = BINS) -> Reliability:
        """Return confidence and accuracy in bins of confidence ((b − 1)/Q, b/Q]."""
        confidence = self.probabilities.double().gather(1, self.predicted[:, None])[:, 0]
        right = (self.predicted == self.labels).double()
        place = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
        counts = place.bincount(minlength=bins)
        sums = [place.bincount(values, minlength=bins) for values in (confidence, right)]
        return Reliability(sums[0] / counts, sums[1] / counts, counts)

    def calibration_error(self, bins: int = BINS) -> float:
        """Return the expected calibration error (ECE), in [0, 1]; 0 is perfect.

        Σ n_b/S · |accuracy_b − confidence_b| over bins of confidence. Source: Naeini et al. 2015;
        Guo et al. 2017, On Calibration of Modern Neural Networks.
        """
        confidence, accuracy, counts = self.reliability(bins)
        gaps = (accuracy - confidence).abs().nan_to_num(0.0)
        return float((gaps * counts).sum() / len(self))

    def part(self, kept: Sequence[bool]) -> "Named":
        """Return some of the sequences."""
        chosen = torch.tensor(kept, dtype=torch.bool)
        return Named(self.probabilities[chosen], self.labels[chosen], self.names)

    def grouped(self, groups: Sequence[str]) -> "Named":
        """Return the same sequences with the groups of their classes in place of these.

        The probability of a group is the sum over its classes.

        Args:
            groups: name of the group of each class, [K].
        """
        names = tuple(dict.fromkeys(groups))
        place = torch.tensor([names.index(group) for group in groups])
        sums = self.probabilities.new_zeros(len(self), len(names))
        return Named(sums.index_add(1, place, self.probabilities), place[self.labels], names)
