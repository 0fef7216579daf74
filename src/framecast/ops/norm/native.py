"""Forward and backward passes of norm and activation in compiled code, for CPUs.

The functions have the names, arguments and results of those in `eager.py`. The kernels are for
channels-last frames; in PyTorch's own layout its code is as fast.
"""

import torch
from torch import Tensor

from framecast.ops import layout, library
from framecast.ops.library import DOUBLE, HEADER, INT, INT64, POINTER
from framecast.ops.norm import eager

_ACTIVATIONS = {"none": 0, "gelu": 1, "elu": 2}
_norm = library.function("norm", *HEADER, INT64, INT, DOUBLE, *[POINTER] * 7)
_norm_backward = library.function("norm_backward", *HEADER, INT64, INT, *[POINTER] * 10)


def residual_norm(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    groups: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Norm of x + update [B,C,H,W], activated; also mean and 1/√(variance + eps)."""
    if not layout.is_channels_last_frame(x):
        return eager.residual_norm(x, update, weight, bias, eps, groups, activation)
    y = torch.empty_like(x)
    mean = weight.new_empty(x.shape[0], eager.statistics(x, weight, groups))
    scale = torch.empty_like(mean)
    pointers = library.pointers(x, update, weight, bias, y, mean, scale)
    _norm(*_header(x, weight, groups, activation), eps, *pointers)
    return y, mean, scale


def residual_norm_backward(
    grad: Tensor,
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    scale: Tensor,
    groups: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for x + update, weight and bias; what the norm put out is computed again."""
    inputs = grad, x, update, weight, bias, mean, scale
    if not layout.is_channels_last_frame(x):
        return eager.residual_norm_backward(*inputs, groups, activation)
    results = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
    _norm_backward(*_header(x, weight, groups, activation), *library.pointers(*inputs, *results))
    return results


def _header(x: Tensor, weight: Tensor, groups: int, activation: str) -> tuple[int, ...]:
    """As `library.frame_header`, then groups of channels (0: over the grid) and what follows."""
    counted = groups if weight.ndim == 1 else 0
    return *library.frame_header(x, x.shape[1]), counted, _ACTIVATIONS[activation]
