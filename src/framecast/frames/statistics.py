"""Statistics of the training frames; normalisation and its inverse."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

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
PIXELS = 1 << 20
"""Values that are summed at once, at most; one frame at least."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is kept of the training frames. What is missing counts nowhere.

    Attributes:
        offset: of each channel, [C], in physical units: what becomes 0.
        scale: of each channel, [C], in physical units: the distance that becomes 1.
        climatology: mean over sequences and times, [C,H,W]: the forecast that knows nothing
            of the present. NaN where a channel was never known.
        known: share of the frames in which each value was known, [C,H,W], in [0, 1]; None where
            all were.
        static_offset: of each static field, [S].
        static_scale: of each static field, [S].
    """

    offset: Float[Tensor, " C"]
    scale: Float[Tensor, " C"]
    climatology: Float[Tensor, "C H W"]
    known: Float[Tensor, "C H W"] | None = None
    static_offset: Float[Tensor, " S"] | None = None
    static_scale: Float[Tensor, " S"] | None = None

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
            UserError: if a range is needed and a channel declares none, or a channel is missing
                in all frames.
        """
        moments = _moments(frames.values)
        _check_known(frames, moments)
        offset, scale = moments.mean, moments.deviation
        scale = torch.where(scale > 0, scale, 1.0)
        if normalise != "standard":
            low, high = _valid_ranges(frames, normalise).unbind(1)
            offset, scale = low, high - low
            if normalise == "symmetric":
                offset, scale = (low + high) / 2, scale / 2
        known = None if moments.known.eq(1).all() else moments.known.float()
        return cls(
            offset.float(), scale.float(), moments.field.float(), known, *_static_moments(frames)
        )

    @property
    def gaps(self) -> list[bool]:
        """Whether each channel is missing anywhere, in a list as long as the channels."""
        if self.known is None:
            return [False] * len(self.offset)
        return [bool(share.lt(1).any()) for share in self.known]

    def part(self, channels: slice) -> "Statistics":
        """Return the statistics of some of the channels, in memory of their own."""
        return replace(
            self,
            offset=self.offset[channels].clone(),
            scale=self.scale[channels].clone(),
            climatology=self.climatology[channels].clone(),
            known=None if self.known is None else self.known[channels].clone(),
        )

    def normalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """Physical units → what the network sees."""
        return (values - self.offset[:, None, None]) / self.scale[:, None, None]

    def denormalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """The inverse of `normalise`."""
        return values * self.scale[:, None, None] + self.offset[:, None, None]

    def normalise_static(self, values: Float[Tensor, "S H W"]) -> Float[Tensor, "S H W"]:
        """Scale static fields to mean 0 and deviation 1 over the training grid; missing is 0."""
        if self.static_offset is None or self.static_scale is None:
            return values
        offset, scale = (v[:, None, None] for v in (self.static_offset, self.static_scale))
        return ((values - offset) / scale).nan_to_num(0.0)

    def to(self, device: torch.device | str) -> "Statistics":
        """Return the same statistics on another device."""
        moved: Any = {k: None if v is None else v.to(device) for k, v in vars(self).items()}
        return Statistics(**moved)


class _Moments(NamedTuple):
    """Over known values, in float64: mean and deviation [C], mean [C,H,W], share known [C,H,W]."""

    mean: Tensor
    deviation: Tensor
    field: Tensor
    known: Tensor


def _moments(values: Values) -> _Moments:
    """Mean and deviation of each channel, and the mean over sequences and times.

    Stretches are merged by the formula of Chan, Golub and LeVeque (1979), which does not cancel
    where the mean is large beside the deviation.
    """
    frames = 0
    count, mean, squares, field, seen = (torch.zeros((), dtype=torch.float64) for _ in range(5))
    for stretch in _stretches(values):
        known, filled, complete = ~stretch.isnan(), stretch.double(), stretch.sum().isfinite()
        if not complete:
            filled = filled.nan_to_num(0.0)
        here = known.sum((0, 2, 3)).double()
        own = filled.sum((0, 2, 3)) / here.clamp(min=1)
        rest = filled - own[:, None, None]
        if not complete:
            rest = rest.masked_fill(~known, 0.0)
        change, total = own - mean, count + here
        share = here / total.clamp(min=1)
        squares = squares + rest.square().sum((0, 2, 3)) + change.square() * count * share
        mean = mean + change * share
        count = total
        field, seen = field + filled.sum(0), seen + known.sum(0)
        frames += len(stretch)
    return _Moments(mean, (squares / count).sqrt(), field / seen, seen / frames)


def _static_moments(frames: Frames) -> tuple[Tensor | None, Tensor | None]:
    """Mean and deviation of static fields over the grid, [S] each; None where there are none."""
    if frames.static is None:
        return None, None
    values = frames.static.values.double().flatten(1)
    mean = values.nanmean(1)
    deviation = (values - mean[:, None]).square().nanmean(1).sqrt()
    return mean.float(), torch.where(deviation > 0, deviation, 1.0).float()


def _check_known(frames: Frames, moments: _Moments) -> None:
    for channel, known in zip(frames.channels, moments.known, strict=True):
        if not known.any():
            raise UserError(
                f"{frames.source}: {channel.name} is missing in all training frames: leave it out "
                "(data.variables), or see whether data.missing names a value that is none"
            )


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
