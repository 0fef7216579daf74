"""Distribution heads: what a network says of the distribution of each value.

A head knows each cell by itself. What is drawn from it has the right distribution in every cell,
and no correlation between cells beyond what the frames before give.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framecast.base.config import check_options

HeadKind = Literal["point", "normal", "quantiles", "bins"]
Said = Float[Tensor, "*any P H W"]
"""P numbers that stand for the distribution of each value."""
Value = Float[Tensor, "*any H W"]

MOST = 1000
"""Numbers for each value, at most."""
NARROWEST = 1e-3
"""Least deviation, in units of the normalisation, so that no likelihood grows without bound."""


class Head(ABC):
    """A family of distributions. All numbers are in units of the normalisation."""

    bounded = False
    """Whether values have ends of their own, so that they cannot be changes of the last frame."""

    @property
    @abstractmethod
    def size(self) -> int:
        """P, how many numbers the decoder puts out for each value."""

    @abstractmethod
    def describe(self, raw: Said, last: Value | float) -> Said:
        """Return the distribution that the decoder's numbers stand for, moved by `last`."""

    @abstractmethod
    def point(self, said: Said) -> Value:
        """Return one value that stands for the distribution: its mean or its median."""

    @abstractmethod
    def sample(self, said: Said, noise: Value) -> Value:
        """Return the value that a standard normal number becomes in the distribution."""

    @abstractmethod
    def score(self, said: Said, truth: Value) -> Value:
        """Return the proper score of the distribution, which training makes small."""


@dataclass(frozen=True)
class Normal(Head):
    """A normal distribution: mean and deviation. The score is the negative log likelihood."""

    @property
    def size(self) -> int:
        """Two: mean and deviation."""
        return 2

    def describe(self, raw: Said, last: Value | float) -> Said:
        """Move the mean; make the deviation positive, and 1 where the decoder says 0."""
        mean, width = raw.unbind(-3)
        deviation = F.softplus(width + math.log(math.e - 1)) + NARROWEST
        return torch.stack([mean + last, deviation], dim=-3)

    def point(self, said: Said) -> Value:
        """Return the mean."""
        return said.select(-3, 0)

    def sample(self, said: Said, noise: Value) -> Value:
        """Return mean + deviation · noise."""
        mean, deviation = said.unbind(-3)
        return mean + deviation * noise

    def score(self, said: Said, truth: Value) -> Value:
        """Return ½ ((y − μ) / σ)² + log σ + ½ log 2π; negative where it is sure and right."""
        mean, deviation = said.unbind(-3)
        standard = (truth - mean) / deviation
        return 0.5 * standard.square() + deviation.log() + 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Quantiles(Head):
    """Quantiles at probabilities (k − ½) / count, that do not cross.

    The score is twice the mean pinball loss, which is the CRPS of the distribution but for how
    finely it is cut (Gneiting and Ranjan 2011, Comparing density forecasts using threshold- and
    quantile-weighted scoring rules). Between quantiles, and beyond the outer ones, they are
    continued by straight lines.

    Attributes:
        count: of quantiles, odd, so that the median is one, and at least 3.
    """

    count: int = 15

    def __post_init__(self) -> None:
        if self.count < 3 or self.count % 2 == 0 or self.count > MOST:
            raise ValueError(f"count {self.count} must be odd, at least 3 and at most {MOST}")

    @property
    def size(self) -> int:
        """The number of quantiles."""
        return self.count

    def describe(self, raw: Said, last: Value | float) -> Said:
        """Put quantiles about the median, at distances that are positive."""
        middle = self.count // 2
        steps = F.softplus(raw).cumsum(-3) * (4 / self.count)
        median = (raw.select(-3, middle) + last).unsqueeze(-3)
        placed: Tensor = median + steps - steps.narrow(-3, middle, 1)
        return placed

    def point(self, said: Said) -> Value:
        """Return the median."""
        return said.select(-3, self.count // 2)

    def sample(self, said: Said, noise: Value) -> Value:
        """Return the quantile at the probability that the noise has."""
        place = torch.special.ndtr(noise) * self.count - 0.5
        below = place.floor().clamp(0, self.count - 2).long()
        low, high = (said.gather(-3, at.unsqueeze(-3)).squeeze(-3) for at in (below, below + 1))
        value: Tensor = low + (place - below) * (high - low)
        return value

    def score(self, said: Said, truth: Value) -> Value:
        """Return 2 Σ_k max(τ_k (y − q_k), (τ_k − 1) (y − q_k)) / count."""
        above = truth.unsqueeze(-3) - said
        at = (torch.arange(self.count, device=said.device) + 0.5) / self.count
        at = at.to(said.dtype)[:, None, None]
        score: Tensor = 2 * torch.maximum(at * above, (at - 1) * above).mean(-3)
        return score


@dataclass(frozen=True)
class Bins(Head):
    """Probabilities of bins of equal width; the outer ones hold what lies beyond them too.

    The score is the cross-entropy, −log of the probability of the bin of the truth. Within a bin
    all values are equally likely.

    Attributes:
        count: of bins, at least 2.
        low: lower end of the first bin, in units of the normalisation: training deviations from
            the mean with data.normalise standard.
        high: upper end of the last bin.
    """

    count: int = 32
    low: float = -4.0
    high: float = 4.0

    bounded = True

    def __post_init__(self) -> None:
        if not 2 <= self.count <= MOST:
            raise ValueError(f"count {self.count} must be at least 2 and at most {MOST}")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")

    @property
    def size(self) -> int:
        """The number of bins."""
        return self.count

    @property
    def width(self) -> float:
        """Of a bin."""
        return (self.high - self.low) / self.count

    def describe(self, raw: Said, last: Value | float) -> Said:
        """Return log probabilities."""
        return raw.log_softmax(-3)

    def point(self, said: Said) -> Value:
        """Return the mean."""
        places = torch.arange(self.count, device=said.device).to(said.dtype)
        centres = self.low + (places + 0.5) * self.width
        return (said.exp() * centres[:, None, None]).sum(-3)

    def sample(self, said: Said, noise: Value) -> Value:
        """Return the value at the probability that the noise has."""
        shares, at = said.exp(), torch.special.ndtr(noise).unsqueeze(-3)
        ends = shares.cumsum(-3)
        place = (ends < at).sum(-3, keepdim=True).clamp(max=self.count - 1)
        share, end = shares.gather(-3, place), ends.gather(-3, place)
        part = ((at - (end - share)) / share.clamp(min=1e-12)).clamp(0, 1)
        value: Tensor = self.low + (place + part).squeeze(-3) * self.width
        return value

    def score(self, said: Said, truth: Value) -> Value:
        """Return −log p of the bin of the truth."""
        place = ((truth - self.low) / self.width).floor().clamp(0, self.count - 1).long()
        score: Tensor = -said.gather(-3, place.unsqueeze(-3)).squeeze(-3)
        return score


HEADS: dict[str, type[Normal | Quantiles | Bins]] = {
    "normal": Normal,
    "quantiles": Quantiles,
    "bins": Bins,
}
"""The heads by name, but for point, which is none."""


def make_head(kind: HeadKind, given: Mapping[str, Any]) -> Head | None:
    """Return a head with some options, and its defaults for others; None for point.

    Raises:
        ValueError: for an option that it does not take, or a value out of range.
    """
    if kind != "point":
        return HEADS[kind](**check_options(HEADS[kind], given))
    if given:
        raise ValueError(f"head point takes no options, but {', '.join(given)} are given")
    return None


def say(
    head: Head,
    decoded: Float[Tensor, "*any VP H W"],
    last: Float[Tensor, "*any V H W"] | float,
    noise: Float[Tensor, "*any V H W"] | None,
) -> Float[Tensor, "*any _C H W"]:
    """Return a frame of V channels, and then the V·P numbers that stand for its distribution.

    Args:
        head: what the numbers mean.
        decoded: P numbers for each of V values.
        last: what the distribution is moved by.
        noise: by which the frame is drawn; None for the mean or the median.
    """
    wide = decoded.to(torch.promote_types(decoded.dtype, torch.float32))
    said = head.describe(part_by_value(wide, head), last)
    frame = head.point(said) if noise is None else head.sample(said, noise.to(said))
    return torch.cat([frame, said.flatten(-4, -3)], dim=-3)


def part_by_value(
    numbers: Float[Tensor, "*any VP H W"], head: Head
) -> Float[Tensor, "*any V P H W"]:
    """Part channels into the P numbers of each of V values."""
    *before, channels, height, width = numbers.shape
    return numbers.reshape(*before, channels // head.size, head.size, height, width)
