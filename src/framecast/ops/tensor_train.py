"""Convolutional tensor-train: a sum of ever wider convolutions, held as a chain of small ones.

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
