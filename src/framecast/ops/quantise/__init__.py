"""Vectors replaced by one of a few: by a codebook, or level by level.

Vector quantisation: van den Oord, Vinyals, Kavukcuoglu, Neural Discrete Representation Learning,
2017; with unit vectors: Yu et al., Vector-quantized Image Modeling with Improved VQGAN, 2022.
Finite scalar quantisation: Mentzer et al., Finite Scalar Quantization: VQ-VAE Made Simple, 2024.
"""

from collections.abc import Sequence
from types import ModuleType

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.checks import check_floats, check_one_type
from framecast.ops.quantise import definition, eager

__all__ = ["finite_scalar", "finite_scalar_vectors", "nearest_codes", "straight_through"]


def nearest_codes(
    vectors: Float[Tensor, "*any D"], codebook: Float[Tensor, "K D"]
) -> Int64[Tensor, "*any"]:
    """Return which row of a codebook is at the least Euclidean distance from each vector.

    Between unit vectors, this is the row of the greatest cosine.

    Args:
        vectors: any number.
        codebook: K rows, at least one.

    Raises:
        ValueError: if the codebook has no rows, or rows of another length than the vectors.
        TypeError: if they do not hold floating-point numbers of one type.
    """
    check_one_type("nearest_codes", vectors=vectors, codebook=codebook)
    if codebook.ndim != 2 or not len(codebook) or vectors.shape[-1:] != codebook.shape[1:]:
        raise ValueError(
            f"nearest_codes: a codebook {list(codebook.shape)} does not fit vectors "
            f"{list(vectors.shape)}: expected [codes, {vectors.shape[-1]}], at least one code"
        )
    rows = vectors.detach().reshape(-1, vectors.shape[-1])
    found: Tensor = _code().nearest_codes(rows, codebook.detach())
    return found.reshape(vectors.shape[:-1])


def straight_through(
    values: Float[Tensor, "*any"], quantised: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """Return quantised values, whose gradient is handed to the values that they stand for.

    Args:
        values: what was quantised.
        quantised: of the same shape; no gradient reaches it from here.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if they do not hold floating-point numbers of one type.
    """
    check_one_type("straight_through", values=values, quantised=quantised)
    if values.shape != quantised.shape:
        raise ValueError(
            f"straight_through: quantised values {list(quantised.shape)} do not stand for values "
            f"{list(values.shape)}"
        )
    through: Tensor = _code().straight_through(values, quantised)
    return through


def finite_scalar(
    values: Float[Tensor, "*any D"], levels: Sequence[int]
) -> tuple[Float[Tensor, "*any D"], Int64[Tensor, "*any"]]:
    """Round each channel to one of its levels, which lie evenly in [−1, 1].

    An even number of levels has none at 1. The gradient is that of the tanh which comes before the
    rounding.

    Args:
        values: of any size.
        levels: L₁ ... L_D, how many there are of each channel, each at least 2.

    Returns:
        The rounded values; and the code of each vector, below L₁·...·L_D, in which the first
        channel counts least.

    Raises:
        ValueError: if there are not as many numbers of levels as channels, or one is below 2.
        TypeError: if values are no floating-point numbers.
    """
    check_floats("finite_scalar", values=values)
    _check_levels(levels, values.shape[-1])
    rows = values.reshape(-1, values.shape[-1])
    rounded, codes = _code().finite_scalar(rows, list(levels))
    return rounded.reshape(values.shape), codes.reshape(values.shape[:-1])


def finite_scalar_vectors(
    codes: Int64[Tensor, "*any"], levels: Sequence[int]
) -> Float[Tensor, "*any D"]:
    """Return the vectors that codes of `finite_scalar` stand for.

    Raises:
        ValueError: if a number of levels is below 2.
    """
    _check_levels(levels, len(levels))
    counts = torch.tensor(levels, device=codes.device)
    places = codes[..., None] // eager.bases(levels, codes.device) % counts
    return (places - counts // 2) / (counts // 2)


def _check_levels(levels: Sequence[int], channels: int) -> None:
    if len(levels) != channels or not levels or min(levels) < 2:
        raise ValueError(
            f"finite_scalar: levels {list(levels)} must be {channels} numbers, one for each "
            "channel, each at least 2"
        )


def _code() -> ModuleType:
    return definition if dispatch.uses_definitions() else eager
