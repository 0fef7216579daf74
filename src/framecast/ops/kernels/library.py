"""The recurrences as `torch.library` ops: kernel, shape rule and gradient rule of each.

Ops are defined with `torch.library.Library`, which costs a call 2 µs less than
`torch.library.custom_op` does: the closed loop of a forecast calls them for one frame at a
time. Kernels see dense tensors in one layout, and the shape rules promise what they return.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from framecast.ops.kernels import layout
from framecast.ops.kernels.choice import kernels_for
from framecast.ops.kernels.pytorch import GATINGS

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


def _kernels(x: Tensor) -> ModuleType:
    return kernels_for(x.device.type, x.dtype)


# --- the linear scan -----------------------------------------------------------------------


def _linear(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    last = layout.is_channels_last(b)
    dense = layout.sequence(a, last), layout.sequence(b, last), layout.state(h0, last)
    return layout.sequence(_kernels(b).linear_scan(*dense), last)


def _linear_shapes(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    return torch.empty_like(layout.sequence(b, layout.is_channels_last(b)))


def _linear_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    last = layout.is_channels_last(h)
    dense = [layout.sequence(grad, last), layout.sequence(a, last), layout.state(h0, last)]
    grad_a, grad_b, grad_h0 = _kernels(h).linear_scan_backward(*dense, h)
    return (
        layout.sequence(grad_a, last),
        layout.sequence(grad_b, last),
        layout.state(grad_h0, last),
    )


def _linear_backward_shapes(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    state = layout.state(h0, layout.is_channels_last(h))
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
    return grad_gates, torch.empty_like(layout.state(h0, last))


def _keep_gated(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _define_gated(name: str) -> tuple[Any, Any]:
    def kernel(gates: Tensor, h0: Tensor) -> Tensor:
        last = layout.is_channels_last(gates)
        dense = layout.sequence(gates, last), layout.state(h0, last)
        return layout.sequence(_kernels(gates).gated_scan(name, *dense), last)

    def kernel_backward(
        grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
    ) -> tuple[Tensor, Tensor]:
        last = layout.is_channels_last(gates)
        dense = layout.sequence(grad, last), layout.sequence(gates, last), layout.state(h0, last)
        grad_gates, grad_h0 = _kernels(gates).gated_scan_backward(name, *dense, h)
        return layout.sequence(grad_gates, last), layout.state(grad_h0, last)

    forward = _define(name, kernel, _gated_shapes)
    backward = _define(f"{name}_backward", kernel_backward, _gated_backward_shapes)
    _differentiate(name, lambda ctx, grad: backward(grad, *ctx.saved_tensors), _keep_gated)
    return forward, backward


GATED_SCANS = {name: _define_gated(name) for name in GATINGS}
"""The forward and the backward op of each gated scan."""
