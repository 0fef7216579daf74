"""Norm and activation as a `torch.library` op: kernels, rules for shapes and gradients."""

from typing import Any

import torch
from torch import Tensor

from framecast.ops import layout
from framecast.ops.dispatch import Kernels
from framecast.ops.norm import definition, eager, native
from framecast.ops.norm.checks import check_residual_norm, check_residual_norm_backward
from framecast.ops.registration import (
    define,
    differentiate,
    differentiate_again,
    past_autograd,
    pull_back,
)
from framecast.ops.widening import widen

_kernel = Kernels(eager, native)


def _norm(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    groups: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    last = layout.is_channels_last_frame(x)
    norm = _kernel(x, "residual_norm")
    dense = layout.frame(x, last), None if update is None else layout.frame(update, last)
    affine = weight.contiguous(), bias.contiguous()
    y, mean, scale = norm(*dense, *affine, eps, groups, activation)
    return layout.frame(y, last), mean, scale


def _norm_shapes(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    groups: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.empty_like(layout.frame(x, layout.is_channels_last_frame(x)))
    mean = weight.new_empty(x.shape[0], eager.statistics(x, weight, groups))
    return y, mean, torch.empty_like(mean)


def _norm_backward(
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
    last = layout.is_channels_last_frame(x)
    backward = _kernel(x, "residual_norm_backward")
    beside = None if update is None else layout.frame(update, last)
    frames = layout.frame(grad, last), layout.frame(x, last), beside
    affine = weight.contiguous(), bias.contiguous()
    moments = mean.contiguous(), scale.contiguous()
    grad_x, *rest = backward(*frames, *affine, *moments, groups, activation)
    return layout.frame(grad_x, last), *rest


def _norm_backward_shapes(
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
    grad_x = torch.empty_like(layout.frame(x, layout.is_channels_last_frame(x)))
    return grad_x, weight.new_empty(weight.shape), weight.new_empty(weight.shape)


def _keep_norm(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, _, ctx.groups, ctx.activation = inputs
    _, mean, scale = output
    ctx.mark_non_differentiable(mean, scale)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, mean, scale)


def _norm_rule(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 7
    saved = ctx.saved_tensors  # once: under gradient checkpointing a second look is an error
    grad_x, grad_weight, grad_bias = _backward(grad, *saved, ctx.groups, ctx.activation)
    # The gradient of a sum is that of each of its terms.
    grad_update = None if saved[1] is None else grad_x
    return grad_x, grad_update, grad_weight, grad_bias, None, None, None


def _norm_again(
    grad: Tensor,
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    scale: Tensor,
    groups: int,
    activation: str,
) -> tuple[Tensor, ...]:
    total = eager.total(x, update)
    with torch.no_grad():
        # eps is not at hand, but what it was added to, and what came of it.
        eps = scale**-2 - eager.variance_and_mean(total, eager.statistics(x, weight, groups))[0]

    def normed(total: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        options: Any = {"groups": groups, "activation": activation}
        spread = eps[:, :, None, None, None]
        return definition.residual_norm(total, None, weight, bias, spread, **options)

    grad_x, *rest = pull_back(normed, (total, weight, bias), (widen(grad),))
    return grad_x.to(x.dtype), *rest


residual_norm = define("residual_norm", _norm, _norm_shapes, check_residual_norm)
residual_norm_backward = define(
    "residual_norm_backward",
    _norm_backward,
    _norm_backward_shapes,
    check_residual_norm_backward,
)
_backward = past_autograd(residual_norm_backward)
differentiate("residual_norm", _norm_rule, _keep_norm)
differentiate_again("residual_norm_backward", _norm_again)
