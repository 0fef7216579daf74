"""Blocks of windows that follow one another in time, and are drawn together in a bootstrap."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import attrgetter

import numpy as np

from framecast.frames.batch import Place

MOST = 100
"""Blocks of a group of windows, at most: what is kept does not grow with the windows."""


def assign(places: Sequence[Place], length: int) -> list[int]:
    """Return the block of each window, counted from 0.

    Windows of a sequence are cut into blocks of b that follow one another. b is the cube root of
    their number, to the nearest whole one (Hall, Horowitz and Jing, On blocking rules for the
    bootstrap with dependent data, 1995), or as many as share a frame with their neighbour's last
    where windows overlap, if that is more. No block holds windows of two sequences unless there
    are more than 100 blocks: neighbours are then joined.

    Args:
        places: of windows, one sequence after the other, in the order of time.
        length: frames of a window.
    """
    blocks: list[int] = []
    for _, windows in groupby(places, attrgetter("sequence")):
        starts = [place.start for place in windows]
        first = blocks[-1] + 1 if blocks else 0
        size = _size(starts, length)
        blocks += [first + number // size for number in range(len(starts))]
    count = blocks[-1] + 1 if blocks else 0
    return [block * MOST // count for block in blocks] if count > MOST else blocks


def _size(starts: Sequence[int], length: int) -> int:
    """Windows of a block."""
    if len(starts) < 2:
        return 1
    stride = min(later - one for one, later in pairwise(starts))
    overlapping = -(-length // stride)
    return max(overlapping, int(np.cbrt(len(starts)).round()))
