"""Forward and backward passes of periodic padding in PyTorch."""

import torch
from torch import Tensor

from framecast.ops.widening import widen


def wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Frames [B,C,H,W] continued periodically by so many cells on each side."""
    if reach_y == reach_x == 0:
        return x.clone()  # the result of an op shares no memory with its arguments
    for dim, reach in ((2, reach_y), (3, reach_x)):
        if reach:
            size = x.shape[dim]
            end, start = x.narrow(dim, size - reach, reach), x.narrow(dim, 0, reach)
            x = torch.cat([end, x, start], dim)
    return x


def wrap_backward(grad: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """The gradient of the frames, each the sum over its copies."""
    if reach_y == reach_x == 0:
        return grad.clone()
    wide = widen(grad)
    for dim, reach in ((3, reach_x), (2, reach_y)):
        if reach:
            size = wide.shape[dim] - 2 * reach
            inner = wide.narrow(dim, reach, size).clone()
            inner.narrow(dim, size - reach, reach).add_(wide.narrow(dim, 0, reach))
            inner.narrow(dim, 0, reach).add_(wide.narrow(dim, size + reach, reach))
            wide = inner
    return wide.to(grad.dtype)
