"""Scans through convolutions in Fourier space, where a convolution is a product, in PyTorch."""

import math
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from framecast.ops.diagonal_scan import op


def spectral_conv_scan(kernel: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = A ∗ x_{t−1} + b_t by frequencies.  A [P,1,k,k] or [P,P,k,k], b [B,T,P,H,W]."""
    response = frequency_response(kernel, *b.shape[-2:])
    # Nothing of it is computed with, but in autograd's graph it stands for b and x0, which are
    # not kept.
    origin = torch.cat([b[:0].flatten(), x0[:0].flatten()])
    states: Tensor = _SpectralScan.apply(response, b, x0, origin)  # type: ignore[no-untyped-call]
    return states


def conv_steps(kernel: Tensor, steps: int, x: Tensor) -> Tensor:
    """Aⁿ ∗ x by frequencies.  A [P,1,k,k] or [P,P,k,k], x [B,P,H,W]."""
    response = frequency_response(kernel, *x.shape[-2:])
    states = torch.fft.rfft2(x)
    if response.shape[1] == 1:
        left = response[:, 0].pow(steps) * states
    else:
        power = torch.linalg.matrix_power(response.movedim((0, 1), (2, 3)), steps)
        left = torch.einsum("hwpq,bqhw->bphw", power, states)
    frames: Tensor = torch.fft.irfft2(left, s=x.shape[-2:])
    return frames


def frequency_response(
    kernel: Float[Tensor, "P Q k k"], height: int, width: int
) -> Complex[Tensor, "P Q H _F"]:
    """By what a convolution on a periodic grid multiplies each frequency of `torch.fft.rfft2`.

    λ(ω) = Σ_δ a_δ e^{iωδ} over the offsets δ of the kernel's cells from its middle.
    """
    rows = _waves(height, height, kernel)
    columns = _waves(width, width // 2 + 1, kernel)
    response: Tensor = torch.einsum("hi,pqij,wj->pqhw", rows, kernel.to(rows.dtype), columns)
    return response


def _waves(length: int, frequencies: int, kernel: Tensor) -> Tensor:
    """e^{iωδ} for frequencies of a periodic axis and offsets within the kernel."""
    wide = torch.promote_types(kernel.dtype, torch.complex64)
    offset = torch.arange(kernel.shape[-1], device=kernel.device) - kernel.shape[-1] // 2
    frequency = torch.arange(frequencies, device=kernel.device)
    # The whole turns go in integers: angles keep all their digits on large grids.
    turns = torch.outer(frequency, offset) % length
    angle = turns.to(kernel.dtype) * (2 * math.pi / length)
    return torch.polar(torch.ones_like(angle), angle).to(wide)


class _SpectralScan(torch.autograd.Function):
    """The states of x_t = λ x_{t−1} + b_t, from λ(ω) and real frames; and its gradient.

    The adjoint recurrence is one of the same kind, so that the gradients of b and x0 are
    transformed as the states are. The gradient of λ counts a frequency that stands for its
    conjugate too, which the half-spectrum of a real field leaves out, twice.
    """

    @staticmethod
    def forward(ctx: Any, response: Tensor, b: Tensor, x0: Tensor, origin: Tensor) -> Tensor:
        first = torch.fft.rfft2(x0)
        scan = _scan_diagonal if response.shape[1] == 1 else _scan_dense
        states = scan(response, torch.fft.rfft2(b), first)
        ctx.save_for_backward(response, first, states, origin)
        ctx.grid = b.shape[-2:]
        frames: Tensor = torch.fft.irfft2(states, s=ctx.grid)
        return frames

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of λ, b and x0, from the last frame to the first."""
        response, first, states, origin = ctx.saved_tensors
        with torch.no_grad():
            gradients = _gradients(response, first, states, grad, ctx.grid)
        if torch.is_grad_enabled():
            gradients = _Once.apply(response, grad, origin, *gradients)  # type: ignore[no-untyped-call]
        return *gradients, None


class _Once(torch.autograd.Function):
    """Passes gradients on, and refuses to be differentiated by what they depend on."""

    @staticmethod
    def forward(
        ctx: Any, response: Tensor, grad: Tensor, origin: Tensor, *gradients: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(x.clone() for x in gradients)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(
            "spectral_conv_scan has no second derivatives: use conv_scan, or compute within "
            '`with framecast.ops.dispatch.kernels("reference"):`'
        )


def _gradients(
    response: Tensor, first: Tensor, states: Tensor, grad: Tensor, grid: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    height, width = grid
    back = _back_diagonal if response.shape[1] == 1 else _back_dense
    to_response, to_b, to_x0 = back(response, first, states, torch.fft.rfft2(grad))
    counted = grad.new_full((width // 2 + 1,), 2 / (height * width))
    counted[:: width if width % 2 else width // 2] /= 2
    to_b, to_x0 = (torch.fft.irfft2(x, s=grid) for x in (to_b, to_x0))
    return to_response * counted, to_b, to_x0


def _scan_diagonal(response: Tensor, inputs: Tensor, first: Tensor) -> Tensor:
    """Scan each state and frequency: response [P,1,H,F], inputs [B,T,P,H,F], first [B,P,H,F]."""
    lam = response.flatten()
    states = op.complex_diagonal_scan(lam.real, lam.imag, _stack(inputs), _stack(first))
    return torch.complex(*states.chunk(2, dim=2)).view_as(inputs)


def _back_diagonal(
    response: Tensor, first: Tensor, states: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    lam = response.flatten()
    to_re, to_im, *rest = op.complex_diagonal_scan_backward(
        _stack(grad), lam.real, lam.imag, _stack(first), _stack(states)
    )
    to_inputs, to_first = (torch.complex(*x.chunk(2, dim=-1)) for x in rest)
    to_response = torch.complex(to_re, to_im).view_as(response)
    return to_response, to_inputs.view_as(states), to_first.view_as(first)


def _stack(x: Tensor) -> Tensor:
    """Complex [...,P,H,F] as real [..., 2·P·H·F], all real parts first."""
    return torch.cat([x.real, x.imag], dim=-3).flatten(-3)


def _scan_dense(response: Tensor, inputs: Tensor, first: Tensor) -> Tensor:
    """Scan with a matrix for each frequency: response [P,P,H,F], otherwise as the diagonal one."""
    matrix, b = _matrices(response), _vectors(inputs)
    x, states = _vectors(first.unsqueeze(1))[0], torch.empty_like(b)
    for t in range(b.shape[0]):
        x = torch.baddbmm(b[t], matrix, x, out=states[t])
    return _frames(states, inputs)


def _back_dense(
    response: Tensor, first: Tensor, states: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    adjoint = response.transpose(0, 1).conj()
    to_inputs = _scan_dense(adjoint, grad.flip(1), torch.zeros_like(first)).flip(1)
    to_first = _scan_dense(adjoint, torch.zeros_like(grad[:, :1]), to_inputs[:, 0])
    previous = torch.cat([first.unsqueeze(1), states[:, :-1]], dim=1)
    left, right = (_vectors(x).permute(1, 2, 0, 3).flatten(2) for x in (to_inputs, previous))
    to_response = (left @ right.mH).permute(1, 2, 0).reshape(response.shape)
    return to_response, to_inputs, to_first[:, 0]


def _matrices(response: Tensor) -> Tensor:
    """[P,P,H,F] as matrices [H·F, P, P]."""
    return response.flatten(2).permute(2, 0, 1).contiguous()


def _vectors(frames: Tensor) -> Tensor:
    """[B,T,P,H,F] as vectors [T, H·F, P, B]: what a step multiplies lies together."""
    return frames.flatten(3).permute(1, 3, 2, 0).contiguous()


def _frames(vectors: Tensor, like: Tensor) -> Tensor:
    return vectors.permute(3, 0, 2, 1).reshape(like.shape)
