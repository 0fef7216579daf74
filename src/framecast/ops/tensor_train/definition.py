"""How the convolutions of a tensor-train are defined."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Convolve = Callable[[Tensor, Tensor], Tensor]
"""Convolves a frame [B,C,H,W] with a kernel [C',C,k,k] → [B,C',H,W]."""


def convolve_zeros(frame: Tensor, kernel: Tensor) -> Tensor:
    """Convolve on a grid with zeros beyond its edges."""
    return F.conv2d(frame, kernel, padding=kernel.shape[-1] // 2)
