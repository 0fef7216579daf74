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
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.ops.widening import widen


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t.  a, b [B,T,...], h0 [B,...] → h [B,T,...] in b's dtype."""
    return _scan(widen(a), widen(b), widen(h0)).to(b.dtype)


def linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from the gradient of h and h itself."""
    return linear_scan_gradients(_scan_gradient(widen(grad), widen(a)), a, h0, h)


def linear_scan_gradients(
    total: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from what reaches each state from all later ones."""
    total = widen(total)
    grad_a = total * _previous(widen(h0), widen(h))
    grad_h0 = widen(a[:, 0]) * total[:, 0]
    return grad_a.to(a.dtype), total.to(h.dtype), grad_h0.to(h0.dtype)


AT_ONCE = 16
"""Steps of which numbers are kept beside the gates, where the product of all is wanted."""


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
    return _scan(*linear_form(kind, gates), widen(h0)).to(gates.dtype)


def linear_form(kind: str, gates: Tensor) -> tuple[Tensor, Tensor]:
    """The a and b of the linear scan that the gated scan named `kind` is."""
    *pre, u = widen(gates).chunk(GATINGS[kind].parts, dim=2)
    d = GATINGS[kind].balance(tuple(pre))
    return torch.sigmoid(d), torch.sigmoid(-d) * _candidate(u)


def gated_decay(kind: str, gates: Tensor) -> Tensor:
    """Π_t a_t of the linear scan that the gated scan named `kind` is, [B,T,...] → [B,...]."""
    gating, products = GATINGS[kind], []
    for start in range(0, gates.shape[1], AT_ONCE):
        *pre, _ = widen(gates[:, start : start + AT_ONCE]).chunk(gating.parts, dim=2)
        products.append(torch.sigmoid(gating.balance(tuple(pre))).prod(1))
    return torch.stack(products).prod(0)


def gated_scan_backward(
    kind: str, grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and h0; the gates' activations are computed again, not kept."""
    gating = GATINGS[kind]
    *pre, u = widen(gates).chunk(gating.parts, dim=2)
    keep = torch.sigmoid(d := gating.balance(tuple(pre)))
    renew = torch.sigmoid(-d)
    grad_h = _scan_gradient(widen(grad), keep)
    grad_u = grad_h * renew * _candidate_slope(u)
    grad_d = _previous(widen(h0), widen(h)).sub_(_candidate(u)).mul_(grad_h)
    grad_d.mul_(keep).mul_(renew)
    grad_gates = torch.cat([*gating.balance_gradient(grad_d, tuple(pre)), grad_u], dim=2)
    grad_h0 = keep[:, 0] * grad_h[:, 0]
    return grad_gates.to(gates.dtype), grad_h0.to(h0.dtype)


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
