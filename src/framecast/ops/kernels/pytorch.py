"""Forward and backward passes of the recurrences in PyTorch: the path that runs everywhere.

The loop over time does one fused multiply-add a step on preallocated memory; everything
else is elementwise over the whole sequence. The backward pass of a scan is the scan of the
gradients from the last frame to the first, so no graph grows with T. Sums are accumulated
in float32 or better.

All three gated scans are one recurrence, h' = σ(d)⊙h + σ(−d)⊙g(u): they differ only in how
the balance d follows from their gates. σ(−d) rather than 1 − σ(d) keeps the small gate
exact where the other is close to one.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t.  a, b [B,T,...], h0 [B,...] → h [B,T,...] in b's dtype."""
    return _scan(_widen(a), _widen(b), _widen(h0)).to(b.dtype)


def linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from the gradient of h and h itself."""
    grad_b = _scan_gradient(_widen(grad), _widen(a))
    grad_a = grad_b * _previous(_widen(h0), _widen(h))
    grad_h0 = _widen(a[:, 0]) * grad_b[:, 0]
    return grad_a.to(a.dtype), grad_b.to(grad.dtype), grad_h0.to(h0.dtype)


class Gating(NamedTuple):
    """How one gated scan turns its pre-activations into the balance d of keep and renew."""

    parts: int
    balance: Callable[[tuple[Tensor, ...]], Tensor]
    balance_gradient: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


GATINGS: dict[str, Gating] = {
    "min_gru_scan": Gating(
        parts=2,
        balance=lambda gates: -gates[0],
        balance_gradient=lambda grad, gates: (-grad,),
    ),
    "min_lstm_scan": Gating(
        parts=3,
        balance=lambda gates: F.softplus(-gates[1]) - F.softplus(-gates[0]),
        balance_gradient=lambda grad, gates: (
            grad * torch.sigmoid(-gates[0]),
            -grad * torch.sigmoid(-gates[1]),
        ),
    ),
    "min_exp_lstm_scan": Gating(
        parts=3,
        balance=lambda gates: gates[0] - gates[1],
        balance_gradient=lambda grad, gates: (grad, -grad),
    ),
}


def gated_scan(kind: str, gates: Tensor, h0: Tensor) -> Tensor:
    """The gated scan named `kind`.  gates [B,T,parts·C,...], h0 [B,C,...] → h [B,T,C,...]."""
    *pre, u = _widen(gates).chunk(GATINGS[kind].parts, dim=2)
    d = GATINGS[kind].balance(tuple(pre))
    renewed = torch.sigmoid(-d).mul_(_candidate(u))
    return _scan(torch.sigmoid(d), renewed, _widen(h0)).to(gates.dtype)


def gated_scan_backward(
    kind: str, grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and h0; the gates' activations are computed again, not kept."""
    gating = GATINGS[kind]
    *pre, u = _widen(gates).chunk(gating.parts, dim=2)
    keep = torch.sigmoid(d := gating.balance(tuple(pre)))
    renew = torch.sigmoid(-d)
    grad_h = _scan_gradient(_widen(grad), keep)
    grad_u = grad_h * renew * _candidate_slope(u)
    grad_d = _previous(_widen(h0), _widen(h)).sub_(_candidate(u)).mul_(grad_h)
    grad_d.mul_(keep).mul_(renew)
    grad_gates = torch.cat([*gating.balance_gradient(grad_d, tuple(pre)), grad_u], dim=2)
    grad_h0 = keep[:, 0] * grad_h[:, 0]
    return grad_gates.to(gates.dtype), grad_h0.to(h0.dtype)


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    wide, previous = _widen(b), _widen(x0)
    lam_re, lam_im = _by_frame(lam_re, b), _by_frame(lam_im, b)
    x = torch.empty_like(wide)
    for t in range(b.shape[1]):
        _rotate(lam_re[:, t], lam_im[:, t], previous, wide[:, t], out=x[:, t])
        previous = x[:, t]
    return x.to(b.dtype)


def complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for Re λ, Im λ, b and x0: the scan of the gradients runs with the conjugate λ."""
    wide, first = _widen(grad), torch.empty_like(_widen(x0))
    re_by_frame, im_by_frame = _by_frame(lam_re, grad), -_by_frame(lam_im, grad)
    total = torch.empty_like(wide)
    total[:, -1] = wide[:, -1]
    for t in reversed(range(grad.shape[1] - 1)):
        lam = re_by_frame[:, t + 1], im_by_frame[:, t + 1]
        _rotate(*lam, total[:, t + 1], wide[:, t], out=total[:, t])
    _rotate(re_by_frame[:, 0], im_by_frame[:, 0], total[:, 0], torch.zeros_like(first), out=first)
    to_re, to_im = total.chunk(2, dim=2)
    re, im = _previous(_widen(x0), _widen(x)).chunk(2, dim=2)
    rest = [dim for dim in range(grad.ndim) if dim > 2 or (dim < 2 and lam_re.ndim == 1)]
    grad_re, grad_im = to_re * re + to_im * im, to_im * re - to_re * im
    if rest:
        grad_re, grad_im = grad_re.sum(rest), grad_im.sum(rest)
    return grad_re, grad_im, total.to(grad.dtype), first.to(x0.dtype)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The state (h', c') after one step; gates [B,4C,...] = [i, f, o, g], c [B,C,...]."""
    i, f, o, g = _widen(gates).chunk(4, dim=1)
    next_c = torch.sigmoid(f).mul_(_widen(c)).add_(torch.sigmoid(i).mul_(torch.tanh(g)))
    h = torch.sigmoid(o).mul_(torch.tanh(next_c))
    return h.to(gates.dtype), next_c.to(gates.dtype)


def lstm_cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and c; everything between is computed again, not kept."""
    *pre, g_pre = _widen(gates).chunk(4, dim=1)
    i, f, o = (torch.sigmoid(x) for x in pre)
    g, before = torch.tanh(g_pre), _widen(c)
    tanh_c = torch.tanh(f * before + i * g)
    to_h = _widen(grad_h)
    to_c = _widen(grad_next_c) + to_h * o * (1 - tanh_c.square())
    grads = [
        to_c * g * i * (1 - i),
        to_c * before * f * (1 - f),
        to_h * tanh_c * o * (1 - o),
        to_c * i * (1 - g.square()),
    ]
    return torch.cat(grads, dim=1).to(gates.dtype), (to_c * f).to(c.dtype)


class Curve(NamedTuple):
    """An elementwise function, and the gradient of its input from that of its value."""

    value: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "none": Curve(lambda z: z, lambda grad, z: grad),
    "gelu": Curve(
        partial(F.gelu, approximate="tanh"),
        partial(torch.ops.aten.gelu_backward, approximate="tanh"),
    ),
    "elu": Curve(F.elu, lambda grad, z: grad * z.clamp_max(0).exp()),
}
"""What may follow a norm."""


def residual_norm(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    groups: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Norm of x + update [B,C,H,W], activated; also mean and 1/√(variance + eps)."""
    total = _sum(x, update)
    size = statistics(x, weight, groups)
    variance, mean = torch.var_mean(_parted(total, size), (2, 3, 4), correction=0)
    scale = torch.rsqrt(variance + eps)
    y = (total - _spread(mean, x)) * _spread(scale, x)
    y = ACTIVATIONS[activation].value(y.mul_(_beside(weight)).add_(_beside(bias)))
    return y.to(x.dtype), mean, scale


def residual_norm_backward(
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
    """Gradients for x + update, weight and bias; what the norm put out is computed again."""
    size = statistics(x, weight, groups)
    unit = (_sum(x, update) - _spread(mean, x)) * _spread(scale, x)
    before = unit * _beside(weight) + _beside(bias)
    wide = ACTIVATIONS[activation].gradient(_widen(grad), before)
    affine_axes = (0, 2, 3) if weight.ndim == 1 else (0, 1)
    grad_weight, grad_bias = (wide * unit).sum(affine_axes), wide.sum(affine_axes)
    inner = wide * _beside(weight)
    straight, along = (
        _spread(_parted(part, size).mean((2, 3, 4)), x) for part in (inner, inner * unit)
    )
    grad_x = (inner - straight - unit * along) * _spread(scale, x)
    return grad_x.to(grad.dtype), grad_weight, grad_bias


def statistics(x: Tensor, weight: Tensor, groups: int) -> int:
    """How many means a frame has: of its groups of channels, or of the grid of each channel."""
    return groups if weight.ndim == 1 else x.shape[1]


def wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Frames [B,C,H,W] continued periodically by so many cells on each side."""
    for dim, reach in ((2, reach_y), (3, reach_x)):
        if reach:
            size = x.shape[dim]
            end, start = x.narrow(dim, size - reach, reach), x.narrow(dim, 0, reach)
            x = torch.cat([end, x, start], dim)
    return x


def wrap_backward(grad: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """The gradient of the frames, each the sum over its copies."""
    wide = _widen(grad)
    for dim, reach in ((3, reach_x), (2, reach_y)):
        if reach:
            size = wide.shape[dim] - 2 * reach
            inner = wide.narrow(dim, reach, size).clone()
            inner.narrow(dim, size - reach, reach).add_(wide.narrow(dim, 0, reach))
            inner.narrow(dim, 0, reach).add_(wide.narrow(dim, size + reach, reach))
            wide = inner
    return wide.to(grad.dtype)


def empty_wrapped(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Memory for channels-last frames as `x` with so many more cells on each side."""
    batch, channels, height, width = x.shape
    size = batch, height + 2 * reach_y, width + 2 * reach_x, channels
    return x.new_empty(size).permute(0, 3, 1, 2)


def _sum(x: Tensor, update: Tensor | None) -> Tensor:
    return _widen(x) if update is None else _widen(x) + _widen(update)


def _parted(x: Tensor, parts: int) -> Tensor:
    """Divide the channels of [B,C,H,W] into equal parts: [B,parts,C/parts,H,W]."""
    return x.view(len(x), parts, -1, *x.shape[2:])


def _spread(statistics: Tensor, x: Tensor) -> Tensor:
    """Numbers of groups of channels [B,S], for each channel of x [B,C,H,W]: [B,C,1,1]."""
    together = x.shape[1] // statistics.shape[1]
    return statistics.repeat_interleave(together, dim=1)[..., None, None]


def _beside(weight: Tensor) -> Tensor:
    return weight[:, None, None] if weight.ndim == 1 else weight


def _rotate(lam_re: Tensor, lam_im: Tensor, x: Tensor, b: Tensor, out: Tensor) -> None:
    """Write λ ⊙ x + b to out, which is neither; x, b and out [B,2P,...] = [Re, Im]."""
    (re, im), (b_re, b_im), (to_re, to_im) = (part.chunk(2, dim=1) for part in (x, b, out))
    torch.addcmul(b_re, lam_re, re, out=to_re).addcmul_(lam_im, im, value=-1)
    torch.addcmul(b_im, lam_re, im, out=to_im).addcmul_(lam_im, re)


def _by_frame(lam: Tensor, b: Tensor) -> Tensor:
    """One value per channel, [P] or [B,T,P], as it multiplies b [B,T,2P,...]: [B,T,P,1,...]."""
    lam = lam.expand(*b.shape[:2], -1)
    return lam.view(*lam.shape, *[1] * (b.ndim - 3))


def _widen(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _candidate(u: Tensor) -> Tensor:
    return torch.where(u >= 0, u + 0.5, torch.sigmoid(u))


def _candidate_slope(u: Tensor) -> Tensor:
    g = torch.sigmoid(u)
    return torch.where(u >= 0, torch.ones_like(u), g * (1 - g))


def _scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    h = torch.empty_like(b)
    previous = h0
    for t in range(b.shape[1]):
        previous = torch.addcmul(b[:, t], a[:, t], previous, out=h[:, t])
    return h


def _scan_gradient(grad: Tensor, a: Tensor) -> Tensor:
    """What reaches each state from all later ones: G_t = grad_t + a_{t+1} ⊙ G_{t+1}."""
    total = torch.empty_like(grad)
    total[:, -1] = grad[:, -1]
    for t in reversed(range(grad.shape[1] - 1)):
        torch.addcmul(grad[:, t], a[:, t + 1], total[:, t + 1], out=total[:, t])
    return total


def _previous(h0: Tensor, h: Tensor) -> Tensor:
    return torch.cat([h0.unsqueeze(1), h[:, :-1]], dim=1)
