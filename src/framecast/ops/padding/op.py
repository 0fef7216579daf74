"""Periodic padding as a `torch.library` op: kernels, rules for shapes and gradients."""

from typing import Any

import torch
from torch import Tensor

from framecast.ops import layout
from framecast.ops.dispatch import Kernels
from framecast.ops.padding import eager, native
from framecast.ops.padding.checks import check_wrap, check_wrap_backward
from framecast.ops.registration import define, differentiate, past_autograd

_kernel = Kernels(eager, native)


def _wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    last = layout.is_channels_last_frame(x)
    return layout.frame(_kernel(x, "wrap")(layout.frame(x, last), reach_y, reach_x), last)


def _wrap_shapes(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    return _resized(x, reach_y, reach_x)


def _wrap_backward(grad: Tensor, reach_y: int, reach_x: int) -> Tensor:
    last = layout.is_channels_last_frame(grad)
    backward = _kernel(grad, "wrap_backward")
    return layout.frame(backward(layout.frame(grad, last), reach_y, reach_x), last)


def _wrap_backward_shapes(grad: Tensor, reach_y: int, reach_x: int) -> Tensor:
    return _resized(grad, -reach_y, -reach_x)


def _resized(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    batch, channels, height, width = x.shape
    size = batch, channels, height + 2 * reach_y, width + 2 * reach_x
    form = torch.channels_last if layout.is_channels_last_frame(x) else torch.contiguous_format
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=form)


def _keep_reach(ctx: Any, inputs: tuple[Tensor, int, int], output: Tensor) -> None:
    ctx.reach = inputs[1:]


wrap = define("wrap", _wrap, _wrap_shapes, check_wrap)
wrap_backward = define("wrap_backward", _wrap_backward, _wrap_backward_shapes, check_wrap_backward)
_backward = past_autograd(wrap_backward)
differentiate("wrap", lambda ctx, grad: (_backward(grad, *ctx.reach), None, None), _keep_reach)
# Both are linear, and each is the other's adjoint.
differentiate("wrap_backward", lambda ctx, grad: (wrap(grad, *ctx.reach), None, None), _keep_reach)
