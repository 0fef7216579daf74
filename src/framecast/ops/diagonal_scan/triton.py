"""Forward and backward passes of the complex diagonal scan as Triton kernels.

The functions have the names, arguments and results of those in `eager.py`.
"""


# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations  # the kernels' annotations name Triton, which may be absent

from typing import no_type_check

import torch
from torch import Tensor

from framecast.ops.triton import at, empty_like, jit, launch, load, locate, store, tl


@jit
@no_type_check
def _complex_forward(
    lam_re, lam_im, b_re, b_im, x0_re, x0_im, x_re, x_im,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """x_t = λ_t ⊙ x_{t−1} + b_t in complex numbers, for one block."""
    batch, channel, pixel, here = locate(positions, outer, inner, channels_last, block)
    b_re_at = at(b_re, batch, channel, pixel)
    b_im_at = at(b_im, batch, channel, pixel)
    x_re_at = at(x_re, batch, channel, pixel)
    x_im_at = at(x_im, batch, channel, pixel)
    lam_re_at = at(lam_re, batch, channel, pixel)
    lam_im_at = at(lam_im, batch, channel, pixel)
    re = load(at(x0_re, batch, channel, pixel), here, sum_dtype)
    im = load(at(x0_im, batch, channel, pixel), here, sum_dtype)
    for t in range(steps):
        step = tl.cast(t, tl.int64)
        decay_re = load(lam_re_at + step * lam_re.time, here, sum_dtype)
        decay_im = load(lam_im_at + step * lam_im.time, here, sum_dtype)
        new_re = load(b_re_at + step * b_re.time, here, sum_dtype)
        new_im = load(b_im_at + step * b_im.time, here, sum_dtype)
        re, im = (
            decay_re * re - decay_im * im + new_re,
            decay_re * im + decay_im * re + new_im,
        )
        store(x_re_at + step * x_re.time, re, here)
        store(x_im_at + step * x_im.time, im, here)


@jit
@no_type_check
def _complex_backward(
    lam_re, lam_im, grad_re, grad_im, x0_re, x0_im, x_re, x_im,
    grad_lam_re, grad_lam_im, grad_b_re, grad_b_im, grad_x0_re, grad_x0_im,
    steps, positions, outer, inner,
    sum_dtype: tl.constexpr, channels_last: tl.constexpr, block: tl.constexpr,
    by_frame: tl.constexpr,
):  # fmt: skip
    """Gradients of `_complex_forward`'s inputs.

    That of λ for each position and, unless there is a λ for each frame, summed over time.
    """
    batch, channel, pixel, here = locate(positions, outer, inner, channels_last, block)
    grad_re_at = at(grad_re, batch, channel, pixel)
    grad_im_at = at(grad_im, batch, channel, pixel)
    x_re_at = at(x_re, batch, channel, pixel)
    x_im_at = at(x_im, batch, channel, pixel)
    grad_b_re_at = at(grad_b_re, batch, channel, pixel)
    grad_b_im_at = at(grad_b_im, batch, channel, pixel)
    lam_re_at = at(lam_re, batch, channel, pixel)
    lam_im_at = at(lam_im, batch, channel, pixel)
    grad_lam_re_at = at(grad_lam_re, batch, channel, pixel)
    grad_lam_im_at = at(grad_lam_im, batch, channel, pixel)
    initial_re = load(at(x0_re, batch, channel, pixel), here, sum_dtype)
    initial_im = load(at(x0_im, batch, channel, pixel), here, sum_dtype)
    passed_re = tl.zeros_like(initial_re)
    passed_im = tl.zeros_like(initial_re)
    sum_re = tl.zeros_like(initial_re)
    sum_im = tl.zeros_like(initial_re)
    for t in range(steps):
        step = tl.cast(steps - 1 - t, tl.int64)
        before = tl.maximum(step - 1, 0)
        total_re = load(grad_re_at + step * grad_re.time, here, sum_dtype) + passed_re
        total_im = load(grad_im_at + step * grad_im.time, here, sum_dtype) + passed_im
        previous_re = load(x_re_at + before * x_re.time, here, sum_dtype)
        previous_im = load(x_im_at + before * x_im.time, here, sum_dtype)
        previous_re = tl.where(step > 0, previous_re, initial_re)
        previous_im = tl.where(step > 0, previous_im, initial_im)
        store(grad_b_re_at + step * grad_b_re.time, total_re, here)
        store(grad_b_im_at + step * grad_b_im.time, total_im, here)
        here_re = total_re * previous_re + total_im * previous_im
        here_im = total_im * previous_re - total_re * previous_im
        if by_frame:
            store(grad_lam_re_at + step * grad_lam_re.time, here_re, here)
            store(grad_lam_im_at + step * grad_lam_im.time, here_im, here)
        sum_re += here_re
        sum_im += here_im
        decay_re = load(lam_re_at + step * lam_re.time, here, sum_dtype)
        decay_im = load(lam_im_at + step * lam_im.time, here, sum_dtype)
        passed_re = decay_re * total_re + decay_im * total_im
        passed_im = decay_re * total_im - decay_im * total_re
    if not by_frame:
        store(grad_lam_re_at, sum_re, here)
        store(grad_lam_im_at, sum_im, here)
    store(at(grad_x0_re, batch, channel, pixel), passed_re, here)
    store(at(grad_x0_im, batch, channel, pixel), passed_im, here)


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    x = empty_like(b)
    halves = [half for y in (b, x0.unsqueeze(1), x) for half in y.chunk(2, dim=2)]
    lam = [_spread(part, halves[0]) for part in (lam_re, lam_im)]
    launch(_complex_forward, (*lam, *halves), halves[0])
    return x


def complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for Re λ, Im λ, b and x0.

    The kernel sums those of λ over time, position by position, and torch then sums over the
    positions: the order is the same every time. With a λ for each frame nothing is summed over
    time, and the terms take as much memory as the states.
    """
    by_frame = lam_re.ndim > 1
    grad_b, grad_x0 = empty_like(x), empty_like(x0.unsqueeze(1))
    sums = torch.empty_like(grad_b if by_frame else grad_x0, dtype=lam_re.dtype)
    order, _ = x.chunk(2, dim=2)
    lam = [_spread(part, order) for part in (lam_re, lam_im)]
    pairs = [y.chunk(2, dim=2) for y in (grad, x0.unsqueeze(1), x, sums, grad_b, grad_x0)]
    halves = [half for pair in pairs for half in pair]
    launch(_complex_backward, (*lam, *halves), order, by_frame=by_frame)
    dims = [0, 1, *range(3, x.ndim)][2 * by_frame :]
    grad_re, grad_im = (half.sum(dims) if dims else half for half in sums.chunk(2, dim=2))
    return grad_re, grad_im, grad_b, grad_x0.squeeze(1)


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """One value per channel, [C] or [B,T,C], as a sequence [B,T,C,...], without a copy."""
    values = values.expand(*like.shape[:2], -1)
    return values.view(*values.shape, *[1] * (like.ndim - 3)).expand(like.shape)
