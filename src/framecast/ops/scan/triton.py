"""Forward and backward passes of the linear scan and the gated scans as Triton kernels.

The functions have the names, arguments and results of those in `eager.py`.
"""


# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations  # the kernels' annotations name Triton, which may be absent

from typing import no_type_check

from torch import Tensor

from framecast.ops.triton import at, empty_like, jit, launch, load, locate, sigmoid, store, tl


@jit
@no_type_check
def _candidate(u):
    """g(u) and its slope."""
    below, rest = sigmoid(u)
    positive = u >= 0
    return tl.where(positive, u + 0.5, below), tl.where(positive, 1.0, below * rest)


@jit
@no_type_check
def _share(f, i):
    """σ(f) / (σ(f) + σ(i)) and its complement.

    Equal to (1 + e⁻ⁱ) / (2 + e⁻ⁱ + e⁻ᶠ), both sides scaled by the largest term.
    """
    f = tl.where(f < -1e30, -1e30, f)
    i = tl.where(i < -1e30, -1e30, i)
    shift = tl.maximum(tl.maximum(-f, -i), 0.0)
    one = tl.exp(-shift)
    keep = one + tl.exp(-i - shift)
    renew = one + tl.exp(-f - shift)
    total = keep + renew
    return keep / total, renew / total


@jit
@no_type_check
def _balance(kind: tl.constexpr, p, q):
    """How much of the state is kept and how much renewed, from the gates' pre-activations."""
    if kind == "min_gru_scan":
        renew, keep = sigmoid(p)
    elif kind == "min_lstm_scan":
        keep, renew = _share(p, q)
    else:
        keep, renew = sigmoid(p - q)
    return keep, renew


@jit
@no_type_check
def _balance_gradient(kind: tl.constexpr, grad, p, q):
    """Gradients of p and q, from that of the balance d in keep = σ(d)."""
    if kind == "min_gru_scan":
        grad_p, grad_q = -grad, grad
    elif kind == "min_lstm_scan":
        _, closed_p = sigmoid(p)
        _, closed_q = sigmoid(q)
        grad_p, grad_q = grad * closed_p, -grad * closed_q
    else:
        grad_p, grad_q = grad, -grad
    return grad_p, grad_q


@jit
@no_type_check
def _scan_forward(
    p, q, u, h0, h,
    steps, positions, outer, inner,
    kind: tl.constexpr, sum_dtype: tl.constexpr,
    channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """h_t = keep_t ⊙ h_{t−1} + new_t for one block.

    In the linear scan p is the decay and u the input; otherwise p, q, u are the pre-activations
    of the gates in their order. What a kind has no use for repeats p, and is never read.
    """
    batch, channel, pixel, here = locate(positions, outer, inner, channels_last, block)
    p_at = at(p, batch, channel, pixel)
    q_at = at(q, batch, channel, pixel)
    u_at = at(u, batch, channel, pixel)
    h_at = at(h, batch, channel, pixel)
    state = load(at(h0, batch, channel, pixel), here, sum_dtype)
    for t in range(steps):
        step = tl.cast(t, tl.int64)
        keep = load(p_at + step * p.time, here, sum_dtype)
        new = load(u_at + step * u.time, here, sum_dtype)
        if kind != "linear_scan":
            keep, renew = _balance(kind, keep, load(q_at + step * q.time, here, sum_dtype))
            candidate, _ = _candidate(new)
            new = renew * candidate
        state = keep * state + new
        store(h_at + step * h.time, state, here)


@jit
@no_type_check
def _scan_backward(
    grad, p, q, u, h0, h, grad_p, grad_q, grad_u, grad_h0,
    steps, positions, outer, inner,
    kind: tl.constexpr, sum_dtype: tl.constexpr,
    channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of `_scan_forward`'s inputs for one block, from the last frame to the first.

    `passed` is what a state receives from its successor.
    """
    batch, channel, pixel, here = locate(positions, outer, inner, channels_last, block)
    grad_at = at(grad, batch, channel, pixel)
    p_at = at(p, batch, channel, pixel)
    q_at = at(q, batch, channel, pixel)
    u_at = at(u, batch, channel, pixel)
    h_at = at(h, batch, channel, pixel)
    grad_p_at = at(grad_p, batch, channel, pixel)
    grad_q_at = at(grad_q, batch, channel, pixel)
    grad_u_at = at(grad_u, batch, channel, pixel)
    initial = load(at(h0, batch, channel, pixel), here, sum_dtype)
    passed = tl.zeros_like(initial)
    for t in range(steps):
        step = tl.cast(steps - 1 - t, tl.int64)
        total = load(grad_at + step * grad.time, here, sum_dtype) + passed
        previous = load(h_at + tl.maximum(step - 1, 0) * h.time, here, sum_dtype)
        previous = tl.where(step > 0, previous, initial)
        pre_p = load(p_at + step * p.time, here, sum_dtype)
        if kind == "linear_scan":
            keep = pre_p
            to_p = total * previous
            to_u = total
        else:
            pre_q = load(q_at + step * q.time, here, sum_dtype)
            candidate, slope = _candidate(load(u_at + step * u.time, here, sum_dtype))
            keep, renew = _balance(kind, pre_p, pre_q)
            balance = (previous - candidate) * total * keep * renew
            to_p, to_q = _balance_gradient(kind, balance, pre_p, pre_q)
            to_u = total * renew * slope
            if kind != "min_gru_scan":
                store(grad_q_at + step * grad_q.time, to_q, here)
        store(grad_p_at + step * grad_p.time, to_p, here)
        store(grad_u_at + step * grad_u.time, to_u, here)
        passed = keep * total
    store(at(grad_h0, batch, channel, pixel), passed, here)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t.  a, b [B,T,...], h0 [B,...] → h [B,T,...] in b's dtype."""
    h = empty_like(b)
    launch(_scan_forward, (a, a, b, h0.unsqueeze(1), h), h, kind="linear_scan")
    return h


def linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from the gradient of h and h itself."""
    grad_a, grad_b, grad_h0 = empty_like(a), empty_like(h), empty_like(h0.unsqueeze(1))
    tensors = (grad, a, a, a, h0.unsqueeze(1), h, grad_a, grad_a, grad_b, grad_h0)
    launch(_scan_backward, tensors, h, kind="linear_scan")
    return grad_a, grad_b, grad_h0.squeeze(1)


def gated_scan(kind: str, gates: Tensor, h0: Tensor) -> Tensor:
    """The gated scan named `kind`.  gates [B,T,parts·C,...], h0 [B,C,...] → h [B,T,C,...]."""
    h = empty_like(gates, h0.shape[1])
    launch(_scan_forward, (*_parts(gates, h0.shape[1]), h0.unsqueeze(1), h), h, kind=kind)
    return h


def gated_scan_backward(
    kind: str, grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and h0; the gates' activations are computed again, not kept."""
    grad_gates, grad_h0 = empty_like(gates), empty_like(h0.unsqueeze(1))
    inputs = grad, *_parts(gates, h0.shape[1]), h0.unsqueeze(1), h
    outputs = *_parts(grad_gates, h0.shape[1]), grad_h0
    launch(_scan_backward, (*inputs, *outputs), h, kind=kind)
    return grad_gates, grad_h0.squeeze(1)


def _parts(gates: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """First gate, second gate (the first again where there is none) and candidate."""
    parts = gates.split(channels, dim=2)
    return parts[0], parts[-2], parts[-1]
