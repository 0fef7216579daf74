"""Forward and backward passes of the pointwise half of an LSTM step as Triton kernels.

The functions have the names, arguments and results of those in `eager.py`.
"""


# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations  # the kernels' annotations name Triton, which may be absent

from typing import no_type_check

from torch import Tensor

from framecast.ops.triton import at, empty_like, jit, launch, load, locate, sigmoid, store, tl


@jit
@no_type_check
def _tanh(x):
    """tanh(x) and its slope, both to a few units in the last place.

    Where 1 − e would cancel, the rational approximation of the Cephes library (S. Moshier).
    """
    e = tl.exp(-2.0 * tl.abs(x))
    large = (1.0 - e) / (1.0 + e)
    near = tl.minimum(tl.abs(x), 1.0)
    s = near * near
    p = (-0.964399179425052238628 * s - 99.2877231001918586564) * s - 1614.68768441708447952
    q = ((s + 112.811678491632931402) * s + 2235.48839060100448583) * s + 4844.06305325125486048
    large = tl.where(x < 0, -large, large)
    value = tl.where(tl.abs(x) < 0.625, x + x * s * (p / q), large)
    return value, 4.0 * e / ((1.0 + e) * (1.0 + e))


@jit
@no_type_check
def _lstm_forward(
    i, f, o, g, c, h, next_c,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """One step for one block: c' = σ(f)⊙c + σ(i)⊙tanh(g), h' = σ(o)⊙tanh(c')."""
    batch, channel, pixel, here = locate(positions, outer, inner, channels_last, block)
    write, _ = sigmoid(load(at(i, batch, channel, pixel), here, sum_dtype))
    keep, _ = sigmoid(load(at(f, batch, channel, pixel), here, sum_dtype))
    show, _ = sigmoid(load(at(o, batch, channel, pixel), here, sum_dtype))
    new, _ = _tanh(load(at(g, batch, channel, pixel), here, sum_dtype))
    state = keep * load(at(c, batch, channel, pixel), here, sum_dtype) + write * new
    shown, _ = _tanh(state)
    store(at(next_c, batch, channel, pixel), state, here)
    store(at(h, batch, channel, pixel), show * shown, here)


@jit
@no_type_check
def _lstm_backward(
    grad_h, grad_next_c, i, f, o, g, c, grad_i, grad_f, grad_o, grad_g, grad_c,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of `_lstm_forward`'s inputs; c' is computed again."""
    batch, channel, pixel, here = locate(positions, outer, inner, channels_last, block)
    write, ignore = sigmoid(load(at(i, batch, channel, pixel), here, sum_dtype))
    keep, forget = sigmoid(load(at(f, batch, channel, pixel), here, sum_dtype))
    show, hide = sigmoid(load(at(o, batch, channel, pixel), here, sum_dtype))
    new, new_slope = _tanh(load(at(g, batch, channel, pixel), here, sum_dtype))
    state = load(at(c, batch, channel, pixel), here, sum_dtype)
    shown, shown_slope = _tanh(keep * state + write * new)
    to_h = load(at(grad_h, batch, channel, pixel), here, sum_dtype)
    to_c = load(at(grad_next_c, batch, channel, pixel), here, sum_dtype)
    to_c += to_h * show * shown_slope
    store(at(grad_i, batch, channel, pixel), to_c * new * write * ignore, here)
    store(at(grad_f, batch, channel, pixel), to_c * state * keep * forget, here)
    store(at(grad_o, batch, channel, pixel), to_h * shown * show * hide, here)
    store(at(grad_g, batch, channel, pixel), to_c * write * new_slope, here)
    store(at(grad_c, batch, channel, pixel), to_c * keep, here)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The state (h', c') after one step; gates [B,4C,...] = [i, f, o, g], c [B,C,...]."""
    sequence = gates.unsqueeze(1)
    h, next_c = empty_like(sequence, c.shape[1]), empty_like(sequence, c.shape[1])
    launch(_lstm_forward, (*sequence.chunk(4, dim=2), c.unsqueeze(1), h, next_c), h)
    return h.squeeze(1), next_c.squeeze(1)


def lstm_cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and c; everything between is computed again, not kept."""
    to_h, to_c, pre, state = (x.unsqueeze(1) for x in (grad_h, grad_next_c, gates, c))
    grad_gates, grad_c = empty_like(pre), empty_like(state)
    inputs = to_h, to_c, *pre.chunk(4, dim=2), state
    launch(_lstm_backward, (*inputs, *grad_gates.chunk(4, dim=2), grad_c), state)
    return grad_gates.squeeze(1), grad_c.squeeze(1)
