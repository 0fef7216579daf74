"""What all the kernels are made of; and Triton itself, None where it is not installed."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations  # the kernels' annotations name Triton, which may be absent

from collections.abc import Callable
from typing import Any

try:
    import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:
    triton = tl = None

__all__ = ["at", "jit", "load", "locate", "sigmoid", "store", "tl", "triton"]


def jit(kernel: Callable[..., Any]) -> Any:
    """Hand a kernel to Triton; without Triton, leave it as it is."""
    return kernel if triton is None else triton.jit(kernel)


@jit
def locate(positions, outer, inner, channels_last: tl.constexpr, block: tl.constexpr):
    """Batch entry, channel and pixel of this program's positions, and which of them exist.

    Positions are numbered over (batch, outer, inner). Each index is taken from `position` or
    `row` by one operation: the compiler then sees runs of neighbours, and moves 16 bytes at once.
    """
    position = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    row = position // inner
    batch = row // outer
    if channels_last:
        pixel = row % outer
        channel = position % inner
    else:
        channel = row % outer
        pixel = position % inner
    return batch, channel, pixel, position < positions


@jit
def at(field, batch, channel, pixel):
    """Addresses of these positions in the first frame."""
    return field.data + (batch * field.batch + channel * field.channel + pixel * field.pixel)


@jit
def load(at, here, sum_dtype: tl.constexpr):
    """The values at these addresses in the type of the sums, 0 where no position is."""
    return tl.load(at, mask=here, other=0.0).to(sum_dtype)


@jit
def store(at, value, here):
    """Write values in the type of the memory, where there are positions."""
    tl.store(at, value.to(at.dtype.element_ty), mask=here)


@jit
def sigmoid(x):
    """σ(x) and σ(−x), neither overflowing nor cancelling."""
    small = tl.exp(-tl.abs(x))
    large = 1.0 / (1.0 + small)
    positive = x >= 0
    return tl.where(positive, large, small * large), tl.where(positive, small * large, large)
