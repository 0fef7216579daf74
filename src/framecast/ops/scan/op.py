"""The recurrences as `torch.library` ops: kernels, rules for shapes and gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from framecast.ops import layout
from framecast.ops.dispatch import Kernels
from framecast.ops.registration import (
    define,
    differentiate,
    differentiate_again,
    past_autograd,
    pull_back,
)
from framecast.ops.scan import eager, native
from framecast.ops.scan.checks import (
    check_linear_scan,
    check_linear_scan_backward,
    gated_scan_checks,
)
from framecast.ops.widening import widen

_kernel = Kernels(eager, native, "framecast.ops.scan.triton")


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
    states = layout.sequence(h, last)
    grad_a, grad_b, grad_h0 = _kernel(h, "linear_scan_backward")(*dense, states)
    return (
        layout.sequence(grad_a, last),
        layout.sequence(grad_b, last),
        layout.frame(grad_h0, last),
    )


def _linear_backward_shapes(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    last = layout.is_channels_last(h)
    sequence, state = layout.sequence(h, last), layout.frame(h0, last)
    return torch.empty_like(sequence), torch.empty_like(sequence), torch.empty_like(state)


def _keep_linear(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    a, _, h0 = inputs
    ctx.save_for_backward(a, h0, output)


def _linear_again(grad: Tensor, a: Tensor, h0: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    # What reaches a state from all later ones is a scan from the last to the first.
    later = torch.cat([torch.zeros_like(a[:, :1]), a[:, 1:].flip(1)], dim=1)
    total = linear_scan(later, grad.flip(1), torch.zeros_like(h0)).flip(1)
    return eager.linear_scan_gradients(total, a, h0, h)


linear_scan = define("linear_scan", _linear, _linear_shapes, check_linear_scan)
linear_scan_backward = define(
    "linear_scan_backward",
    _linear_backward,
    _linear_backward_shapes,
    check_linear_scan_backward,
)
_linear_gradients = past_autograd(linear_scan_backward)
differentiate(
    "linear_scan",
    lambda ctx, grad: _linear_gradients(grad, *ctx.saved_tensors),
    _keep_linear,
)
differentiate_again("linear_scan_backward", _linear_again)


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


class GatedScan(NamedTuple):
    """The ops of one gated scan, and what they ask of their arguments."""

    check: Callable[[Tensor, Tensor], None]
    forward: Any
    backward: Any


def _define_gated(name: str) -> GatedScan:
    def kernel(gates: Tensor, h0: Tensor) -> Tensor:
        last = layout.is_channels_last(gates)
        dense = layout.sequence(gates, last), layout.frame(h0, last)
        return layout.sequence(_kernel(gates, "gated_scan")(name, *dense), last)

    def kernel_backward(
        grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
    ) -> tuple[Tensor, Tensor]:
        last = layout.is_channels_last(gates)
        dense = layout.sequence(grad, last), layout.sequence(gates, last), layout.frame(h0, last)
        states = layout.sequence(h, last)
        grad_gates, grad_h0 = _kernel(gates, "gated_scan_backward")(name, *dense, states)
        return layout.sequence(grad_gates, last), layout.frame(grad_h0, last)

    def by_linear_scan(gates: Tensor, h0: Tensor) -> Tensor:
        states: Tensor = linear_scan(*eager.linear_form(name, gates), widen(h0))
        return states.to(gates.dtype)

    def again(grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        return pull_back(by_linear_scan, (gates, h0), (grad,))

    check, check_backward = gated_scan_checks(name, eager.GATINGS[name].parts)
    forward = define(name, kernel, _gated_shapes, check)
    backward_name = f"{name}_backward"
    backward = define(backward_name, kernel_backward, _gated_backward_shapes, check_backward)
    gradients = past_autograd(backward)
    differentiate(name, lambda ctx, grad: gradients(grad, *ctx.saved_tensors), _keep_gated)
    differentiate_again(backward_name, again)
    return GatedScan(check, forward, backward)


GATED = {name: _define_gated(name) for name in eager.GATINGS}
"""The gated scans by name."""
