"""The recurrences as `torch.library` ops: kernel, shape rule and gradient rule of each.

Ops are defined with `torch.library.Library`, which costs a call 2 µs less than
`torch.library.custom_op` does: the closed loop of a forecast calls them for one frame at a
time. Kernels see dense tensors in one layout, and the shape rules promise what they return.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from framecast.ops.kernels import layout
from framecast.ops.kernels.choice import kernel_for
from framecast.ops.kernels.pytorch import GATINGS, statistics

_LIBRARY = torch.library.Library("framecast", "DEF")  # type: ignore[no-untyped-call]


def _define(name: str, kernel: Callable[..., Any], shapes: Callable[..., Any]) -> Any:
    """Register an op: what it computes, and the empty results of the same shape and layout."""
    _LIBRARY.define(  # type: ignore[no-untyped-call]
        name + torch.library.infer_schema(kernel, mutates_args=()),
        tags=(torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides),
    )
    _LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"framecast::{name}", shapes, lib=_LIBRARY)
    return getattr(torch.ops.framecast, name).default


def _differentiate(name: str, backward: Callable[..., Any], keep: Callable[..., Any]) -> None:
    torch.library.register_autograd(
        f"framecast::{name}", backward, setup_context=keep, lib=_LIBRARY
    )


def _kernel(x: Tensor, name: str) -> Callable[..., Any]:
    return kernel_for(x.device.type, x.dtype, name)


# --- the linear scan -----------------------------------------------------------------------


def _linear(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    last = layout.is_channels_last(b)
    dense = layout.sequence(a, last), layout.sequence(b, last), layout.frame(h0, last)
    return layout.sequence(_kernel(b, "linear_scan")(*dense), last)


def _linear_shapes(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    return torch.empty_like(layout.sequence(b, layout.is_channels_last(b)))


def _linear_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    last = layout.is_channels_last(h)
    dense = [layout.sequence(grad, last), layout.sequence(a, last), layout.frame(h0, last)]
    grad_a, grad_b, grad_h0 = _kernel(h, "linear_scan_backward")(*dense, h)
    return (
        layout.sequence(grad_a, last),
        layout.sequence(grad_b, last),
        layout.frame(grad_h0, last),
    )


def _linear_backward_shapes(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    state = layout.frame(h0, layout.is_channels_last(h))
    return torch.empty_like(h), torch.empty_like(h), torch.empty_like(state)


def _keep_linear(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    a, _, h0 = inputs
    ctx.save_for_backward(a, h0, output)


linear_scan = _define("linear_scan", _linear, _linear_shapes)
linear_scan_backward = _define("linear_scan_backward", _linear_backward, _linear_backward_shapes)
_differentiate(
    "linear_scan",
    lambda ctx, grad: linear_scan_backward(grad, *ctx.saved_tensors),
    _keep_linear,
)


# --- the gated scans -----------------------------------------------------------------------


def _gated_shapes(gates: Tensor, h0: Tensor) -> Tensor:
    return layout.empty_sequence(gates, h0.shape[1], layout.is_channels_last(gates))


def _gated_backward_shapes(
    grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    last = layout.is_channels_last(gates)
    grad_gates = layout.empty_sequence(gates, gates.shape[2], last)
    return grad_gates, torch.empty_like(layout.frame(h0, last))


def _keep_gated(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _define_gated(name: str) -> tuple[Any, Any]:
    def kernel(gates: Tensor, h0: Tensor) -> Tensor:
        last = layout.is_channels_last(gates)
        dense = layout.sequence(gates, last), layout.frame(h0, last)
        return layout.sequence(_kernel(gates, "gated_scan")(name, *dense), last)

    def kernel_backward(
        grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
    ) -> tuple[Tensor, Tensor]:
        last = layout.is_channels_last(gates)
        dense = layout.sequence(grad, last), layout.sequence(gates, last), layout.frame(h0, last)
        grad_gates, grad_h0 = _kernel(gates, "gated_scan_backward")(name, *dense, h)
        return layout.sequence(grad_gates, last), layout.frame(grad_h0, last)

    forward = _define(name, kernel, _gated_shapes)
    backward = _define(f"{name}_backward", kernel_backward, _gated_backward_shapes)
    _differentiate(name, lambda ctx, grad: backward(grad, *ctx.saved_tensors), _keep_gated)
    return forward, backward


GATED_SCANS = {name: _define_gated(name) for name in GATINGS}
"""The forward and the backward op of each gated scan."""


# --- the complex diagonal scan -------------------------------------------------------------


def _complex(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    last = layout.is_channels_last(b)
    scan = _kernel(b, "complex_diagonal_scan")
    lam = lam_re.contiguous(), lam_im.contiguous()
    return layout.sequence(scan(*lam, layout.sequence(b, last), layout.frame(x0, last)), last)


def _complex_shapes(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    return torch.empty_like(layout.sequence(b, layout.is_channels_last(b)))


def _complex_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    last = layout.is_channels_last(x)
    backward = _kernel(x, "complex_diagonal_scan_backward")
    lam = lam_re.contiguous(), lam_im.contiguous()
    grad_re, grad_im, grad_b, grad_x0 = backward(
        layout.sequence(grad, last), *lam, layout.frame(x0, last), x
    )
    grads = grad_re.contiguous(), grad_im.contiguous()
    return *grads, layout.sequence(grad_b, last), layout.frame(grad_x0, last)


def _complex_backward_shapes(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lam = lam_re.new_empty(lam_re.shape), lam_im.new_empty(lam_im.shape)
    state = layout.frame(x0, layout.is_channels_last(x))
    return *lam, torch.empty_like(x), torch.empty_like(state)


def _keep_complex(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    lam_re, lam_im, _, x0 = inputs
    ctx.save_for_backward(lam_re, lam_im, x0, output)


complex_diagonal_scan = _define("complex_diagonal_scan", _complex, _complex_shapes)
complex_diagonal_scan_backward = _define(
    "complex_diagonal_scan_backward", _complex_backward, _complex_backward_shapes
)
_differentiate(
    "complex_diagonal_scan",
    lambda ctx, grad: complex_diagonal_scan_backward(grad, *ctx.saved_tensors),
    _keep_complex,
)


# --- the LSTM cell -------------------------------------------------------------------------


def _cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    last = layout.is_channels_last_frame(gates)
    cell = _kernel(gates, "lstm_cell")
    h, next_c = cell(layout.frame(gates, last), layout.frame(c, last))
    return layout.frame(h, last), layout.frame(next_c, last)


def _cell_shapes(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    state = layout.frame(c, layout.is_channels_last_frame(gates))
    return torch.empty_like(state), torch.empty_like(state)


def _cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    last = layout.is_channels_last_frame(gates)
    dense = (layout.frame(x, last) for x in (grad_h, grad_next_c, gates, c))
    grad_gates, grad_c = _kernel(gates, "lstm_cell_backward")(*dense)
    return layout.frame(grad_gates, last), layout.frame(grad_c, last)


def _cell_backward_shapes(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    last = layout.is_channels_last_frame(gates)
    return torch.empty_like(layout.frame(gates, last)), torch.empty_like(layout.frame(c, last))


def _keep_cell(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


lstm_cell = _define("lstm_cell", _cell, _cell_shapes)
lstm_cell_backward = _define("lstm_cell_backward", _cell_backward, _cell_backward_shapes)
_differentiate(
    "lstm_cell",
    lambda ctx, *grads: lstm_cell_backward(*grads, *ctx.saved_tensors),
    _keep_cell,
)


# --- norms of frames -----------------------------------------------------------------------


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
    mean = weight.new_empty(len(x), statistics(x, weight, groups))
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
    grad_x, *rest = backward(*frames, *affine, mean, scale, groups, activation)
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
    grad_x, grad_weight, grad_bias = residual_norm_backward(
        grad, *saved, ctx.groups, ctx.activation
    )
    # The gradient of a sum is that of each of its terms.
    grad_update = None if saved[1] is None else grad_x
    return grad_x, grad_update, grad_weight, grad_bias, None, None, None


residual_norm = _define("residual_norm", _norm, _norm_shapes)
residual_norm_backward = _define("residual_norm_backward", _norm_backward, _norm_backward_shapes)
_differentiate("residual_norm", _norm_rule, _keep_norm)


# --- periodic frames -----------------------------------------------------------------------


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


wrap = _define("wrap", _wrap, _wrap_shapes)
wrap_backward = _define("wrap_backward", _wrap_backward, _wrap_backward_shapes)
_differentiate("wrap", lambda ctx, grad: (wrap_backward(grad, *ctx.reach), None, None), _keep_reach)
