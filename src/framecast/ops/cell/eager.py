"""Forward and backward passes of the pointwise half of an LSTM step in PyTorch."""

import torch
from torch import Tensor

from framecast.ops.widening import widen


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The state (h', c') after one step; gates [B,4C,...] = [i, f, o, g], c [B,C,...]."""
    i, f, o, g = widen(gates).chunk(4, dim=1)
    next_c = torch.sigmoid(f).mul_(widen(c)).add_(torch.sigmoid(i).mul_(torch.tanh(g)))
    h = torch.sigmoid(o).mul_(torch.tanh(next_c))
    return h.to(gates.dtype), next_c.to(gates.dtype)


def lstm_cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and c; everything between is computed again, not kept."""
    *pre, g_pre = widen(gates).chunk(4, dim=1)
    i, f, o = (torch.sigmoid(x) for x in pre)
    g, before = torch.tanh(g_pre), widen(c)
    tanh_c = torch.tanh(f * before + i * g)
    to_h = widen(grad_h)
    to_c = widen(grad_next_c) + to_h * o * (1 - tanh_c.square())
    grads = [
        to_c * g * i * (1 - i),
        to_c * before * f * (1 - f),
        to_h * tanh_c * o * (1 - o),
        to_c * i * (1 - g.square()),
    ]
    return torch.cat(grads, dim=1).to(gates.dtype), (to_c * f).to(c.dtype)
