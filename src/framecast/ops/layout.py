"""The two memory layouts of a sequence of grids that the kernels work in without a copy.

A sequence [B,T,C,H,W] is *contiguous*, or *channels-last*: frames in PyTorch's channels-last
memory format, stored as [B,T,H,W,C]. Results take the layout of the main input; the state
and other inputs are brought to it, and so is a main input that is neither (a slice, say).
Sequences and frames of another rank are taken as contiguous.
"""

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether a sequence [B,T,C,H,W] stores the channels of a pixel side by side."""
    return x.ndim == 5 and x.stride(2) == 1 and not x.is_contiguous()


def is_channels_last_frame(x: Tensor) -> bool:
    """Whether a frame [B,C,H,W] stores the channels of a pixel side by side."""
    return x.ndim == 4 and x.stride(1) == 1 and not x.is_contiguous()


def sequence(x: Tensor, channels_last: bool) -> Tensor:
    """The sequence [B,T,C,...], dense in that layout; `x` itself where it is already."""
    if not channels_last:
        return x.contiguous()
    stored = x.permute(0, 1, 3, 4, 2)
    return x if stored.is_contiguous() else stored.contiguous().permute(0, 1, 4, 2, 3)


def frame(x: Tensor, channels_last: bool) -> Tensor:
    """The frame or state [B,C,...], dense in that layout; `x` itself where it is already."""
    if not channels_last:
        return x.contiguous()
    return x.contiguous(memory_format=torch.channels_last)


def empty_sequence(like: Tensor, channels: int, channels_last: bool) -> Tensor:
    """Memory for a sequence as `like` [B,T,...] with another number of channels."""
    batch, time, _, *space = like.shape
    if not channels_last:
        return like.new_empty((batch, time, channels, *space))
    return like.new_empty((batch, time, *space, channels)).permute(0, 1, 4, 2, 3)
