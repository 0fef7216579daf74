"""Forward and backward passes of the complex diagonal scan in PyTorch.

As those of `framecast.ops.scan.eager`: multiply-adds on preallocated memory, and a backward pass
that is a scan itself.
"""

import torch
from torch import Tensor

from framecast.ops.widening import widen


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    wide, previous = widen(b), widen(x0)
    lam_re, lam_im = _by_frame(lam_re, b), _by_frame(lam_im, b)
    x = torch.empty_like(wide)
    for t in range(b.shape[1]):
        _rotate(lam_re[:, t], lam_im[:, t], previous, wide[:, t], out=x[:, t])
        previous = x[:, t]
    return x.to(b.dtype)


def complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for Re λ, Im λ, b and x0: the scan of the gradients runs with the conjugate λ."""
    wide = widen(grad)
    re_by_frame, im_by_frame = _by_frame(lam_re, grad), -_by_frame(lam_im, grad)
    total = torch.empty_like(wide)
    total[:, -1] = wide[:, -1]
    for t in reversed(range(grad.shape[1] - 1)):
        lam = re_by_frame[:, t + 1], im_by_frame[:, t + 1]
        _rotate(*lam, total[:, t + 1], wide[:, t], out=total[:, t])
    return complex_diagonal_scan_gradients(total, lam_re, lam_im, x0, x)


def complex_diagonal_scan_gradients(
    total: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for Re λ, Im λ, b and x0, from what reaches each state from all later ones."""
    to_re, to_im = widen(total).chunk(2, dim=2)
    before = torch.cat([widen(x0).unsqueeze(1), widen(x)[:, :-1]], dim=1)
    re, im = before.chunk(2, dim=2)
    rest = [dim for dim in range(x.ndim) if dim > 2 or (dim < 2 and lam_re.ndim == 1)]
    grad_re, grad_im = to_re * re + to_im * im, to_im * re - to_re * im
    if rest:
        grad_re, grad_im = grad_re.sum(rest), grad_im.sum(rest)
    first_re, first_im = _by_frame(lam_re, x)[:, 0], _by_frame(lam_im, x)[:, 0]
    to_x0 = (
        first_re * to_re[:, 0] + first_im * to_im[:, 0],
        first_re * to_im[:, 0] - first_im * to_re[:, 0],
    )
    return grad_re, grad_im, total.to(x.dtype), torch.cat(to_x0, dim=1).to(x0.dtype)


def _rotate(lam_re: Tensor, lam_im: Tensor, x: Tensor, b: Tensor, out: Tensor) -> None:
    """Write λ ⊙ x + b to out, which is neither; x, b and out [B,2P,...] = [Re, Im]."""
    (re, im), (b_re, b_im), (to_re, to_im) = (part.chunk(2, dim=1) for part in (x, b, out))
    torch.addcmul(b_re, lam_re, re, out=to_re).addcmul_(lam_im, im, value=-1)
    torch.addcmul(b_im, lam_re, im, out=to_im).addcmul_(lam_im, re)


def _by_frame(lam: Tensor, b: Tensor) -> Tensor:
    """One value per channel, [P] or [B,T,P], as it multiplies b [B,T,2P,...]: [B,T,P,1,...]."""
    lam = lam.expand(*b.shape[:2], -1)
    return lam.view(*lam.shape, *[1] * (b.ndim - 3))
