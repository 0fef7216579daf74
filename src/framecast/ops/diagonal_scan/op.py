"""The complex diagonal scan as a `torch.library` op: kernels, rules for shapes and gradients."""

from typing import Any

import torch
from torch import Tensor

from framecast.ops import layout
from framecast.ops.diagonal_scan import eager, native
from framecast.ops.diagonal_scan.checks import (
    check_complex_diagonal_scan,
    check_complex_diagonal_scan_backward,
)
from framecast.ops.dispatch import Kernels
from framecast.ops.registration import (
    define,
    differentiate,
    differentiate_again,
    past_autograd,
)

_kernel = Kernels(eager, native, "framecast.ops.diagonal_scan.triton")


def _complex(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    last = layout.is_channels_last(b)
    scan = _kernel(b, "complex_diagonal_scan")
    lam = lam_re.contiguous(), lam_im.contiguous()
    return layout.sequence(scan(*lam, layout.sequence(b, last), layout.frame(x0, last)), last)


def _complex_shapes(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    return torch.empty_like(layout.sequence(b, layout.is_channels_last(b)))


def _complex_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    last = layout.is_channels_last(x)
    backward = _kernel(x, "complex_diagonal_scan_backward")
    lam = lam_re.contiguous(), lam_im.contiguous()
    grad_re, grad_im, grad_b, grad_x0 = backward(
        layout.sequence(grad, last), *lam, layout.frame(x0, last), layout.sequence(x, last)
    )
    grads = grad_re.contiguous(), grad_im.contiguous()
    return *grads, layout.sequence(grad_b, last), layout.frame(grad_x0, last)


def _complex_backward_shapes(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lam = lam_re.new_empty(lam_re.shape), lam_im.new_empty(lam_im.shape)
    last = layout.is_channels_last(x)
    sequence, state = layout.sequence(x, last), layout.frame(x0, last)
    return *lam, torch.empty_like(sequence), torch.empty_like(state)


def _keep_complex(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    lam_re, lam_im, _, x0 = inputs
    ctx.save_for_backward(lam_re, lam_im, x0, output)


def _complex_again(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, ...]:
    # What reaches a state from all later ones is a scan from the last to the first, with the
    # conjugate of λ.
    later = [lam_re, -lam_im]
    if lam_re.ndim > 1:
        later = [torch.cat([torch.zeros_like(y[:, :1]), y[:, 1:].flip(1)], dim=1) for y in later]
    total = complex_diagonal_scan(*later, grad.flip(1), torch.zeros_like(x0)).flip(1)
    return eager.complex_diagonal_scan_gradients(total, lam_re, lam_im, x0, x)


complex_diagonal_scan = define(
    "complex_diagonal_scan", _complex, _complex_shapes, check_complex_diagonal_scan
)
complex_diagonal_scan_backward = define(
    "complex_diagonal_scan_backward",
    _complex_backward,
    _complex_backward_shapes,
    check_complex_diagonal_scan_backward,
)
_backward = past_autograd(complex_diagonal_scan_backward)
differentiate(
    "complex_diagonal_scan",
    lambda ctx, grad: _backward(grad, *ctx.saved_tensors),
    _keep_complex,
)
differentiate_again("complex_diagonal_scan_backward", _complex_again)
