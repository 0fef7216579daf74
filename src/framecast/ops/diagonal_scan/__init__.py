"""The complex diagonal recurrence over time: checks of the arguments, and the choice of kernels.

Defined by the plain loop in `definition.py`; the fast kernels are a `torch.library` op (`op.py`).
Results take the layout of b, contiguous or channels-last; sums are accumulated in float32 or
better.
"""

from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.checks import check_floats
from framecast.ops.diagonal_scan import definition, op
from framecast.ops.diagonal_scan.checks import check_complex_diagonal_scan
from framecast.ops.widening import cast, wide_type, widen

__all__ = ["complex_diagonal_scan"]


def complex_diagonal_scan(
    lam_re: Float[Tensor, "*steps P"],
    lam_im: Float[Tensor, "*steps P"],
    b: Float[Tensor, "B T P2 *space"],
    x0: Float[Tensor, "B P2 *space"],
) -> Float[Tensor, "B T P2 *space"]:
    """Complex recurrence x_t = λ_t ⊙ x_{t−1} + b_t, one λ per channel.

    Args:
        lam_re: real part of λ, [P] for all of time, or one for each frame (a sequence whose
            steps of time differ): [T,P] or [B,T,P]. Computed in float32, in float64 where b is.
        lam_im: imaginary part of λ, in the same shape.
        b: inputs, [Re, Im] side by side along dim 2.
        x0: state before the first step, [Re, Im] side by side along dim 1.

    Returns:
        The states x_1 … x_T as [Re, Im], in the type of b.

    Raises:
        ValueError: if the shapes do not fit together, or T is 0.
        TypeError: if an argument does not hold floating-point numbers.

    Source: ConvS5 (2023), equation 5, discretised.
    """
    check_floats("complex_diagonal_scan", b=b, x0=x0, lam_re=lam_re, lam_im=lam_im)
    wide = wide_type(b.dtype)
    lam_re, lam_im = cast(lam_re, wide), cast(lam_im, wide)
    if lam_re.ndim == 2 and lam_re.shape == lam_im.shape:
        each = *b.shape[:1], *lam_re.shape
        lam_re, lam_im = lam_re.expand(each), lam_im.expand(each)
    x0 = cast(x0, b.dtype)
    if dispatch.uses_definitions():
        check_complex_diagonal_scan(lam_re, lam_im, b, x0)
        return definition.complex_diagonal_scan(lam_re, lam_im, widen(b), widen(x0)).to(b.dtype)
    result: Tensor = op.complex_diagonal_scan(lam_re, lam_im, b, x0)
    return result
