"""Colours of values and of differences: which map, from where to where."""

from collections.abc import Sequence
from typing import NamedTuple

from framecast.frames.channels import COLOUR, GREY

DIVERGING, SEQUENTIAL, PICTURE = "RdBu_r", "viridis", "gray"
"""Names of colour maps of matplotlib."""


class Colours(NamedTuple):
    """A colour map, and the values at its ends."""

    map: str
    low: float
    high: float


def value_colours(names: Sequence[str], low: float, high: float) -> Colours:
    """Return the colours of values: grey for pictures, about zero where there are both signs.

    Args:
        names: of all channels.
        low: least value that is shown.
        high: greatest value that is shown.
    """
    if tuple(names) in (GREY, COLOUR):
        return Colours(PICTURE, low, high)
    if low < 0 < high:
        limit = max(-low, high)
        return Colours(DIVERGING, -limit, limit)
    return Colours(SEQUENTIAL, low, high)


def difference_colours(limit: float) -> Colours:
    """Return the colours of differences, which are white where there is none."""
    return Colours(DIVERGING, -limit, limit)
