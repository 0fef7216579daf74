"""The public recurrences over time: checks, gradient rules, and the choice of kernel.

Each function is defined by the plain loop of the same name in `framecast.ops.reference`.
It is registered with `torch.library`, so that autograd, `torch.compile` and `torch.export`
go through it.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.ops.kernels import pytorch as kernels


def linear_scan(
    a: Float[Tensor, "B T *rest"], b: Float[Tensor, "B T *rest"], h0: Float[Tensor, "B *rest"]
) -> Float[Tensor, "B T *rest"]:
    """First-order linear recurrence h_t = a_t ⊙ h_{t−1} + b_t.

    Args:
        a: decay of each step, any real number.
        b: input of each step.
        h0: state before the first step.

    Returns:
        The states h_1 … h_T; the last one is the state to carry on with.

    Raises:
        ValueError: if the shapes do not fit together, or T is 0.
    """
    if a.shape != b.shape:
        raise ValueError(f"linear_scan: a {list(a.shape)} and b {list(b.shape)} differ in shape")
    _check_state("linear_scan", b.shape, h0)
    states: Tensor = _linear_scan(a, b, h0)
    return states


def min_gru_scan(
    gates: Float[Tensor, "B T C2 *space"], h0: Float[Tensor, "B C *space"]
) -> Float[Tensor, "B T C *space"]:
    """MinGRU over time: z = σ(k), h' = (1−z)⊙h + z⊙g(u), with gates = [k, u] along dim 2.

    g(u) = u + 0.5 where u ≥ 0 and σ(u) elsewhere.

    Raises:
        ValueError: if gates do not have twice the channels of h0, or T is 0.

    Source: Minimal Convolutional RNNs (2025), section 3.1.
    """
    return _gated("min_gru_scan", gates, h0)


def min_lstm_scan(
    gates: Float[Tensor, "B T C3 *space"], h0: Float[Tensor, "B C *space"]
) -> Float[Tensor, "B T C *space"]:
    """MinLSTM over time, with gates = [f, i, u] along dim 2, f and i through σ.

    h' = f/(f+i) ⊙ h + i/(f+i) ⊙ g(u), g as in `min_gru_scan`.

    Raises:
        ValueError: if gates do not have three times the channels of h0, or T is 0.

    Source: Minimal Convolutional RNNs (2025), equations 1 and 2.
    """
    return _gated("min_lstm_scan", gates, h0)


def min_exp_lstm_scan(
    gates: Float[Tensor, "B T C3 *space"], h0: Float[Tensor, "B C *space"]
) -> Float[Tensor, "B T C *space"]:
    """MinExpLSTM over time: as `min_lstm_scan`, with f and i through exp.

    h' = σ(f−i) ⊙ h + σ(i−f) ⊙ g(u).

    Raises:
        ValueError: if gates do not have three times the channels of h0, or T is 0.

    Source: Minimal Convolutional RNNs (2025), equations 3 to 6.
    """
    return _gated("min_exp_lstm_scan", gates, h0)


def _gated(name: str, gates: Tensor, h0: Tensor) -> Tensor:
    parts = kernels.GATINGS[name].parts
    if gates.ndim < 3 or gates.shape[2] % parts:
        raise ValueError(
            f"{name}: gates {list(gates.shape)} must be [B, T, {parts}·C, ...], "
            f"the {parts} pre-activations side by side"
        )
    out = torch.Size((*gates.shape[:2], gates.shape[2] // parts, *gates.shape[3:]))
    _check_state(name, out, h0)
    result: Tensor = _GATED_SCANS[name](gates, h0)
    return result


def _check_state(name: str, out: torch.Size, h0: Tensor) -> None:
    if out[1] == 0:
        raise ValueError(f"{name}: the sequence is empty (T = 0)")
    if h0.shape != out[:1] + out[2:]:
        raise ValueError(
            f"{name}: state {list(h0.shape)} does not fit the sequence: "
            f"expected {list(out[:1] + out[2:])}"
        )


# --- registration with torch.library -------------------------------------------------------


@torch.library.custom_op("framecast::linear_scan", mutates_args=())
def _linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    return kernels.linear_scan(a, b, h0)


@torch.library.custom_op("framecast::linear_scan_backward", mutates_args=())
def _linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return kernels.linear_scan_backward(grad, a, h0, h)


@_linear_scan.register_fake
def _(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    return _contiguous_like(b)


@_linear_scan_backward.register_fake
def _(grad: Tensor, a: Tensor, h0: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _contiguous_like(a), _contiguous_like(grad), _contiguous_like(h0)


def _keep_linear(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    a, _, h0 = inputs
    ctx.save_for_backward(a, h0, output)


def _differentiate_linear(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a, h0, h = ctx.saved_tensors
    gradients: tuple[Tensor, Tensor, Tensor] = _linear_scan_backward(grad, a, h0, h)
    return gradients


_linear_scan.register_autograd(_differentiate_linear, setup_context=_keep_linear)


def _contiguous_like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _register_gated_scan(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    parts = kernels.GATINGS[name].parts

    @torch.library.custom_op(f"framecast::{name}", mutates_args=())
    def forward(gates: Tensor, h0: Tensor) -> Tensor:
        return kernels.gated_scan(name, gates, h0)

    @torch.library.custom_op(f"framecast::{name}_backward", mutates_args=())
    def backward(grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.gated_scan_backward(name, grad, gates, h0, h)

    @forward.register_fake
    def _(gates: Tensor, h0: Tensor) -> Tensor:
        batch, time, channels, *space = gates.shape
        return gates.new_empty(batch, time, channels // parts, *space)

    @backward.register_fake
    def _(grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return _contiguous_like(gates), _contiguous_like(h0)

    def keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gradients: tuple[Tensor, Tensor] = backward(grad, *ctx.saved_tensors)
        return gradients

    forward.register_autograd(differentiate, setup_context=keep)
    return forward


_GATED_SCANS = {name: _register_gated_scan(name) for name in kernels.GATINGS}
