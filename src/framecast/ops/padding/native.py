"""Forward and backward passes of periodic padding in compiled code, for CPUs.

The functions have the names, arguments and results of those in `eager.py`. The kernels are for
channels-last frames; in PyTorch's own layout its code is as fast.
"""

import torch
from torch import Tensor

from framecast.ops import layout, library
from framecast.ops.library import INT, INT64, POINTER
from framecast.ops.padding import eager

_HEADER = (INT, INT, *[INT64] * 6)
_wrap = library.function("wrap", *_HEADER, POINTER, POINTER)
_wrap_backward = library.function("wrap_backward", *_HEADER, POINTER, POINTER)


def wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Frames [B,C,H,W] continued periodically by so many cells on each side."""
    if not layout.is_channels_last_frame(x):
        return eager.wrap(x, reach_y, reach_x)
    padded = _empty(x, reach_y, reach_x)
    _wrap(*_header(x, reach_y, reach_x), x.data_ptr(), padded.data_ptr())
    return padded


def wrap_backward(grad: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """The gradient of the frames, each the sum over its copies."""
    if not layout.is_channels_last_frame(grad):
        return eager.wrap_backward(grad, reach_y, reach_x)
    summed = _empty(grad, -reach_y, -reach_x)
    _wrap_backward(*_header(summed, reach_y, reach_x), grad.data_ptr(), summed.data_ptr())
    return summed


def _empty(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Memory for channels-last frames as `x` with so many more cells on each side."""
    batch, channels, height, width = x.shape
    size = batch, height + 2 * reach_y, width + 2 * reach_x, channels
    return x.new_empty(size).permute(0, 3, 1, 2)


def _header(x: Tensor, reach_y: int, reach_x: int) -> tuple[int, ...]:
    """Of the frames without their continuation: type, threads, B, C, H, W and the reach."""
    return library.DTYPES[x.dtype], torch.get_num_threads(), *x.shape, reach_y, reach_x
