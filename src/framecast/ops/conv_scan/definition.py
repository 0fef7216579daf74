"""The definitions of scans through convolutions and of their kernels: loops, never optimised."""

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


def bounded_kernel(weight: Tensor, bound: Tensor) -> Tensor:
    """A_δ = ρ W_δ / Σ_δ‖W_δ‖, cell by cell.  W [P,1,k,k] or [P,P,k,k], ρ [P] → A of W's shape."""
    total = weight.new_zeros(())
    for row in weight.unbind(2):
        for cell in row.unbind(2):
            if cell.shape[1] == 1:
                total = total + cell[:, 0].abs()
            else:
                total = total + torch.linalg.matrix_norm(cell, ord=2)
    scale = bound / total.clamp_min(torch.finfo(total.dtype).tiny)
    return weight * scale[:, None, None, None]
