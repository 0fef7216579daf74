"""The same in PyTorch: one product of matrices for all distances, and gradients by hand."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from framecast.ops.quantise.definition import EPSILON

AT_ONCE = 1 << 24
"""Distances that are in memory at one time."""


def nearest_codes(
    vectors: Float[Tensor, "N D"], codebook: Float[Tensor, "K D"]
) -> Int64[Tensor, " N"]:
    """Argmin |w|² − 2 z·w, since |z|² is the same for all rows."""
    squares, rows = codebook.square().sum(1), max(1, AT_ONCE // len(codebook))
    parts = torch.split(vectors, rows)
    return torch.cat([torch.addmm(squares, z, codebook.T, alpha=-2).argmin(1) for z in parts])


class _StraightThrough(torch.autograd.Function):
    """Puts out one tensor, and hands the gradient to another."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, quantised: Tensor) -> Tensor:
        """Return what is quantised, to the bit."""
        return quantised.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        """Return the gradient, for the values alone."""
        return gradients[0], None


def straight_through(
    values: Float[Tensor, "*any"], quantised: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """The quantised values to the bit, with the gradient of the values."""
    through: Tensor = _StraightThrough.apply(values, quantised)  # type: ignore[no-untyped-call]
    return through


def finite_scalar(
    values: Float[Tensor, "N D"], levels: Sequence[int]
) -> tuple[Float[Tensor, "N D"], Int64[Tensor, " N"]]:
    """All channels at once."""
    counts = torch.tensor(levels, dtype=torch.float64)
    half, offset = (counts - 1) * (1 + EPSILON) / 2, (counts % 2 == 0).double() / 2
    shift = torch.atanh(offset / half)
    half, offset, shift = (part.to(values) for part in (half, offset, shift))
    bounded = half * torch.tanh(values + shift) - offset
    whole = bounded.detach().round()
    middle = torch.tensor(levels, device=values.device) // 2
    codes = ((whole.long() + middle) * bases(levels, values.device)).sum(1)
    return straight_through(bounded, whole) / middle, codes


def bases(levels: Sequence[int], device: torch.device | None = None) -> Int64[Tensor, " D"]:
    """By what the level of each channel counts in a code: 1, L₁, L₁L₂, ..."""
    ones = torch.tensor([1, *levels[:-1]], dtype=torch.int64, device=device)
    return ones.cumprod(0)
