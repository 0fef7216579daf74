"""The definitions of tensor-trains of convolution kernels: sums term by term, never optimised."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Convolve = Callable[[Tensor, Tensor], Tensor]
"""Convolves a frame [B,C,H,W] with a kernel [C',C,k,k] → [B,C',H,W]."""


def convolve_zeros(frame: Tensor, kernel: Tensor) -> Tensor:
    """Convolve on a grid with zeros beyond its edges."""
    return F.conv2d(frame, kernel, padding=kernel.shape[-1] // 2)


def conv_tensor_train(
    states: Sequence[Tensor], factors: Sequence[Tensor], convolve: Convolve
) -> Tensor:
    """Sum over i of G(1) ∗ (G(2) ∗ ... (G(i) ∗ H(i))): each state through a chain of its own."""
    terms = []
    for i, state in enumerate(states):
        for factor in reversed(factors[: i + 1]):
            state = convolve(state, factor)
        terms.append(state)
    return torch.stack(terms).sum(0)


def conv_tensor_train_reconstructed(
    states: Sequence[Tensor], factors: Sequence[Tensor], convolve: Convolve
) -> Tensor:
    """Sum over i of K(i) ∗ H(i) with whole kernels (Eq. 9)."""
    kernels = reconstruct_kernels(factors)
    terms = [convolve(state, kernel) for state, kernel in zip(states, kernels, strict=True)]
    return torch.stack(terms).sum(0)


def reconstruct_kernels(factors: Sequence[Tensor]) -> list[Tensor]:
    """K(i) = G(i) ∗ K(i−1), one cell of G(i) after the other (Eq. 8 and 17)."""
    kernels = [factors[0]]
    for factor in factors[1:]:
        side = factor.shape[-1]
        total: Tensor | None = None
        for y in range(side):
            for x in range(side):
                moved = F.pad(kernels[-1], (x, side - 1 - x, y, side - 1 - y))
                term = torch.einsum("abij,bc->acij", moved, factor[:, :, y, x])
                total = term if total is None else total + term
        assert total is not None
        kernels.append(total)
    return kernels


def train_matrices(cores: Sequence[Tensor]) -> Tensor:
    """Σ over all ranks of the product of cores [R(i−1),R(i),T(i),S(i)], in one sum (Eq. 13)."""
    order = len(cores)
    operands: list[Tensor | list[int]] = []
    for i, core in enumerate(cores):
        operands += [core, [i, i + 1, order + 1 + i, 2 * order + 1 + i]]
    whole = torch.einsum(*operands, [0, *range(order + 1, 3 * order + 1)])
    return whole.flatten(order + 1).flatten(1, order)


def tensor_train_conv(frames: Tensor, filters: Tensor, matrices: Tensor) -> Tensor:
    """Convolve with the whole kernel Σ_r matrices[r] ⊗ filters[r]."""
    kernel = frames.new_zeros(())
    for matrix, taps in zip(matrices, filters, strict=True):
        kernel = kernel + matrix[:, :, None, None] * taps
    return F.conv2d(frames, kernel)
