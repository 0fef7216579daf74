"""Forward and backward passes of the pointwise half of an LSTM step in compiled code, for CPUs.

The functions have the names, arguments and results of those in `eager.py`.
"""

import torch
from torch import Tensor

from framecast.ops import library
from framecast.ops.library import HEADER, POINTER

_lstm_cell = library.function("lstm_cell", *HEADER, *[POINTER] * 4)
_lstm_cell_backward = library.function("lstm_cell_backward", *HEADER, *[POINTER] * 6)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The state (h', c') after one step; gates [B,4C,...] = [i, f, o, g], c [B,C,...]."""
    h, next_c = torch.empty_like(c), torch.empty_like(c)
    tensors = library.frame_header(gates, c.shape[1])
    _lstm_cell(*tensors, gates.data_ptr(), c.data_ptr(), h.data_ptr(), next_c.data_ptr())
    return h, next_c


def lstm_cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and c; everything between is computed again, not kept."""
    results = torch.empty_like(gates), torch.empty_like(c)
    tensors = library.frame_header(gates, c.shape[1])
    inputs = grad_h, grad_next_c, gates, c
    _lstm_cell_backward(*tensors, *[x.data_ptr() for x in (*inputs, *results)])
    return results
