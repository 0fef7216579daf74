"""The definition of the complex diagonal scan: a plain loop over time, never optimised."""

import torch
from torch import Tensor


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    lam = torch.complex(lam_re, lam_im).expand(*b.shape[:2], -1)
    lam = lam.view(*lam.shape, *[1] * (b.ndim - 3))
    x, states = torch.complex(*x0.chunk(2, dim=1)), []
    for t in range(b.shape[1]):
        x = lam[:, t] * x + torch.complex(*b[:, t].chunk(2, dim=1))
        states.append(torch.cat([x.real, x.imag], dim=1))
    return torch.stack(states, dim=1)
