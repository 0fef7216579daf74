"""What the values of each channel are like, from some of the frames."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.frames.frames import Frames, Piece
from framecast.frames.sentinels import find_sentinel

STRETCHES = 24
"""Places, spread over all the frames, that are looked at."""
LEADS = (1, 2, 4, 8)
"""Frames ahead at which a frame is compared with what followed it."""
OFTEN = 0.01
"""Share of zeros from which on 0 is a bound rather than a chance."""
VALUES = 1 << 25
"""Values that are looked at in all, about."""


@dataclass(frozen=True)
class ChannelFindings:
    """What is known of a channel.

    Attributes:
        name: of the channel.
        units: as the source gives them, or empty.
        low: least value.
        high: greatest value.
        deviation: standard deviation over times and places.
        missing: share of the values that are missing.
        constant: whether no value changes in time.
        uniform: whether all values are the same.
        persistence: root mean square error of the frame itself as the forecast of the frame so
            many later, by lead; in units of the channel.
        zeros: share of the known values that are 0.
        sentinel: value that seems to stand for a missing one, and its share; None if none does.
    """

    name: str
    units: str
    low: float
    high: float
    deviation: float
    missing: float
    constant: bool
    uniform: bool
    persistence: dict[int, float]
    zeros: float
    sentinel: tuple[float, float] | None

    @property
    def starts_at_zero(self) -> bool:
        """Whether 0 is its least value and occurs often, as with rain: no amount lies below."""
        return self.low == 0 and self.zeros > OFTEN

    @property
    def still(self) -> bool:
        """Whether it is the same at all times, and not at all places."""
        return self.constant and not self.uniform

    @property
    def correlation(self) -> float:
        """How far a frame tells the next: 1 − error² / (2 variance) of persistence at lead 1."""
        if 1 not in self.persistence or self.deviation == 0:
            return math.nan
        return 1 - self.persistence[1] ** 2 / (2 * self.deviation**2)


def examine_channels(frames: Frames) -> list[ChannelFindings]:
    """Look at frames here and there, all of them where there are few."""
    stretches = list(_stretches(frames))
    return [
        _examine(name, channel.units, [s[:, place].double() for s in stretches])
        for place, (name, channel) in enumerate(zip(frames.names, frames.channels, strict=True))
    ]


def _stretches(frames: Frames) -> Iterator[Float[Tensor, "T C H W"]]:
    """Frames that follow one another, from places spread over all pieces."""
    length = max(LEADS) + 1
    most = max(1, VALUES // (length * math.prod(frames.values.shape[2:])))
    for piece, start in _places(frames.pieces, length, min(STRETCHES, most)):
        yield frames.values[piece.sequence, start : min(start + length, piece.stop)]


def _places(pieces: Sequence[Piece], length: int, most: int) -> Iterator[tuple[Piece, int]]:
    starts = [(p, s) for p in pieces for s in range(p.start, p.stop, length)]
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(most, len(starts))).round().astype(int))
    return (starts[place] for place in chosen)


def _examine(name: str, units: str, stretches: Sequence[Float[Tensor, "T H W"]]) -> ChannelFindings:
    values = torch.cat([stretch.flatten() for stretch in stretches])
    known = values[~values.isnan()]
    changes = [(s[1:] - s[:-1]).nan_to_num(0.0).abs().max() for s in stretches if len(s) > 1]
    low, high = (known.min().item(), known.max().item()) if len(known) else (math.nan, math.nan)
    return ChannelFindings(
        name=name,
        units=units,
        low=low,
        high=high,
        deviation=known.std(correction=0).item() if len(known) else 0.0,
        missing=1 - len(known) / len(values),
        constant=bool(changes) and not any(change > 0 for change in changes),
        uniform=bool(low == high),
        persistence=_persistence(stretches),
        zeros=(known == 0).double().mean().item() if len(known) else 0.0,
        sentinel=find_sentinel(known),
    )


def _persistence(stretches: Sequence[Float[Tensor, "T H W"]]) -> dict[int, float]:
    errors = {}
    for lead in LEADS:
        moved = [(s[lead:] - s[:-lead]).flatten() for s in stretches if len(s) > lead]
        squared = torch.cat(moved).square() if moved else torch.empty(0)
        if (known := squared[~squared.isnan()]).numel():
            errors[lead] = known.mean().sqrt().item()
    return errors
