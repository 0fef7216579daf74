"""Scans through convolutions whose kernels are composed, and the bound of a kernel, in PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.ops.padding import wrap

GROWTH = 4
"""The arithmetic of a level of `conv_scan`, beside that of stepping, up to which it is used."""


def conv_scan(kernel: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = A ∗ x_{t−1} + b_t by pairs of frames.  A [P,1,k,k] or [P,P,k,k], b [B,T,P,H,W]."""
    first = b[:, :1] + _convolve(kernel, x0.unsqueeze(1))
    return _combine(kernel, torch.cat([first, b[:, 1:]], dim=1), 1, kernel.shape[-1])


def bounded_kernel(weight: Tensor, bound: Tensor) -> Tensor:
    """A_δ = ρ W_δ / Σ_δ‖W_δ‖.  W [P,1,k,k] or [P,P,k,k], ρ [P] → A of W's shape."""
    if weight.shape[1] == 1:
        norms = weight.abs().sum(dim=(1, 2, 3), keepdim=True)
    else:
        norms = torch.linalg.matrix_norm(weight.movedim((0, 1), (2, 3)), ord=2).sum()
    return weight * (bound.view(-1, 1, 1, 1) / norms.clamp_min(torch.finfo(norms.dtype).tiny))


def _combine(kernel: Tensor, b: Tensor, span: int, side: int) -> Tensor:
    """The scan from a state of zeros; `kernel` is one of `side` cells composed `span` times."""
    time = b.shape[1]
    if time == 1:
        return b
    grows = kernel.shape[-1] ** 2 > GROWTH * span * side**2
    if grows or kernel.shape[-1] - 1 > min(b.shape[-2:]):
        return _step(kernel, b)
    pairs = b[:, 1::2] + _convolve(kernel, b[:, : time // 2 * 2 : 2])
    second = _combine(_compose(kernel, kernel), pairs, 2 * span, side)
    later = b[:, 2::2]
    third = later + _convolve(kernel, second[:, : later.shape[1]])
    first = torch.cat([b[:, :1], third], dim=1)
    paired = torch.stack([first[:, : time // 2], second], dim=2).flatten(1, 2)
    return torch.cat([paired, first[:, time // 2 :]], dim=1)


def _step(kernel: Tensor, b: Tensor) -> Tensor:
    states = [b[:, :1]]
    for t in range(1, b.shape[1]):
        states.append(b[:, t : t + 1] + _convolve(kernel, states[-1]))
    return torch.cat(states, dim=1)


def _convolve(kernel: Tensor, frames: Tensor) -> Tensor:
    """A ∗ frames [B,T,P,H,W] on a periodic grid."""
    if frames.shape[1] == 0:
        return frames
    reach = kernel.shape[-1] // 2
    padded = wrap(frames.flatten(0, 1), reach, reach)
    groups = frames.shape[2] // kernel.shape[1]
    return F.conv2d(padded, kernel, groups=groups).view(frames.shape)


def _compose(after: Tensor, before: Tensor) -> Tensor:
    """The kernel of two convolutions, one after the other."""
    groups, reach = after.shape[0] // after.shape[1], after.shape[-1] - 1
    composed = F.conv2d(before.transpose(0, 1), after.flip(-1, -2), padding=reach, groups=groups)
    return composed.transpose(0, 1)
