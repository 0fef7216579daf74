"""Tensor-trains in PyTorch, with as little work as their factors allow."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.ops.tensor_train.definition import Convolve

SPARSE = 32
"""Time of a multiplication of a filter on one channel, in those of a convolution that mixes
channels, forward and backward on a CPU: the former waits for memory."""


def conv_tensor_train(
    states: Sequence[Tensor], factors: Sequence[Tensor], convolve: Convolve
) -> Tensor:
    """Sum over i of G(1) ∗ ... ∗ G(i) ∗ H(i), from the last state to the first (Algorithm 2)."""
    total: Tensor | None = None
    for state, factor in zip(reversed(states), reversed(factors), strict=True):
        total = convolve(state if total is None else total + state, factor)
    assert total is not None
    return total


def conv_tensor_train_reconstructed(
    states: Sequence[Tensor], factors: Sequence[Tensor], convolve: Convolve
) -> Tensor:
    """Sum over i of K(i) ∗ H(i) with whole kernels (Eq. 9, Algorithm 1)."""
    kernels = reconstruct_kernels(factors)
    terms = [convolve(state, kernel) for state, kernel in zip(states, kernels, strict=True)]
    return torch.stack(terms).sum(0)


def reconstruct_kernels(factors: Sequence[Tensor]) -> list[Tensor]:
    """K(i) = G(i) ∗ K(i−1) as convolutions of kernels (Eq. 8 and 17)."""
    kernels = [factors[0]]
    for factor in factors[1:]:
        # A convolution in PyTorch is a correlation: composing two convolves their kernels,
        # which is correlating one with the other flipped.
        flipped = factor.flip(-2, -1).transpose(0, 1)
        kernels.append(F.conv2d(kernels[-1], flipped, padding=factor.shape[-1] - 1))
    return kernels


def train_matrices(cores: Sequence[Tensor]) -> Tensor:
    """Contract cores [R(i−1),R(i),T(i),S(i)] from the last to the first (Eq. 13)."""
    matrices = cores[-1].squeeze(1)
    for core in reversed(cores[:-1]):
        product = torch.einsum("abts,buv->atusv", core, matrices)
        matrices = product.flatten(3, 4).flatten(1, 2)
    return matrices


def tensor_train_conv(frames: Tensor, filters: Tensor, matrices: Tensor) -> Tensor:
    """Convolve with Σ_r matrices[r] ⊗ filters[r], built only where that is cheaper."""
    ranks, outputs, inputs = matrices.shape
    taps = filters[0].numel()
    if inputs * ranks * (SPARSE * taps + outputs) < inputs * outputs * taps:
        # All filters on every channel, then channels are mixed: no kernel [T,S,k,k].
        filtered = F.conv2d(frames, filters[:, None].repeat(inputs, 1, 1, 1), groups=inputs)
        return F.conv2d(filtered, matrices.permute(1, 2, 0).flatten(1)[..., None, None])
    kernel = torch.einsum("rij,rts->tsij", filters, matrices)
    return F.conv2d(frames, kernel.contiguous(memory_format=torch.channels_last))
