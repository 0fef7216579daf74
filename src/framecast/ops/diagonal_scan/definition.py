"""The definition of the complex diagonal scan: a plain loop over time, never optimised."""

import torch
from torch import Tensor


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    over = *b.shape[:2], lam_re.shape[-1]
    trailing = [1] * (b.ndim - 3)
    re, im = (y.expand(over).reshape(*over, *trailing) for y in (lam_re, lam_im))
    x_re, x_im = x0.chunk(2, dim=1)
    states = []
    for t in range(b.shape[1]):
        b_re, b_im = b[:, t].chunk(2, dim=1)
        x_re, x_im = (
            re[:, t] * x_re - im[:, t] * x_im + b_re,
            re[:, t] * x_im + im[:, t] * x_re + b_im,
        )
        states.append(torch.cat([x_re, x_im], dim=1))
    return torch.stack(states, dim=1)
