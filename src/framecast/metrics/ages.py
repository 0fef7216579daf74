"""Bins of ages: how long ago the place of a frame was shown, if it was."""

from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

NEW, NEITHER = 0, -1
"""In place of an age: the place was never shown before; or the frame counts as neither."""
YOUNGEST = 8
"""Frames up to which ages are in the first bin; each further bin is twice as wide."""


def find_edges(longest: int) -> tuple[int, ...]:
    """Return the greatest age of each bin, the last of which holds the longest."""
    edges = [YOUNGEST]
    while edges[-1] < longest:
        edges.append(2 * edges[-1])
    return tuple(edges)


def labels_of(edges: Sequence[int]) -> list[str]:
    """Return the name of each bin: that of new places, then one for each edge."""
    firsts = [1, *(edge + 1 for edge in edges)]
    return ["new", *(f"{a}–{b}" for a, b in zip(firsts, edges, strict=False))]


def shares_of(ages: Int64[Tensor, "B S"], edges: Sequence[int]) -> Float64[Tensor, "B S V"]:
    """Return a unit vector that says in which bin an age is, new places first; or zeros."""
    bins = torch.bucketize(ages, torch.tensor(edges)) + 1
    bins = bins.where(ages != NEW, 0)
    units: Tensor = torch.nn.functional.one_hot(bins, len(edges) + 1).double()
    return units * (ages != NEITHER)[..., None]
