"""The definitions of the recurrences: plain loops over time, never optimised.

Every fast path is tested against these functions, in float64 and through autograd.
The pre-activations of the gates lie side by side along dimension 2 of one tensor, as
one convolution leaves them.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def candidate(u: Tensor) -> Tensor:
    """Positive candidate state g(u): u + 0.5 where u ≥ 0, the logistic function elsewhere.

    Source: Minimal Convolutional RNNs (2025), section 2.4.
    """
    return torch.where(u >= 0, u + 0.5, torch.sigmoid(u))


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t.  a, b [B,T,...] and h0 [B,...] give h [B,T,...]."""
    h, states = h0, []
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


def min_gru_scan(gates: Tensor, h0: Tensor) -> Tensor:
    """MinGRU: z = σ(k), h' = (1−z)⊙h + z⊙g(u).  gates [B,T,2C,...] = [k, u]."""

    def update(k: Tensor, u: Tensor, h: Tensor) -> Tensor:
        # σ(−k) is 1 − z, and exact where z is close to one.
        return torch.sigmoid(-k) * h + torch.sigmoid(k) * candidate(u)

    return _gated_scan(gates, h0, 2, update)


def min_lstm_scan(gates: Tensor, h0: Tensor) -> Tensor:
    """MinLSTM: f, i through σ, f/(f+i)⊙h + i/(f+i)⊙g(u).  gates [B,T,3C,...] = [f, i, u]."""

    def update(f_pre: Tensor, i_pre: Tensor, u: Tensor, h: Tensor) -> Tensor:
        f, i = torch.sigmoid(f_pre), torch.sigmoid(i_pre)
        return f / (f + i) * h + i / (f + i) * candidate(u)

    return _gated_scan(gates, h0, 3, update)


def min_exp_lstm_scan(gates: Tensor, h0: Tensor) -> Tensor:
    """MinExpLSTM: σ(f−i)⊙h + σ(i−f)⊙g(u).  gates [B,T,3C,...] = [f, i, u]."""

    def update(f_pre: Tensor, i_pre: Tensor, u: Tensor, h: Tensor) -> Tensor:
        forget = torch.sigmoid(f_pre - i_pre)
        return forget * h + torch.sigmoid(i_pre - f_pre) * candidate(u)

    return _gated_scan(gates, h0, 3, update)


def _gated_scan(gates: Tensor, h0: Tensor, parts: int, update: Callable[..., Tensor]) -> Tensor:
    h, states = h0, []
    for t in range(gates.shape[1]):
        h = update(*gates[:, t].chunk(parts, dim=1), h)
        states.append(h)
    return torch.stack(states, dim=1)


GATED_SCANS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "min_gru_scan": min_gru_scan,
    "min_lstm_scan": min_lstm_scan,
    "min_exp_lstm_scan": min_exp_lstm_scan,
}
"""The gated scans by name."""
