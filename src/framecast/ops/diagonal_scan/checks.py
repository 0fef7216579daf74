"""What the diagonal scan asks of its arguments."""

from torch import Tensor

from framecast.ops.checks import check_memory, check_same_shape, check_state
from framecast.ops.widening import wide_type


def check_complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> None:
    """λ [P] or [B,T,P] in float32 or better, inputs [B,T,2P,...] and a state [B,2P,...]."""
    op = "complex_diagonal_scan"
    check_memory(op, b, b.dtype, "b x0", b, x0)
    _check_decay(op, lam_re, lam_im, b)
    check_state(op, b.shape, x0)


def check_complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> None:
    """As `check_complex_diagonal_scan`, with what belongs to the states."""
    op = "complex_diagonal_scan_backward"
    check_memory(op, x, x.dtype, "grad x0 x", grad, x0, x)
    _check_decay(op, lam_re, lam_im, x)
    check_same_shape(op, "grad x", grad, x)
    check_state(op, x.shape, x0)


def _check_decay(op: str, lam_re: Tensor, lam_im: Tensor, b: Tensor) -> None:
    check_memory(op, b, wide_type(b.dtype), "lam_re lam_im", lam_re, lam_im)
    shape = b.shape
    if len(shape) > 2 and shape[2] % 2 == 0 and lam_re.shape == lam_im.shape:
        whole = *shape[:2], shape[2] // 2
        if lam_re.shape in (whole[2:], whole):
            return
    raise ValueError(
        f"{op}: λ {list(lam_re.shape)}, {list(lam_im.shape)} must both be [P], [T, P] or "
        f"[B, T, P], and b {list(shape)} must be [B, T, 2·P, ...]"
    )
