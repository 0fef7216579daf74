"""Thresholds of events, for each channel."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framecast.base.errors import UserError


class Percentile(NamedTuple):
    """A percentile of what the training frames hold, in (0, 100)."""

    percent: float

    def __str__(self) -> str:
        return f"p{self.percent:g}"


def parse_threshold(text: str, channel: str) -> float | Percentile:
    """Read a threshold: a number in the units of the channel, or p90 for a percentile.

    Raises:
        UserError: if it is neither.
    """
    percentile = text[:1] == "p"
    try:
        value = float(text.removeprefix("p"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (percentile and not 0 < value < 100):
        raise UserError(
            f"--threshold {channel}: {text} is neither a number, in the units of {channel}, nor a "
            "percentile of its training frames from p0 to p100, such as p90"
        )
    return Percentile(value) if percentile else value


@dataclass(frozen=True, eq=False)
class Thresholds:
    """At most Q thresholds of each channel. An event is a value of at least the threshold.

    Attributes:
        values: in the units of the channel, NaN where a channel has fewer, [C,Q].
        labels: how each was given, for each channel: `5`, or `p90`.
    """

    values: Float[Tensor, "C Q"]
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def of(
        cls, names: Sequence[str], given: Mapping[str, Sequence[tuple[str, float]]]
    ) -> "Thresholds":
        """Return thresholds as labels and values by the name of the channel."""
        most = max(len(several) for several in given.values())
        values = torch.full((len(names), most), torch.nan)
        for place, name in enumerate(names):
            for column, (_, value) in enumerate(given.get(name, ())):
                values[place, column] = value
        labels = tuple(tuple(label for label, _ in given.get(name, ())) for name in names)
        return cls(values, labels)

    def described(self, channel: int) -> list[str]:
        """Return each threshold of a channel as it was given, a percentile with its value."""
        values = self.values[channel].tolist()
        return [
            f"{label}={value:.4g}" if label.startswith("p") else label
            for label, value in zip(self.labels[channel], values, strict=False)
        ]

    def events(self, values: Float[Tensor, "*any C H W"]) -> list[Bool[Tensor, "*any H W"]]:
        """Return where there is an event, for each of `places`; nowhere where values are NaN."""
        return [
            values[..., channel, :, :] >= self.values[channel, column]
            for channel, column in self.places
        ]

    @property
    def places(self) -> list[tuple[int, int]]:
        """The channel and column of each threshold that there is."""
        return [(c, q) for c, several in enumerate(self.labels) for q in range(len(several))]
