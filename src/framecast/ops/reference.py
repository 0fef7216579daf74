"""The definitions of the recurrences: plain loops over time, never optimised.

Every fast path is tested against these functions, in float64 and through autograd.
The pre-activations of the gates lie side by side along dimension 2 of one tensor, as
one convolution leaves them.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
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


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    lam = torch.complex(lam_re, lam_im).expand(*b.shape[:2], -1)
    lam = lam.view(*lam.shape, *[1] * (b.ndim - 3))
    x, states = torch.complex(*x0.chunk(2, dim=1)), []
    for t in range(b.shape[1]):
        x = lam[:, t] * x + torch.complex(*b[:, t].chunk(2, dim=1))
        states.append(torch.cat([x.real, x.imag], dim=1))
    return torch.stack(states, dim=1)


def conv_scan(kernel: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = A ∗ x_{t−1} + b_t on a periodic grid.  A [P,1,k,k] or [P,P,k,k], b [B,T,P,H,W]."""
    x, states = x0, []
    reach, groups = kernel.shape[-1] // 2, kernel.shape[0] // kernel.shape[1]
    for t in range(b.shape[1]):
        around = F.pad(x, (reach,) * 4, mode="circular")
        x = F.conv2d(around, kernel, groups=groups) + b[:, t]
        states.append(x)
    return torch.stack(states, dim=1)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """LSTM: c' = σ(f)⊙c + σ(i)⊙tanh(g), h' = σ(o)⊙tanh(c').  gates [B,4C,...] = [i, f, o, g]."""
    i, f, o, g = gates.chunk(4, dim=1)
    next_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(next_c), next_c


def residual_norm(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-5,
    *,
    groups: int = 1,
    activation: str = "none",
) -> Tensor:
    """f((s − mean(s)) / √(var(s) + eps) ⊙ weight + bias) with s = x + update, [B,C,H,W].

    Over H×W with weight [H,W]; over groups of channels and H×W with weight [C].
    """
    s = x if update is None else x + update
    by_channel = weight.ndim == 1
    parts = s.reshape(len(s), groups if by_channel else s.shape[1], -1, *s.shape[2:])
    centred = parts - parts.mean((2, 3, 4), keepdim=True)
    unit = centred / (centred.square().mean((2, 3, 4), keepdim=True) + eps).sqrt()
    if by_channel:
        weight, bias = weight[:, None, None], bias[:, None, None]
    z = unit.flatten(1, 2) * weight + bias
    if activation == "gelu":
        z = z / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return torch.where(z > 0, z, torch.expm1(z.clamp_max(0))) if activation == "elu" else z


def wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Frames [B,C,H,W] → [B,C,H+2·reach_y,W+2·reach_x]: cell i shows cell (i − reach) mod size."""
    rows = torch.arange(-reach_y, x.shape[2] + reach_y) % x.shape[2]
    columns = torch.arange(-reach_x, x.shape[3] + reach_x) % x.shape[3]
    return x[:, :, rows][:, :, :, columns]
