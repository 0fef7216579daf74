"""Forward and backward passes of norm and activation in PyTorch."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, no_type_check

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.ops.widening import widen


class Curve(NamedTuple):
    """An elementwise function, and the gradient of its input from that of its value."""

    value: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "none": Curve(lambda z: z, lambda grad, z: grad),
    "gelu": Curve(
        partial(F.gelu, approximate="tanh"),
        partial(torch.ops.aten.gelu_backward, approximate="tanh"),
    ),
    "elu": Curve(F.elu, lambda grad, z: grad * z.clamp_max(0).exp()),
}
"""What may follow a norm."""


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
    summed = total(x, update)
    variance, mean = variance_and_mean(summed, statistics(x, weight, groups))
    scale = torch.rsqrt(variance + eps)
    y = (summed - _spread(mean, x)) * _spread(scale, x)
    y = ACTIVATIONS[activation].value(y.mul_(_beside(weight)).add_(_beside(bias)))
    return y.to(x.dtype), mean, scale


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
    size = statistics(x, weight, groups)
    unit = (total(x, update) - _spread(mean, x)) * _spread(scale, x)
    before = unit * _beside(weight) + _beside(bias)
    wide = ACTIVATIONS[activation].gradient(widen(grad), before)
    affine_axes = (0, 2, 3) if weight.ndim == 1 else (0, 1)
    grad_weight, grad_bias = (wide * unit).sum(affine_axes), wide.sum(affine_axes)
    inner = wide * _beside(weight)
    straight, along = (
        _spread(_parted(part, size).mean((2, 3, 4)), x) for part in (inner, inner * unit)
    )
    grad_x = (inner - straight - unit * along) * _spread(scale, x)
    return grad_x.to(grad.dtype), grad_weight, grad_bias


@no_type_check  # while a program is traced, the result may be a symbol
def statistics(x: Tensor, weight: Tensor, groups: int) -> int:
    """How many means a frame has: of its groups of channels, or of the grid of each channel."""
    return groups if weight.ndim == 1 else x.shape[1]


def variance_and_mean(x: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Of each part of the channels of [B,C,H,W], and of the grid: [B,parts]; of nothing, zeros."""
    if x.numel() == 0:
        return x.new_zeros(x.shape[0], parts), x.new_zeros(x.shape[0], parts)
    return torch.var_mean(_parted(x, parts), (2, 3, 4), correction=0)


def total(x: Tensor, update: Tensor | None) -> Tensor:
    """The frames that are normalised, in the type of their sums."""
    return widen(x) if update is None else widen(x) + widen(update)


def _parted(x: Tensor, parts: int) -> Tensor:
    """Divide the channels of [B,C,H,W] into equal parts: [B,parts,C/parts,H,W]."""
    return x.view(x.shape[0], parts, x.shape[1] // max(parts, 1), *x.shape[2:])


def _spread(statistics: Tensor, x: Tensor) -> Tensor:
    """Numbers of groups of channels [B,S], for each channel of x [B,C,H,W]: [B,C,1,1]."""
    together = x.shape[1] // max(statistics.shape[1], 1)
    return statistics.repeat_interleave(together, dim=1)[..., None, None]


def _beside(weight: Tensor) -> Tensor:
    return weight[:, None, None] if weight.ndim == 1 else weight
