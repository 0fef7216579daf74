"""The definition of scans through convolutions: a plain loop over time, never optimised."""

import torch
import torch.nn.functional as F
from torch import Tensor


def conv_scan(kernel: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = A ∗ x_{t−1} + b_t on a periodic grid.  A [P,1,k,k] or [P,P,k,k], b [B,T,P,H,W]."""
    x, states = x0, []
    reach, groups = kernel.shape[-1] // 2, kernel.shape[0] // kernel.shape[1]
    for t in range(b.shape[1]):
        around = F.pad(x, (reach,) * 4, mode="circular")
        x = F.conv2d(around, kernel, groups=groups) + b[:, t]
        states.append(x)
    return torch.stack(states, dim=1)
