"""Continuous linear systems for state space models: where they start, and how they are sampled.

A diagonal system x'(t) = Λ ⊙ x(t) + B~ u(t) becomes x_k = Λ̄ ⊙ x_{k−1} + γ ⊙ (B~ u_k), which
`framecast.ops.complex_diagonal_scan` runs over time. Complex numbers are pairs of real tensors,
as there; only the initial values, which are computed once, are complex tensors.
"""

from typing import NamedTuple

import torch
from jaxtyping import Complex128, Float
from torch import Tensor

from framecast.ops.discretise.checks import check_sampling
from framecast.ops.widening import widen


class Diagonalised(NamedTuple):
    """A normal matrix of a conjugate-symmetric spectrum, by one half of its eigenvalues.

    The matrix is V diag(Λ) V⁻¹ plus its complex conjugate, and V⁻¹ is Vᴴ. Eigenvectors are
    defined up to a phase.
    """

    eigenvalues: Complex128[Tensor, " P"]
    vectors: Complex128[Tensor, "S P"]
    inverse: Complex128[Tensor, "P S"]


def hippo_normal(size: int, blocks: int = 1) -> Diagonalised:
    """HiPPO-N, the normal part of the HiPPO-LegS matrix, `blocks` times along the diagonal.

    With N = size / blocks: A_nk = −√(2n+1)√(2k+1) below the diagonal and −(n+1) on it;
    A + p pᵀ with p_n = √(n+½) is −½ I plus a skew-symmetric matrix, hence normal.

    Args:
        size: states S of the real system.
        blocks: equal blocks; S / blocks must be even.

    Returns:
        P = S/2 eigenvalues, those with negative imaginary part, in ascending order of it
        within each block; V [S,P] and V⁻¹ [P,S], block-diagonal.

    Raises:
        ValueError: if the size does not divide into blocks of an even number of states.

    Source: S5 (Smith et al. 2023), initialisation with HiPPO-N; ConvS5 (2023).
    """
    if blocks < 1 or size < 1 or size % (2 * blocks):
        raise ValueError(f"{size} states do not divide into {blocks} blocks of an even size")
    n = torch.arange(size // blocks, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    # Below the diagonal −rₙrₖ + pₙpₖ is −½ rₙrₖ, above it pₙpₖ is +½ rₙrₖ.
    skew = torch.outer(root, root) / 2
    skew = skew.triu(1) - skew.tril(-1)
    imaginary, vectors = torch.linalg.eigh(-1j * skew)
    half = len(n) // 2
    eigenvalues = torch.complex(torch.full_like(imaginary, -0.5), imaginary)[:half]
    # A copy: the strides of a single vector are no matrix's to `kron`.
    half_vectors = vectors[:, :half].clone(memory_format=torch.contiguous_format)
    v = torch.kron(torch.eye(blocks), half_vectors)
    return Diagonalised(eigenvalues.repeat(blocks), v, v.mH.contiguous())


class Discrete(NamedTuple):
    """One step of a sampled diagonal system: x_k = Λ̄ ⊙ x_{k−1} + γ ⊙ (B~ u_k)."""

    lam_re: Float[Tensor, "*steps P"]
    lam_im: Float[Tensor, "*steps P"]
    gain_re: Float[Tensor, "*steps P"]
    gain_im: Float[Tensor, "*steps P"]


def zero_order_hold(
    lam_re: Float[Tensor, " P"], lam_im: Float[Tensor, " P"], step: Float[Tensor, "*steps P"]
) -> Discrete:
    """Sample with the input held over each step, exact where it is constant: Λ̄ = e^{ΛΔ}.

    γ = Λ⁻¹(Λ̄ − 1), without cancellation where ΛΔ is small, and Δ where it vanishes.

    Args:
        lam_re: real part of Λ, at most 0 in a stable system.
        lam_im: imaginary part of Λ.
        step: Δ > 0 of each state, for all of time or (leading dimensions) for each frame.

    Raises:
        ValueError: if the shapes do not fit together.
        TypeError: if an argument does not hold floating-point numbers.

    Source: S5 (Smith et al. 2023); ConvS5 (2023).
    """
    check_sampling("zero_order_hold", lam_re, lam_im, step)
    dtype, step = torch.promote_types(lam_re.dtype, step.dtype), widen(step)
    re, im = lam_re * step, lam_im * step
    growth = re.exp()
    # e^z − 1 in parts that do not cancel: e^a − 1, and cos b − 1 = −2 sin²(b/2).
    less_re = re.expm1() * im.cos() - 2 * (im / 2).sin().square()
    mean_re, mean_im = _divide_unless_small(less_re, growth * im.sin(), re, im)
    parts = growth * im.cos(), growth * im.sin(), step * mean_re, step * mean_im
    return Discrete(*(x.to(dtype) for x in parts))


def bilinear(
    lam_re: Float[Tensor, " P"], lam_im: Float[Tensor, " P"], step: Float[Tensor, "*steps P"]
) -> Discrete:
    """Sample by the trapezoidal rule: Λ̄ = (1 + ΛΔ/2)/(1 − ΛΔ/2), γ = Δ/(1 − ΛΔ/2).

    Second order in Δ; stable wherever the continuous system is. Arguments are those of
    `zero_order_hold`.

    Source: S4 (Gu et al. 2022).
    """
    check_sampling("bilinear", lam_re, lam_im, step)
    dtype, step = torch.promote_types(lam_re.dtype, step.dtype), widen(step)
    re, im = lam_re * step / 2, lam_im * step / 2
    size = (1 - re).square() + im.square()
    inverse_re, inverse_im = (1 - re) / size, im / size
    parts = (
        (1 + re) * inverse_re - im * inverse_im,
        (1 + re) * inverse_im + im * inverse_re,
        step * inverse_re,
        step * inverse_im,
    )
    return Discrete(*(x.to(dtype) for x in parts))


def _divide_unless_small(
    less_re: Tensor, less_im: Tensor, re: Tensor, im: Tensor
) -> tuple[Tensor, Tensor]:
    """(e^z − 1)/z from its numerator and z = re + i·im; 1 + z/2 + z²/6 where z is small."""
    size = re.square() + im.square()
    small = size < torch.finfo(size.dtype).eps ** (2 / 3)
    safe = torch.where(small, 1, size)
    divided_re = (less_re * re + less_im * im) / safe
    divided_im = (less_im * re - less_re * im) / safe
    series_re = 1 + re / 2 + (re.square() - im.square()) / 6
    series_im = im / 2 + re * im / 3
    return torch.where(small, series_re, divided_re), torch.where(small, series_im, divided_im)
