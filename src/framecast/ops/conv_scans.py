"""Linear recurrences whose state moves through a convolution: x_t = A ∗ x_{t−1} + b_t.

Both scans are exact on periodic grids only: there the convolutions of many steps compose into one
(`conv_scan`), and are products in Fourier space (`spectral_conv_scan`). With zeros beyond the
edges neither holds: what leaves the grid in one step is lost before the next, which no single
kernel expresses, so that those grids must be stepped.

Kernels have the form of `torch.nn.functional.conv2d`'s weights, which it correlates with the
frames: depthwise [P,1,k,k] or dense [P,P,k,k], k odd. A result has the type of b and is computed
in float32 or better.

Source: ConvSSM (Smith et al. 2023) for the associative scan; the form in Fourier space and the
bound of `bounded_kernel` follow from the convolution theorem.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from framecast.ops.grid import wrap
from framecast.ops.kernels import library
from framecast.ops.scan import complex_diagonal_scan

Kernel = Float[Tensor, "P Q k k"]
Sequence = Float[Tensor, "B T P H W"]

GROWTH = 4
"""The arithmetic of a level of `conv_scan`, beside that of stepping, up to which it is used."""


def conv_scan(kernel: Kernel, b: Sequence, x0: Float[Tensor, "B P H W"]) -> Sequence:
    """Run x_t = A ∗ x_{t−1} + b_t on a periodic grid by the associative operator.

    Frames are combined in pairs, (a_i, b_i) • (a_j, b_j) = (a_j ∗ a_i, a_j ∗ b_i + b_j), the pairs
    in pairs, and so on: about 2 log₂ T convolutions instead of T, of kernels that grow. After
    s steps the kernel has n = s(k−1) + 1 cells a side, and its level costs n²/s multiplications
    a cell where stepping costs k². Levels are added while n² ≤ 4 s k² and the grid holds the
    kernel; what is left is stepped. A 1×1 kernel does not grow.

    Args:
        kernel: A, depthwise [P,1,k,k] or dense [P,P,k,k].
        b: inputs.
        x0: state before the first frame.

    Returns:
        The states x_1 … x_T.

    Raises:
        ValueError: if the shapes do not fit together, or T is 0.
    """
    _check("conv_scan", kernel, b, x0)
    wide = _widen(kernel, b)
    first = b[:, :1].to(wide) + _convolve(kernel.to(wide), x0.unsqueeze(1).to(wide))
    sequence = torch.cat([first, b[:, 1:].to(wide)], dim=1)
    return _combine(kernel.to(wide), sequence, 1, kernel.shape[-1]).to(b.dtype)


def spectral_conv_scan(kernel: Kernel, b: Sequence, x0: Float[Tensor, "B P H W"]) -> Sequence:
    """Run x_t = A ∗ x_{t−1} + b_t on a periodic grid in Fourier space; arguments as `conv_scan`.

    A convolution is a product at each frequency ω. Depthwise: x̂_t = λ(ω) x̂_{t−1} + b̂_t, one
    complex diagonal scan over all states and frequencies. Dense: λ(ω) is a P×P matrix, and each
    step one product batched over frequencies. (Chunks of time side by side, which give that
    product more vectors at twice the arithmetic, pay only for a single sequence of many
    states, and an eigenbasis of λ(ω) may be arbitrarily ill-conditioned.) The gradient of λ is
    one product over all of time.

    The transforms cost O(log HW) a cell and frame whatever the kernel's size.

    Raises:
        ValueError: if the shapes do not fit together, or T is 0.
    """
    _check("spectral_conv_scan", kernel, b, x0)
    wide = _widen(kernel, b)
    response = frequency_response(kernel.to(wide), *b.shape[-2:])
    states: Tensor = _SpectralScan.apply(  # type: ignore[no-untyped-call]
        response, b.to(wide), x0.to(wide)
    )
    return states.to(b.dtype)


def frequency_response(kernel: Kernel, height: int, width: int) -> Complex[Tensor, "P Q H _F"]:
    """By what a convolution on a periodic grid multiplies each frequency of `torch.fft.rfft2`.

    λ(ω) = Σ_δ a_δ e^{iωδ} over the offsets δ of the kernel's cells from its middle.
    """
    rows = _waves(height, height, kernel)
    columns = _waves(width, width // 2 + 1, kernel)
    response: Tensor = torch.einsum("hi,pqij,wj->pqhw", rows, kernel.to(rows.dtype), columns)
    return response


def bounded_kernel(weight: Kernel, bound: Float[Tensor, " P"]) -> Kernel:
    """Scale a kernel so that its recurrence is stable whatever the weights: A_δ = ρ W_δ / Σ_δ‖W_δ‖.

    ‖·‖ is a number's absolute value (depthwise, one sum for each channel) or a matrix's spectral
    norm (dense, one sum). Then |λ(ω)|, or ‖λ(ω)‖, is at most max ρ at every frequency of every
    grid; and, since each cell becomes a sum over cells, the largest state of a cell does not
    grow without input under any boundary padding that repeats cells or puts zeros. The bound
    is reached by a kernel of one cell and, depthwise, by one of equal signs (at ω = 0). Dense,
    it costs k² singular value decompositions of P×P matrices.

    Args:
        weight: W, any real numbers.
        bound: ρ of each state, between 0 and 1.
    """
    if weight.shape[1] == 1:
        norms = weight.abs().sum(dim=(1, 2, 3), keepdim=True)
    else:
        norms = torch.linalg.matrix_norm(weight.movedim((0, 1), (2, 3)), ord=2).sum()
    return weight * (bound.view(-1, 1, 1, 1) / norms.clamp_min(torch.finfo(norms.dtype).tiny))


# --- composed kernels ----------------------------------------------------------------------


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


# --- Fourier space -------------------------------------------------------------------------


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
    def forward(ctx: Any, response: Tensor, b: Tensor, x0: Tensor) -> Tensor:
        first = torch.fft.rfft2(x0)
        scan = _scan_diagonal if response.shape[1] == 1 else _scan_dense
        states = scan(response, torch.fft.rfft2(b), first)
        ctx.save_for_backward(response, first, states)
        ctx.grid = b.shape[-2:]
        frames: Tensor = torch.fft.irfft2(states, s=ctx.grid)
        return frames

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of λ, b and x0, from the last frame to the first."""
        response, first, states = ctx.saved_tensors
        height, width = ctx.grid
        back = _back_diagonal if response.shape[1] == 1 else _back_dense
        to_response, to_b, to_x0 = back(response, first, states, torch.fft.rfft2(grad))
        counted = grad.new_full((width // 2 + 1,), 2 / (height * width))
        counted[:: width if width % 2 else width // 2] /= 2
        to_b, to_x0 = (torch.fft.irfft2(x, s=ctx.grid) for x in (to_b, to_x0))
        return to_response * counted, to_b, to_x0


def _scan_diagonal(response: Tensor, inputs: Tensor, first: Tensor) -> Tensor:
    """Scan each state and frequency: response [P,1,H,F], inputs [B,T,P,H,F], first [B,P,H,F]."""
    lam = response.flatten()
    states = complex_diagonal_scan(lam.real, lam.imag, _stack(inputs), _stack(first))
    return torch.complex(*states.chunk(2, dim=2)).view_as(inputs)


def _back_diagonal(
    response: Tensor, first: Tensor, states: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    lam = response.flatten()
    to_re, to_im, *rest = library.complex_diagonal_scan_backward(
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


# --- arguments -----------------------------------------------------------------------------


def _widen(kernel: Tensor, b: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(kernel.dtype, b.dtype), torch.float32)


def _check(name: str, kernel: Tensor, b: Tensor, x0: Tensor) -> None:
    batch, time, channels, height, width = b.shape
    side = kernel.shape[-1]
    if kernel.shape[0] != channels or kernel.shape[1] not in (1, channels):
        raise ValueError(
            f"{name}: kernel {list(kernel.shape)} does not fit {channels} states: expected "
            f"[{channels}, 1, k, k] (depthwise) or [{channels}, {channels}, k, k] (dense)"
        )
    if kernel.shape[2] != side or side % 2 == 0 or side // 2 > min(height, width):
        raise ValueError(
            f"{name}: kernel {list(kernel.shape)} must be square, of an odd side, and reach no "
            f"further than the grid {height}×{width}"
        )
    if time == 0:
        raise ValueError(f"{name}: the sequence is empty (T = 0)")
    if list(x0.shape) != [batch, channels, height, width]:
        raise ValueError(f"{name}: state {list(x0.shape)} does not fit {list(b.shape)}")
