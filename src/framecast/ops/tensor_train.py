"""Tensor-trains of convolution kernels, contracted without building the kernels.

The convolutional one is a sum of ever wider convolutions, held as a chain of small ones; the
classic one a single kernel, held as filters and a chain of arrays over factors of its channels.

Source: Convolutional Tensor-Train LSTM for Spatio-Temporal Learning (2020), section 3.2 and
appendix A, whose numbers of equations and algorithms are used here.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Convolve = Callable[[Tensor, Tensor], Tensor]
"""Convolves a frame [B,C,H,W] with a kernel [C',C,k,k] → [B,C',H,W]."""

SPARSE = 32
"""Time of a multiplication of a filter on one channel, in those of a convolution that mixes
channels, forward and backward on a CPU: the former waits for memory."""


def convolve_zeros(frame: Tensor, kernel: Tensor) -> Tensor:
    """Convolve on a grid with zeros beyond its edges."""
    return F.conv2d(frame, kernel, padding=kernel.shape[-1] // 2)


def conv_tensor_train(
    states: Sequence[Float[Tensor, "B _C H W"]],
    factors: Sequence[Float[Tensor, "_D _C k k"]],
    convolve: Convolve = convolve_zeros,
) -> Float[Tensor, "B _C0 H W"]:
    """Sum over i of K(i) ∗ H(i), where K(i) = G(1) ∗ ... ∗ G(i) is never built (Algorithm 2).

    From the last state to the first, V(i−1) = G(i) ∗ (V(i) + H(i)) with V(N) = 0, and V(0) is
    the sum (Eq. 16): N small convolutions, where the kernels K(i) would cost N³.

    Args:
        states: H(1), ..., H(N), frames of C(i) channels on one grid.
        factors: G(1), ..., G(N), kernels [C(i−1),C(i),k,k] of odd side k.
        convolve: how a frame is convolved with a kernel; it must keep the grid. With zeros
            beyond the edges, each of the N convolutions cuts what the one before would put
            there, so that the sum equals the one with whole kernels at a distance of
            N(k−1)/2 from the edges; on a periodic grid it does so everywhere.

    Raises:
        ValueError: if there are not as many factors as states, or channels do not fit.
    """
    _check(states, factors)
    total: Tensor | None = None
    for state, factor in zip(reversed(states), reversed(factors), strict=True):
        total = convolve(state if total is None else total + state, factor)
    assert total is not None
    return total


def conv_tensor_train_reconstructed(
    states: Sequence[Float[Tensor, "B _C H W"]],
    factors: Sequence[Float[Tensor, "_D _C k k"]],
    convolve: Convolve = convolve_zeros,
) -> Float[Tensor, "B _C0 H W"]:
    """Sum over i of K(i) ∗ H(i) with whole kernels: the definition (Eq. 9, Algorithm 1).

    Arguments and errors are those of `conv_tensor_train`. The work grows with N³, since the
    side of K(i) grows with i.
    """
    _check(states, factors)
    kernels = reconstruct_kernels(factors)
    terms = [convolve(state, kernel) for state, kernel in zip(states, kernels, strict=True)]
    return torch.stack(terms).sum(0)


def reconstruct_kernels(factors: Sequence[Float[Tensor, "_D _C k k"]]) -> list[Tensor]:
    """Build K(1), ..., K(N) from the factors, K(i) = G(i) ∗ K(i−1) (Eq. 8 and 17).

    Returns:
        Kernels [C(0),C(i),K(i),K(i)] of side K(i) = i(k−1) + 1.
    """
    kernels = [factors[0]]
    for factor in factors[1:]:
        # A convolution in PyTorch is a correlation: composing two convolves their kernels,
        # which is correlating one with the other flipped.
        flipped = factor.flip(-2, -1).transpose(0, 1)
        kernels.append(F.conv2d(kernels[-1], flipped, padding=factor.shape[-1] - 1))
    return kernels


def _check(states: Sequence[Tensor], factors: Sequence[Tensor]) -> None:
    if not states or len(states) != len(factors):
        raise ValueError(
            f"conv_tensor_train: {len(states)} states and {len(factors)} factors: expected one "
            "factor for each state, and at least one"
        )
    below = factors[0].shape[0]
    for i, (state, factor) in enumerate(zip(states, factors, strict=True), start=1):
        expected = [below, state.shape[1]]
        if list(factor.shape[:2]) != expected:
            raise ValueError(
                f"conv_tensor_train: factor {i} maps {factor.shape[1]} channels to "
                f"{factor.shape[0]}, expected {expected[1]} (of state {i}) to {expected[0]}"
            )
        below = factor.shape[1]


def train_matrices(cores: Sequence[Float[Tensor, "_A _B _T _S"]]) -> Float[Tensor, "R0 T S"]:
    """Contract the channel cores of a classic tensor-train (Eq. 13).

    Args:
        cores: G(1), ..., G(N−1), where G(i) is [R(i−1),R(i),T(i),S(i)], and the last rank is 1.

    Returns:
        A matrix [C_out,C_in] for each of the R(0) filters; C_out is the product of all T(i), C_in
        of all S(i), the first factor the slowest index.
    """
    matrices = cores[-1].squeeze(1)
    for core in reversed(cores[:-1]):
        product = torch.einsum("abts,buv->atusv", core, matrices)
        matrices = product.flatten(3, 4).flatten(1, 2)
    return matrices


def tensor_train_conv(
    frames: Float[Tensor, "B S _H _W"],
    filters: Float[Tensor, "R0 k k"],
    matrices: Float[Tensor, "R0 T S"],
) -> Float[Tensor, "B T _h _w"]:
    """Convolve with the kernel Σ_r matrices[r] ⊗ filters[r], built only where that is cheaper.

    Args:
        frames: already continued beyond their edges: the result is k − 1 cells smaller.
        filters: R(0) filters of odd side k.
        matrices: what each filter does to channels (see `train_matrices`).
    """
    ranks, outputs, inputs = matrices.shape
    taps = filters[0].numel()
    if inputs * ranks * (SPARSE * taps + outputs) < inputs * outputs * taps:
        # All filters on every channel, then channels are mixed: no kernel [T,S,k,k].
        filtered = F.conv2d(frames, filters[:, None].repeat(inputs, 1, 1, 1), groups=inputs)
        return F.conv2d(filtered, matrices.permute(1, 2, 0).flatten(1)[..., None, None])
    kernel = torch.einsum("rij,rts->tsij", filters, matrices)
    return F.conv2d(frames, kernel.contiguous(memory_format=torch.channels_last))
