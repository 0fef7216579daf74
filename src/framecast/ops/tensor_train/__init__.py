"""Tensor-trains of convolution kernels, contracted without building the kernels.

The convolutional one is a sum of ever wider convolutions, held as a chain of small ones; the
classic one a single kernel, held as filters and a chain of arrays over factors of its channels.
Each function has a definition (`definition.py`) and PyTorch code that shares work (`eager.py`),
differentiated by autograd.

Source: Convolutional Tensor-Train LSTM for Spatio-Temporal Learning (2020), section 3.2 and
appendix A, whose numbers of equations and algorithms are used here.
"""

from collections.abc import Sequence
from types import ModuleType

from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.tensor_train import definition, eager
from framecast.ops.tensor_train.checks import (
    check_conv_tensor_train,
    check_factors,
    check_tensor_train_conv,
    check_train_matrices,
)
from framecast.ops.tensor_train.definition import Convolve, convolve_zeros

__all__ = [
    "Convolve",
    "conv_tensor_train",
    "conv_tensor_train_reconstructed",
    "convolve_zeros",
    "reconstruct_kernels",
    "tensor_train_conv",
    "train_matrices",
]


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
        ValueError: if there are not as many factors as states, or shapes do not fit.
        TypeError: if they do not hold floating-point numbers of one type.
    """
    check_conv_tensor_train("conv_tensor_train", states, factors)
    result: Tensor = _code().conv_tensor_train(states, factors, convolve)
    return result


def conv_tensor_train_reconstructed(
    states: Sequence[Float[Tensor, "B _C H W"]],
    factors: Sequence[Float[Tensor, "_D _C k k"]],
    convolve: Convolve = convolve_zeros,
) -> Float[Tensor, "B _C0 H W"]:
    """Sum over i of K(i) ∗ H(i) with whole kernels: the sum as it is defined (Eq. 9, Algorithm 1).

    Arguments and errors are those of `conv_tensor_train`. The work grows with N³, since the
    side of K(i) grows with i.
    """
    check_conv_tensor_train("conv_tensor_train_reconstructed", states, factors)
    result: Tensor = _code().conv_tensor_train_reconstructed(states, factors, convolve)
    return result


def reconstruct_kernels(factors: Sequence[Float[Tensor, "_D _C k k"]]) -> list[Tensor]:
    """Build K(1), ..., K(N) from the factors, K(i) = G(i) ∗ K(i−1) (Eq. 8 and 17).

    Returns:
        Kernels [C(0),C(i),K(i),K(i)] of side K(i) = i(k−1) + 1.

    Raises:
        ValueError: if there is no factor, or the channels of two neighbours differ.
        TypeError: if they do not hold floating-point numbers of one type.
    """
    check_factors("reconstruct_kernels", factors)
    kernels: list[Tensor] = _code().reconstruct_kernels(factors)
    return kernels


def train_matrices(cores: Sequence[Float[Tensor, "_A _B _T _S"]]) -> Float[Tensor, "R0 T S"]:
    """Contract the channel cores of a classic tensor-train (Eq. 13).

    Args:
        cores: G(1), ..., G(N−1), where G(i) is [R(i−1),R(i),T(i),S(i)], and the last rank is 1.

    Returns:
        A matrix [C_out,C_in] for each of the R(0) filters; C_out is the product of all T(i), C_in
        of all S(i), the first factor the slowest index.

    Raises:
        ValueError: if there is no core, or the ranks of two neighbours differ.
        TypeError: if they do not hold floating-point numbers of one type.
    """
    check_train_matrices(cores)
    matrices: Tensor = _code().train_matrices(cores)
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

    Raises:
        ValueError: if the shapes do not fit together, or a filter is larger than the frames.
        TypeError: if they do not hold floating-point numbers of one type.
    """
    check_tensor_train_conv(frames, filters, matrices)
    result: Tensor = _code().tensor_train_conv(frames, filters, matrices)
    return result


def _code() -> ModuleType:
    return definition if dispatch.uses_definitions() else eager
