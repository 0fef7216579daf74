"""Vectors replaced by the nearest of a few, and gradients that pass straight through: by loops."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def nearest_codes(
    vectors: Float[Tensor, "N D"], codebook: Float[Tensor, "K D"]
) -> Int64[Tensor, " N"]:
    """The place of the row of the codebook at the least distance, the first of several."""
    codes = []
    for vector in vectors:
        distances = [(vector - row).square().sum() for row in codebook]
        codes.append(min(range(len(codebook)), key=lambda place: distances[place].item()))
    return torch.tensor(codes, dtype=torch.int64, device=vectors.device)


def straight_through(
    values: Float[Tensor, "*any"], quantised: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """Values + sg(quantised − values), where no gradient passes sg."""
    return values + (quantised - values).detach()


def finite_scalar(
    values: Float[Tensor, "N D"], levels: Sequence[int]
) -> tuple[Float[Tensor, "N D"], Int64[Tensor, " N"]]:
    """Round each channel to one of its levels, after a tanh that has as many.

    With half = (L−1)(1+ε)/2, an offset of ½ for an even L and 0 for an odd one, and
    s = artanh(offset/half): round(half·tanh(z + s) − offset) is one of L whole numbers around 0.
    """
    columns, codes, base = [], torch.zeros(len(values), dtype=torch.int64), 1
    for channel, count in enumerate(levels):
        half, offset = (count - 1) * (1 + EPSILON) / 2, 0.0 if count % 2 else 0.5
        shift = torch.atanh(torch.tensor(offset / half, dtype=torch.float64)).item()
        bounded = half * torch.tanh(values[:, channel] + shift) - offset
        whole = straight_through(bounded, bounded.round())
        columns.append(whole / (count // 2))
        codes += base * (bounded.round().long() + count // 2)
        base *= count
    return torch.stack(columns, dim=1), codes


EPSILON = 1e-3
"""By which the outer levels lie within reach of the tanh."""
