"""The complex diagonal recurrence over time: checks of the arguments, and the choice of kernels.

Defined by the plain loop in `definition.py`; the fast kernels are a `torch.library` op (`op.py`).
Results take the layout of b, contiguous or channels-last; sums are accumulated in float32 or
better.
"""

from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.checks import check_state
from framecast.ops.diagonal_scan import definition, op
from framecast.ops.widening import wide_type

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

    Source: ConvS5 (2023), equation 5, discretised.
    """
    name = "complex_diagonal_scan"
    batch, time, channels = b.shape[:3]
    whole = [batch, time, channels // 2]
    fits = channels % 2 == 0 and list(lam_re.shape) in (whole[2:], whole[1:], whole)
    if lam_re.shape != lam_im.shape or not fits:
        raise ValueError(
            f"{name}: λ {list(lam_re.shape)}, {list(lam_im.shape)} must both be [P], [T, P] or "
            f"[B, T, P], and b {list(b.shape)} must be [B, T, 2·P, ...]"
        )
    check_state(name, b.shape, x0)
    wide = wide_type(b.dtype)
    lam = (
        part.to(wide) if part.ndim == 1 else part.to(wide).expand(whole)
        for part in (lam_re, lam_im)
    )
    scan = (definition if dispatch.uses_definitions() else op).complex_diagonal_scan
    result: Tensor = scan(*lam, b, x0.to(b.dtype))
    return result
