"""The definition of the norm of a sum of frames and what follows it, never optimised."""

import math

import torch
from torch import Tensor


def residual_norm(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float | Tensor = 1e-5,
    *,
    groups: int = 1,
    activation: str = "none",
) -> Tensor:
    """f((s − mean(s)) / √(var(s) + eps) ⊙ weight + bias) with s = x + update, [B,C,H,W].

    Over H×W with weight [H,W]; over groups of channels and H×W with weight [C].
    """
    s = x if update is None else x + update
    by_channel = weight.ndim == 1
    size = groups if by_channel else s.shape[1]
    parts = s.reshape(s.shape[0], size, s.shape[1] // max(size, 1), *s.shape[2:])
    centred = parts - parts.mean((2, 3, 4), keepdim=True)
    unit = centred / (centred.square().mean((2, 3, 4), keepdim=True) + eps).sqrt()
    if by_channel:
        weight, bias = weight[:, None, None], bias[:, None, None]
    z = unit.flatten(1, 2) * weight + bias
    if activation == "gelu":
        z = z / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return torch.where(z > 0, z, torch.expm1(z.clamp_max(0))) if activation == "elu" else z
