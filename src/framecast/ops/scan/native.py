"""Forward and backward passes of the recurrences in compiled code, for CPUs.

The functions have the names, arguments and results of those in `eager.py`; the tensors must be
dense in one of the two layouts of `framecast.ops.layout`, the same for all.
"""

import math

import torch
from torch import Tensor

from framecast.ops import layout, library
from framecast.ops.library import HEADER, INT, POINTER

_SCANS = {"linear_scan": 0, "min_gru_scan": 1, "min_lstm_scan": 2, "min_exp_lstm_scan": 3}
_scan = library.function("scan", *HEADER, INT, *[POINTER] * 4)
_scan_backward = library.function("scan_backward", *HEADER, INT, *[POINTER] * 7)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t.  a, b [B,T,...], h0 [B,...] → h [B,T,...] in b's dtype."""
    h = torch.empty_like(b)
    _scan(*_linear_header(b), a.data_ptr(), b.data_ptr(), h0.data_ptr(), h.data_ptr())
    return h


def linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from the gradient of h and h itself."""
    results = torch.empty_like(a), torch.empty_like(a), torch.empty_like(h0)
    _scan_backward(*_linear_header(a), *[x.data_ptr() for x in (grad, a, h0, h, *results)])
    return results


def gated_scan(kind: str, gates: Tensor, h0: Tensor) -> Tensor:
    """The gated scan named `kind`.  gates [B,T,parts·C,...], h0 [B,C,...] → h [B,T,C,...]."""
    channels, channels_last = h0.shape[1], layout.is_channels_last(gates)
    h = layout.empty_sequence(gates, channels, channels_last)
    tensors = library.sequence_header(gates, channels, channels_last)
    _scan(*tensors, _SCANS[kind], gates.data_ptr(), None, h0.data_ptr(), h.data_ptr())
    return h


def gated_scan_backward(
    kind: str, grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and h0; the gates' activations are computed again, not kept."""
    grad_gates, grad_h0 = torch.empty_like(gates), torch.empty_like(h0)
    tensors = library.sequence_header(gates, h0.shape[1], layout.is_channels_last(gates))
    inputs = grad.data_ptr(), gates.data_ptr(), h0.data_ptr(), h.data_ptr()
    results = grad_gates.data_ptr(), None, grad_h0.data_ptr()
    _scan_backward(*tensors, _SCANS[kind], *inputs, *results)
    return grad_gates, grad_h0


def _linear_header(x: Tensor) -> tuple[int, ...]:
    """As `library.sequence_header`, then the name: elementwise in all of space, in any layout."""
    batch, time, *rest = x.shape
    sizes = batch, time, 1, math.prod(rest)
    return library.DTYPES[x.dtype], False, torch.get_num_threads(), *sizes, _SCANS["linear_scan"]
