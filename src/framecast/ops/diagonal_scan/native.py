"""Forward and backward passes of the complex diagonal scan in compiled code, for CPUs.

The functions have the names, arguments and results of those in `eager.py`.
"""

import math

import torch
from torch import Tensor

from framecast.ops import layout, library
from framecast.ops.library import HEADER, INT, POINTER

_complex_scan = library.function("complex_scan", *HEADER, INT, *[POINTER] * 5)
_complex_scan_backward = library.function("complex_scan_backward", *HEADER, INT, *[POINTER] * 9)


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    x = torch.empty_like(b)
    tensors = _header(b, lam_re)
    _complex_scan(*tensors, *[y.data_ptr() for y in (lam_re, lam_im, b, x0, x)])
    return x


def complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for Re λ, Im λ, b and x0."""
    inputs = grad, lam_re, lam_im, x0, x
    results = (
        torch.empty_like(lam_re),
        torch.empty_like(lam_im),
        torch.empty_like(x),
        torch.empty_like(x0),
    )
    tensors = _header(x, lam_re)
    _complex_scan_backward(*tensors, *[y.data_ptr() for y in (*inputs, *results)])
    return results


def _header(x: Tensor, lam: Tensor) -> tuple[int, ...]:
    """As `library.sequence_header`, then whether there is a λ for each frame.

    Channels without pixels are taken as the channels of one pixel.
    """
    last = layout.is_channels_last(x) or math.prod(x.shape[3:]) == 1
    return *library.sequence_header(x, lam.shape[-1], last), lam.ndim > 1
