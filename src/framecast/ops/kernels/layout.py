"""The two memory layouts of a sequence of grids that the kernels work in without a copy.

A sequence [B,T,C,H,W] is *contiguous*, or *channels-last*: frames in PyTorch's channels-last
memory format, stored as [B,T,H,W,C]. Results take the layout of the main input; the state
and other inputs are brought to it, and so is a main input that is neither (a slice, say).
"""

from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether a sequence [B,T,C,H,W] stores the channels of a pixel side by side."""
    return x.ndim == 5 and x.stride(2) == 1 and not x.is_contiguous()


def sequence(x: Tensor, channels_last: bool) -> Tensor:
    """The sequence [B,T,C,...], dense in that layout; `x` itself where it is already."""
    if not channels_last:
        return x.contiguous()
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def state(x: Tensor, channels_last: bool) -> Tensor:
    """The state [B,C,...], dense in that layout; `x` itself where it is already."""
    if not channels_last:
        return x.contiguous()
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def empty_sequence(like: Tensor, channels: int, channels_last: bool) -> Tensor:
    """Memory for a sequence as `like` [B,T,...] with another number of channels."""
    batch, time, _, *space = like.shape
    if not channels_last:
        return like.new_empty((batch, time, channels, *space))
    return like.new_empty((batch, time, *space, channels)).permute(0, 1, 4, 2, 3)
