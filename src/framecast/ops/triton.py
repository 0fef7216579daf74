"""What the Triton kernels of all ops share: small functions on the device, memory and launch.

The kernels are for GPUs. **Every kernel is verified against the float64 definitions in
Triton's interpreter, and compiles for the GPUs named in its tests; its speed on hardware has
not been measured.**

One program takes a block of positions (batch entry, channel, pixel) through all of time, with
the state in registers. The loads of a step do not depend on the state, so the hardware may run
ahead of the recurrence. The backward pass walks from the last frame to the first and computes
the gates again from their pre-activations: nothing is kept but inputs and outputs. Sums are in
float32, or in float64 where the input is. In float32 the exponentials on a GPU are the
hardware's, whose relative error grows with the argument; it has not been measured here either.

Memory. Positions are numbered in the order in which the main input stores them, so neighbouring
lanes touch neighbouring addresses in [B,T,C,H,W] and in channels-last storage ([B,T,H,W,C])
alike. Strides are passed in: nothing is copied whose pixels are evenly spaced, such as a slice
of the channels; outputs take the layout of the main input. Offsets are 64-bit.

Triton is not installed everywhere: this module can be imported without it, and
`unavailable_reason` says why the kernels cannot run.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations  # the kernels' annotations name Triton, which may be absent

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self, no_type_check

import torch
from torch import Tensor

from framecast.ops import layout

try:
    import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:
    triton = tl = None

__all__ = [
    "Field",
    "at",
    "empty_like",
    "jit",
    "launch",
    "load",
    "locate",
    "sigmoid",
    "store",
    "tl",
    "triton",
    "unavailable_reason",
]


def unavailable_reason() -> str | None:
    """Why these kernels cannot run here; None if they can."""
    if triton is None:
        return "the package triton is not installed"
    if isinstance(locate, triton.JITFunction) and not torch.cuda.is_available():
        return "there is no GPU, and TRITON_INTERPRET=1 was not set when Triton was imported"
    return None


def jit(kernel: Callable[..., Any]) -> Any:
    """Hand a kernel to Triton; without Triton, leave it as it is.

    Kernels are marked `no_type_check`, since Triton cannot compile the checks of types that the
    tests put around functions.
    """
    return kernel if triton is None else triton.jit(kernel)


# --- on the device -------------------------------------------------------------------------


@jit
@no_type_check
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
@no_type_check
def at(field, batch, channel, pixel):
    """Addresses of these positions in the first frame."""
    return field.data + (batch * field.batch + channel * field.channel + pixel * field.pixel)


@jit
@no_type_check
def load(at, here, sum_dtype: tl.constexpr):
    """The values at these addresses in the type of the sums, 0 where no position is."""
    return tl.load(at, mask=here, other=0.0).to(sum_dtype)


@jit
@no_type_check
def store(at, value, here):
    """Write values in the type of the memory, where there are positions."""
    tl.store(at, value.to(at.dtype.element_ty), mask=here)


@jit
@no_type_check
def sigmoid(x):
    """σ(x) and σ(−x), neither overflowing nor cancelling."""
    small = tl.exp(-tl.abs(x))
    large = 1.0 / (1.0 + small)
    positive = x >= 0
    return tl.where(positive, large, small * large), tl.where(positive, small * large, large)


# --- memory and launch ---------------------------------------------------------------------


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
