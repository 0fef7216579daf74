"""Statistics of the training frames; normalisation and its inverse."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.lazy import Values, lengths

Normalise = Literal["standard", "unit", "symmetric"]
"""How frames are scaled: to mean 0 and standard deviation 1 over the training frames; or the range
that their channels declare to [0, 1], or to [-1, 1]."""

EXAMINED = 20_000
"""Frames that statistics are taken from, where they are not held in memory."""
STRETCH = 64
"""Frames that are summed at once, fewer where they are large."""
PIXELS = 1 << 24
"""Values that are summed at once, at most; one frame at least."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is kept of the training frames.

    Attributes:
        offset: of each channel, [C], in physical units: what becomes 0.
        scale: of each channel, [C], in physical units: the distance that becomes 1.
        climatology: mean over sequences and times, [C,H,W]: the forecast that knows nothing
            of the present.
    """

    offset: Float[Tensor, " C"]
    scale: Float[Tensor, " C"]
    climatology: Float[Tensor, "C H W"]

    @classmethod
    def of(cls, frames: Frames, normalise: Normalise = "standard") -> "Statistics":
        """Compute the statistics of frames, with sums in float64.

        Frames that are not held in memory are examined in sequences spread evenly over all, as
        many as hold 20,000 frames, at least one.

        Args:
            frames: of the training.
            normalise: standard: offset and scale are mean and standard deviation (1 for a
                channel that never changes); unit, symmetric: those that take the valid range of
                a channel to [0, 1], or to [-1, 1].

        Raises:
            UserError: if a range is needed and a channel declares none.
        """
        mean, std, climatology = _moments(frames.values)
        if normalise == "standard":
            offset, scale = mean, torch.where(std > 0, std, 1.0)
        else:
            low, high = _valid_ranges(frames, normalise).unbind(1)
            offset, scale = low, high - low
            if normalise == "symmetric":
                offset, scale = (low + high) / 2, scale / 2
        return cls(offset.float(), scale.float(), climatology.float())

    def normalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """Physical units → what the network sees."""
        return (values - self.offset[:, None, None]) / self.scale[:, None, None]

    def denormalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """The inverse of `normalise`."""
        return values * self.scale[:, None, None] + self.offset[:, None, None]


def _moments(values: Values) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation [C] and mean over sequences and times [C,H,W], in float64.

    Stretches are merged by the formula of Chan, Golub and LeVeque (1979), which does not cancel
    where the mean is large beside the deviation.
    """
    count, mean, squares, field = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for stretch in _stretches(values):
        pixels = stretch.double().transpose(0, 1).flatten(1)
        here, own = pixels.shape[1], pixels.mean(1)
        change, total = own - mean, count + here
        squares = (
            squares
            + (pixels - own[:, None]).square().sum(1)
            + change.square() * (count * here / total)
        )
        mean = mean + change * (here / total)
        field = field + stretch.double().sum(0)
        count = total
    frames = count // (values.shape[3] * values.shape[4])
    return mean, (squares / count).sqrt(), field / frames


def _stretches(values: Values) -> Iterator[Tensor]:
    """Stretches [T,C,H,W] of all sequences in memory, or of some that are spread evenly."""
    held = lengths(values)
    every = 1 if isinstance(values, Tensor) else -(-sum(held) // EXAMINED)
    stretch = max(1, min(STRETCH, PIXELS // math.prod(values.shape[2:])))
    for sequence in range(0, len(held), every):
        for start in range(0, held[sequence], stretch):
            yield values[sequence, start : start + stretch]


def _valid_ranges(frames: Frames, normalise: Normalise) -> Tensor:
    """Least and greatest value of each channel, [C,2], in float64."""
    ranges = []
    for channel in frames.channels:
        if channel.valid_range is None or not channel.valid_range[0] < channel.valid_range[1]:
            raise UserError(
                f"{frames.source}: data.normalise {normalise} needs the range of {channel.name}, "
                "but the data declare none: give the variable the attribute valid_range (two "
                "numbers, ascending), or set data.normalise standard"
            )
        ranges.append(channel.valid_range)
    return torch.tensor(ranges, dtype=torch.float64)
