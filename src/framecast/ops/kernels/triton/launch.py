"""The memory and the launch of the kernels."""

# mypy: allow-untyped-calls

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from framecast.ops.kernels import layout
from framecast.ops.kernels.triton.pieces import tl, triton


class Field(NamedTuple):
    """A tensor [B,T,C,...] as the kernels see it: its memory, and the stride of each dimension.

    All dimensions after the channels count as one, of pixels.
    """

    data: Tensor
    batch: int
    time: int
    channel: int
    pixel: int

    @classmethod
    def of(cls, x: Tensor) -> Self:
        """The field of a tensor, copied only if its pixels are not evenly spaced."""
        x = x.reshape(*(*x.shape, 1)[:3], math.prod(x.shape[3:]))
        return cls(x, *x.stride())


def empty_like(x: Tensor, channels: int | None = None) -> Tensor:
    """Memory for a sequence in the layout of another, which may have more channels."""
    if x.ndim < 3:
        return x.new_empty(x.shape)
    return layout.empty_sequence(x, channels or x.shape[2], layout.is_channels_last(x))


def _block(positions: int) -> int:
    """Positions of a program.

    With 128, each thread of four warps has one: as many programs as can be, for grids too small
    to fill a GPU. From 2¹⁹ positions on there is work enough for four positions a thread, which
    then moves 16 bytes of float32 at once.
    """
    return 512 if positions >= 2**19 else 128


def launch(kernel: Any, tensors: Sequence[Tensor], order: Tensor, **options: str | bool) -> None:
    """Run a kernel on tensors [B,T,C,...], over all positions of `order` as it stores them."""
    fields = [Field.of(x) for x in tensors]
    batch, steps, channels = (*order.shape, 1)[:3]
    pixels = math.prod(order.shape[3:])
    channels_last = layout.is_channels_last(order)
    outer, inner = (pixels, channels) if channels_last else (channels, pixels)
    positions = batch * outer * inner
    block = _block(positions)
    with torch.cuda.device_of(order):
        kernel[(triton.cdiv(positions, block),)](
            *fields,
            steps,
            positions,
            outer,
            inner,
            **options,
            sum_dtype=tl.float64 if order.dtype == torch.float64 else tl.float32,
            channels_last=channels_last,
            block=block,
            num_warps=4,
            enable_fp_fusion=True,
        )
