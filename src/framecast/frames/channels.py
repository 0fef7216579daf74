"""Channels: the variables of frames, what each is for, and coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Role = Literal["prognostic", "diagnostic", "forcing", "static"]
"""What a channel is for: read and predicted (and fed back in the closed loop); predicted only; read
only, and known ahead of time; or read only, and the same at all times."""


GREY, COLOUR = ("grey",), ("red", "green", "blue")
"""Names of the channels of videos and pictures."""

NAMED = "name_in_source"
"""The attribute that holds the name of a channel, where a file could not have it as it is."""


@dataclass(frozen=True)
class Channel:
    """One variable of the frames: its name, attributes (units, long_name, ...), and its role."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    role: Role = "prognostic"

    @property
    def units(self) -> str:
        """Units as the source gives them, or an empty string."""
        return str(self.attributes.get("units", ""))

    @property
    def valid_range(self) -> tuple[float, float] | None:
        """Least and greatest value that may occur, where the source declares them as numbers.

        They are the attribute valid_range, or valid_min and valid_max, of the CF conventions.
        """
        return _two_numbers(self._declared_ends)

    @property
    def of_vector(self) -> bool:
        """Whether it is a component of a vector, eastward or northward, by its standard name."""
        words = str(self.attributes.get("standard_name", "")).split("_")
        return "eastward" in words or "northward" in words

    @property
    def declares_nonsense(self) -> bool:
        """Whether the source declares a range that is not two numbers, such as a text."""
        return self._declared_ends is not None and self.valid_range is None

    @property
    def _declared_ends(self) -> Any:
        """As the source gives them; None if either is missing."""
        both = [self.attributes.get(name) for name in ("valid_min", "valid_max")]
        return self.attributes.get("valid_range", None if None in both else both)


@dataclass(frozen=True, eq=False)
class Coordinate:
    """A coordinate of the source: values over some of the dimensions, kept as they were."""

    dims: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)


def is_picture(channels: Sequence[Channel]) -> bool:
    """Whether channels are those of a video or of pictures, grey or in colours."""
    return {channel.name for channel in channels} <= {*GREY, *COLOUR}


def in_colours(channels: Sequence[Channel]) -> bool:
    """Whether channels are the red, green and blue of pictures."""
    return tuple(channel.name for channel in channels) == COLOUR


def _two_numbers(ends: Any) -> tuple[float, float] | None:
    if isinstance(ends, str):
        return None
    try:
        low, high = ends
        return float(low), float(high)
    except (TypeError, ValueError):
        return None
