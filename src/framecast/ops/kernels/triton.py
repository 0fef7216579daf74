"""Forward and backward passes of the recurrences as Triton kernels, for GPUs.

The functions here have the names, arguments and results of those in
`framecast.ops.kernels.pytorch`. **Every kernel is verified against the float64 definitions in
Triton's interpreter, and compiles for the GPUs named in its tests; its speed on hardware has
not been measured.**

One program takes a block of positions (batch entry, channel, pixel) through all of time, with
the state in registers. The loads of a step do not depend on the state, so the hardware may run
ahead of the recurrence. The backward pass walks from the last frame to the first and computes
the gates again from their pre-activations: nothing is kept but inputs and outputs. Sums are in
float32, or in float64 where the input is. In float32 the exponentials on a GPU are the
hardware's, whose relative error grows with the argument; it has not been measured here either.

Memory. Positions are numbered in the order in which the main input stores them, so neighbouring
lanes touch neighbouring addresses in [B,T,C,H,W] and in channels-last storage ([B,T,H,W,C])
alike. Strides are passed in: nothing is copied whose pixels are evenly spaced, such as a slice
of the channels; outputs take the layout of the main input. Offsets are 64-bit.

Triton is not installed everywhere: this module can be imported without it, and
`unavailable_reason` says why the kernels cannot run.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations  # the kernels' annotations name Triton, which may be absent

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from framecast.ops.kernels import layout

try:
    import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:
    triton = tl = None


def unavailable_reason() -> str | None:
    """Why these kernels cannot run here; None if they can."""
    if triton is None:
        return "the package triton is not installed"
    if isinstance(_locate, triton.JITFunction) and not torch.cuda.is_available():
        return "there is no GPU, and TRITON_INTERPRET=1 was not set when Triton was imported"
    return None


def _jit(kernel: Callable[..., Any]) -> Any:
    return kernel if triton is None else triton.jit(kernel)


class Field(NamedTuple):
    """A tensor [B,T,C,...] as the kernels see it: its memory, and the stride of each dimension.

    All dimensions after the channels count as one, of pixels.
    """

    data: Tensor
    batch: int
    time: int
    channel: int
    pixel: int

    @classmethod
    def of(cls, x: Tensor) -> Self:
        """The field of a tensor, copied only if its pixels are not evenly spaced."""
        x = x.reshape(*(*x.shape, 1)[:3], math.prod(x.shape[3:]))
        return cls(x, *x.stride())


# --- pieces of the kernels -------------------------------------------------------------------


@_jit
def _locate(positions, outer, inner, channels_last: tl.constexpr, block: tl.constexpr):
    """Batch entry, channel and pixel of this program's positions, and which of them exist.

    Positions are numbered over (batch, outer, inner). Each index is taken from `position` or
    `row` by one operation: the compiler then sees runs of neighbours, and moves 16 bytes at once.
    """
    position = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    row = position // inner
    batch = row // outer
    if channels_last:
        pixel = row % outer
        channel = position % inner
    else:
        channel = row % outer
        pixel = position % inner
    return batch, channel, pixel, position < positions


@_jit
def _at(field, batch, channel, pixel):
    """Addresses of these positions in the first frame."""
    return field.data + (batch * field.batch + channel * field.channel + pixel * field.pixel)


@_jit
def _load(at, here, sum_dtype: tl.constexpr):
    return tl.load(at, mask=here, other=0.0).to(sum_dtype)


@_jit
def _store(at, value, here):
    tl.store(at, value.to(at.dtype.element_ty), mask=here)


@_jit
def _sigmoid(x):
    """σ(x) and σ(−x), neither overflowing nor cancelling."""
    small = tl.exp(-tl.abs(x))
    large = 1.0 / (1.0 + small)
    positive = x >= 0
    return tl.where(positive, large, small * large), tl.where(positive, small * large, large)


@_jit
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


@_jit
def _candidate(u):
    """g(u) and its slope."""
    below, rest = _sigmoid(u)
    positive = u >= 0
    return tl.where(positive, u + 0.5, below), tl.where(positive, 1.0, below * rest)


@_jit
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


@_jit
def _balance(kind: tl.constexpr, p, q):
    """How much of the state is kept and how much renewed, from the gates' pre-activations."""
    if kind == "min_gru_scan":
        renew, keep = _sigmoid(p)
    elif kind == "min_lstm_scan":
        keep, renew = _share(p, q)
    else:
        keep, renew = _sigmoid(p - q)
    return keep, renew


@_jit
def _balance_gradient(kind: tl.constexpr, grad, p, q):
    """Gradients of p and q, from that of the balance d in keep = σ(d)."""
    if kind == "min_gru_scan":
        grad_p, grad_q = -grad, grad
    elif kind == "min_lstm_scan":
        _, closed_p = _sigmoid(p)
        _, closed_q = _sigmoid(q)
        grad_p, grad_q = grad * closed_p, -grad * closed_q
    else:
        grad_p, grad_q = grad, -grad
    return grad_p, grad_q


# --- linear and gated scans ------------------------------------------------------------------


@_jit
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
    batch, channel, pixel, here = _locate(positions, outer, inner, channels_last, block)
    p_at = _at(p, batch, channel, pixel)
    q_at = _at(q, batch, channel, pixel)
    u_at = _at(u, batch, channel, pixel)
    h_at = _at(h, batch, channel, pixel)
    state = _load(_at(h0, batch, channel, pixel), here, sum_dtype)
    for t in range(steps):
        step = tl.cast(t, tl.int64)
        keep = _load(p_at + step * p.time, here, sum_dtype)
        new = _load(u_at + step * u.time, here, sum_dtype)
        if kind != "linear_scan":
            keep, renew = _balance(kind, keep, _load(q_at + step * q.time, here, sum_dtype))
            candidate, _ = _candidate(new)
            new = renew * candidate
        state = keep * state + new
        _store(h_at + step * h.time, state, here)


@_jit
def _scan_backward(
    grad, p, q, u, h0, h, grad_p, grad_q, grad_u, grad_h0,
    steps, positions, outer, inner,
    kind: tl.constexpr, sum_dtype: tl.constexpr,
    channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of `_scan_forward`'s inputs for one block, from the last frame to the first.

    `passed` is what a state receives from its successor.
    """
    batch, channel, pixel, here = _locate(positions, outer, inner, channels_last, block)
    grad_at = _at(grad, batch, channel, pixel)
    p_at = _at(p, batch, channel, pixel)
    q_at = _at(q, batch, channel, pixel)
    u_at = _at(u, batch, channel, pixel)
    h_at = _at(h, batch, channel, pixel)
    grad_p_at = _at(grad_p, batch, channel, pixel)
    grad_q_at = _at(grad_q, batch, channel, pixel)
    grad_u_at = _at(grad_u, batch, channel, pixel)
    initial = _load(_at(h0, batch, channel, pixel), here, sum_dtype)
    passed = tl.zeros_like(initial)
    for t in range(steps):
        step = tl.cast(steps - 1 - t, tl.int64)
        total = _load(grad_at + step * grad.time, here, sum_dtype) + passed
        previous = _load(h_at + tl.maximum(step - 1, 0) * h.time, here, sum_dtype)
        previous = tl.where(step > 0, previous, initial)
        pre_p = _load(p_at + step * p.time, here, sum_dtype)
        if kind == "linear_scan":
            keep = pre_p
            to_p = total * previous
            to_u = total
        else:
            pre_q = _load(q_at + step * q.time, here, sum_dtype)
            candidate, slope = _candidate(_load(u_at + step * u.time, here, sum_dtype))
            keep, renew = _balance(kind, pre_p, pre_q)
            balance = (previous - candidate) * total * keep * renew
            to_p, to_q = _balance_gradient(kind, balance, pre_p, pre_q)
            to_u = total * renew * slope
            if kind != "min_gru_scan":
                _store(grad_q_at + step * grad_q.time, to_q, here)
        _store(grad_p_at + step * grad_p.time, to_p, here)
        _store(grad_u_at + step * grad_u.time, to_u, here)
        passed = keep * total
    _store(_at(grad_h0, batch, channel, pixel), passed, here)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t.  a, b [B,T,...], h0 [B,...] → h [B,T,...] in b's dtype."""
    h = _empty_like(b)
    _launch(_scan_forward, (a, a, b, h0.unsqueeze(1), h), h, kind="linear_scan")
    return h


def linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from the gradient of h and h itself."""
    grad_a, grad_b, grad_h0 = _empty_like(a), _empty_like(h), _empty_like(h0.unsqueeze(1))
    tensors = (grad, a, a, a, h0.unsqueeze(1), h, grad_a, grad_a, grad_b, grad_h0)
    _launch(_scan_backward, tensors, h, kind="linear_scan")
    return grad_a, grad_b, grad_h0.squeeze(1)


def gated_scan(kind: str, gates: Tensor, h0: Tensor) -> Tensor:
    """The gated scan named `kind`.  gates [B,T,parts·C,...], h0 [B,C,...] → h [B,T,C,...]."""
    h = _empty_like(gates, h0.shape[1])
    _launch(_scan_forward, (*_parts(gates, h0.shape[1]), h0.unsqueeze(1), h), h, kind=kind)
    return h


def gated_scan_backward(
    kind: str, grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and h0; the gates' activations are computed again, not kept."""
    grad_gates, grad_h0 = _empty_like(gates), _empty_like(h0.unsqueeze(1))
    inputs = grad, *_parts(gates, h0.shape[1]), h0.unsqueeze(1), h
    outputs = *_parts(grad_gates, h0.shape[1]), grad_h0
    _launch(_scan_backward, (*inputs, *outputs), h, kind=kind)
    return grad_gates, grad_h0.squeeze(1)


def _parts(gates: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """First gate, second gate (the first again where there is none) and candidate."""
    parts = gates.split(channels, dim=2)
    return parts[0], parts[-2], parts[-1]


# --- complex diagonal scan -------------------------------------------------------------------


@_jit
def _complex_forward(
    lam_re, lam_im, b_re, b_im, x0_re, x0_im, x_re, x_im,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """x_t = λ ⊙ x_{t−1} + b_t in complex numbers, for one block."""
    batch, channel, pixel, here = _locate(positions, outer, inner, channels_last, block)
    b_re_at = _at(b_re, batch, channel, pixel)
    b_im_at = _at(b_im, batch, channel, pixel)
    x_re_at = _at(x_re, batch, channel, pixel)
    x_im_at = _at(x_im, batch, channel, pixel)
    decay_re = _load(_at(lam_re, batch, channel, pixel), here, sum_dtype)
    decay_im = _load(_at(lam_im, batch, channel, pixel), here, sum_dtype)
    re = _load(_at(x0_re, batch, channel, pixel), here, sum_dtype)
    im = _load(_at(x0_im, batch, channel, pixel), here, sum_dtype)
    for t in range(steps):
        step = tl.cast(t, tl.int64)
        new_re = _load(b_re_at + step * b_re.time, here, sum_dtype)
        new_im = _load(b_im_at + step * b_im.time, here, sum_dtype)
        re, im = (
            decay_re * re - decay_im * im + new_re,
            decay_re * im + decay_im * re + new_im,
        )
        _store(x_re_at + step * x_re.time, re, here)
        _store(x_im_at + step * x_im.time, im, here)


@_jit
def _complex_backward(
    lam_re, lam_im, grad_re, grad_im, x0_re, x0_im, x_re, x_im,
    grad_lam_re, grad_lam_im, grad_b_re, grad_b_im, grad_x0_re, grad_x0_im,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of `_complex_forward`'s inputs; that of λ as a sum over time per position."""
    batch, channel, pixel, here = _locate(positions, outer, inner, channels_last, block)
    grad_re_at = _at(grad_re, batch, channel, pixel)
    grad_im_at = _at(grad_im, batch, channel, pixel)
    x_re_at = _at(x_re, batch, channel, pixel)
    x_im_at = _at(x_im, batch, channel, pixel)
    grad_b_re_at = _at(grad_b_re, batch, channel, pixel)
    grad_b_im_at = _at(grad_b_im, batch, channel, pixel)
    decay_re = _load(_at(lam_re, batch, channel, pixel), here, sum_dtype)
    decay_im = _load(_at(lam_im, batch, channel, pixel), here, sum_dtype)
    initial_re = _load(_at(x0_re, batch, channel, pixel), here, sum_dtype)
    initial_im = _load(_at(x0_im, batch, channel, pixel), here, sum_dtype)
    passed_re = tl.zeros_like(initial_re)
    passed_im = tl.zeros_like(initial_re)
    sum_re = tl.zeros_like(initial_re)
    sum_im = tl.zeros_like(initial_re)
    for t in range(steps):
        step = tl.cast(steps - 1 - t, tl.int64)
        before = tl.maximum(step - 1, 0)
        total_re = _load(grad_re_at + step * grad_re.time, here, sum_dtype) + passed_re
        total_im = _load(grad_im_at + step * grad_im.time, here, sum_dtype) + passed_im
        previous_re = _load(x_re_at + before * x_re.time, here, sum_dtype)
        previous_im = _load(x_im_at + before * x_im.time, here, sum_dtype)
        previous_re = tl.where(step > 0, previous_re, initial_re)
        previous_im = tl.where(step > 0, previous_im, initial_im)
        _store(grad_b_re_at + step * grad_b_re.time, total_re, here)
        _store(grad_b_im_at + step * grad_b_im.time, total_im, here)
        sum_re += total_re * previous_re + total_im * previous_im
        sum_im += total_im * previous_re - total_re * previous_im
        passed_re = decay_re * total_re + decay_im * total_im
        passed_im = decay_re * total_im - decay_im * total_re
    _store(_at(grad_lam_re, batch, channel, pixel), sum_re, here)
    _store(_at(grad_lam_im, batch, channel, pixel), sum_im, here)
    _store(_at(grad_x0_re, batch, channel, pixel), passed_re, here)
    _store(_at(grad_x0_im, batch, channel, pixel), passed_im, here)


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ ⊙ x_{t−1} + b_t.  λ [P], b [B,T,2P,...] and x0 [B,2P,...] as [Re, Im] → x."""
    x = _empty_like(b)
    halves = [half for y in (b, x0.unsqueeze(1), x) for half in y.chunk(2, dim=2)]
    lam = [_spread(part, halves[0]) for part in (lam_re, lam_im)]
    _launch(_complex_forward, (*lam, *halves), halves[0])
    return x


def complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for Re λ, Im λ, b and x0.

    The kernel sums those of λ over time, position by position, and torch then sums over the
    positions: the order is the same every time.
    """
    grad_b, grad_x0 = _empty_like(x), _empty_like(x0.unsqueeze(1))
    sums = torch.empty_like(grad_x0, dtype=lam_re.dtype)
    order, _ = x.chunk(2, dim=2)
    lam = [_spread(part, order) for part in (lam_re, lam_im)]
    pairs = [y.chunk(2, dim=2) for y in (grad, x0.unsqueeze(1), x, sums, grad_b, grad_x0)]
    halves = [half for pair in pairs for half in pair]
    _launch(_complex_backward, (*lam, *halves), order)
    dims = [dim for dim in range(x.ndim) if dim != 2]
    grad_re, grad_im = (half.sum(dims) for half in sums.chunk(2, dim=2))
    return grad_re, grad_im, grad_b, grad_x0.squeeze(1)


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """One value per channel [C] as a sequence [B,T,C,...], without memory of its own."""
    return values.view(-1, *[1] * (like.ndim - 3)).expand(like.shape)


# --- pointwise half of an LSTM step ----------------------------------------------------------


@_jit
def _lstm_forward(
    i, f, o, g, c, h, next_c,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """One step for one block: c' = σ(f)⊙c + σ(i)⊙tanh(g), h' = σ(o)⊙tanh(c')."""
    batch, channel, pixel, here = _locate(positions, outer, inner, channels_last, block)
    write, _ = _sigmoid(_load(_at(i, batch, channel, pixel), here, sum_dtype))
    keep, _ = _sigmoid(_load(_at(f, batch, channel, pixel), here, sum_dtype))
    show, _ = _sigmoid(_load(_at(o, batch, channel, pixel), here, sum_dtype))
    new, _ = _tanh(_load(_at(g, batch, channel, pixel), here, sum_dtype))
    state = keep * _load(_at(c, batch, channel, pixel), here, sum_dtype) + write * new
    shown, _ = _tanh(state)
    _store(_at(next_c, batch, channel, pixel), state, here)
    _store(_at(h, batch, channel, pixel), show * shown, here)


@_jit
def _lstm_backward(
    grad_h, grad_next_c, i, f, o, g, c, grad_i, grad_f, grad_o, grad_g, grad_c,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Gradients of `_lstm_forward`'s inputs; c' is computed again."""
    batch, channel, pixel, here = _locate(positions, outer, inner, channels_last, block)
    write, ignore = _sigmoid(_load(_at(i, batch, channel, pixel), here, sum_dtype))
    keep, forget = _sigmoid(_load(_at(f, batch, channel, pixel), here, sum_dtype))
    show, hide = _sigmoid(_load(_at(o, batch, channel, pixel), here, sum_dtype))
    new, new_slope = _tanh(_load(_at(g, batch, channel, pixel), here, sum_dtype))
    state = _load(_at(c, batch, channel, pixel), here, sum_dtype)
    shown, shown_slope = _tanh(keep * state + write * new)
    to_h = _load(_at(grad_h, batch, channel, pixel), here, sum_dtype)
    to_c = _load(_at(grad_next_c, batch, channel, pixel), here, sum_dtype)
    to_c += to_h * show * shown_slope
    _store(_at(grad_i, batch, channel, pixel), to_c * new * write * ignore, here)
    _store(_at(grad_f, batch, channel, pixel), to_c * state * keep * forget, here)
    _store(_at(grad_o, batch, channel, pixel), to_h * shown * show * hide, here)
    _store(_at(grad_g, batch, channel, pixel), to_c * write * new_slope, here)
    _store(_at(grad_c, batch, channel, pixel), to_c * keep, here)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The state (h', c') after one step; gates [B,4C,...] = [i, f, o, g], c [B,C,...]."""
    sequence = gates.unsqueeze(1)
    h, next_c = _empty_like(sequence, c.shape[1]), _empty_like(sequence, c.shape[1])
    _launch(_lstm_forward, (*sequence.chunk(4, dim=2), c.unsqueeze(1), h, next_c), h)
    return h.squeeze(1), next_c.squeeze(1)


def lstm_cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and c; everything between is computed again, not kept."""
    to_h, to_c, pre, state = (x.unsqueeze(1) for x in (grad_h, grad_next_c, gates, c))
    grad_gates, grad_c = _empty_like(pre), _empty_like(state)
    inputs = to_h, to_c, *pre.chunk(4, dim=2), state
    _launch(_lstm_backward, (*inputs, *grad_gates.chunk(4, dim=2), grad_c), state)
    return grad_gates.squeeze(1), grad_c.squeeze(1)


# --- memory and launch ------------------------------------------------------------------------


def _empty_like(x: Tensor, channels: int | None = None) -> Tensor:
    """Memory for a sequence in the layout of another, which may have more channels."""
    if x.ndim < 3:
        return x.new_empty(x.shape)
    return layout.empty_sequence(x, channels or x.shape[2], layout.is_channels_last(x))


def _block(positions: int) -> int:
    """Positions of a program.

    With 128, each thread of four warps has one: as many programs as can be, for grids too small
    to fill a GPU. From 2¹⁹ positions on there is work enough for four positions a thread, which
    then moves 16 bytes of float32 at once.
    """
    return 512 if positions >= 2**19 else 128


def _launch(kernel: Any, tensors: Sequence[Tensor], order: Tensor, **options: str) -> None:
    """Run a kernel on tensors [B,T,C,...], over all positions of `order` as it stores them."""
    fields = [Field.of(x) for x in tensors]
    batch, steps, channels = (*order.shape, 1)[:3]
    pixels = math.prod(order.shape[3:])
    channels_last = layout.is_channels_last(order)
    outer, inner = (pixels, channels) if channels_last else (channels, pixels)
    positions = batch * outer * inner
    block = _block(positions)
    with torch.cuda.device_of(order):
        kernel[(triton.cdiv(positions, block),)](
            *fields,
            steps,
            positions,
            outer,
            inner,
            **options,
            sum_dtype=tl.float64 if order.dtype == torch.float64 else tl.float32,
            channels_last=channels_last,
            block=block,
            num_warps=4,
            enable_fp_fusion=True,
        )
