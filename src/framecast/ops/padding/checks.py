"""What padding asks of its arguments."""

from torch import Tensor

from framecast.ops.checks import Size, check_frames, check_memory


def check_wrap(x: Tensor, reach_y: Size, reach_x: Size) -> None:
    """Frames [B,C,H,W], continued by no more cells than they have."""
    check_memory("wrap", x, x.dtype, "x", x)
    check_frames("wrap", x)
    _check_reach("wrap", "rows", reach_y, x.shape[2])
    _check_reach("wrap", "columns", reach_x, x.shape[3])


def check_wrap_backward(grad: Tensor, reach_y: Size, reach_x: Size) -> None:
    """As `check_wrap`, of frames that are continued already."""
    op = "wrap_backward"
    check_memory(op, grad, grad.dtype, "grad", grad)
    check_frames(op, grad)
    _check_reach(op, "rows", reach_y, grad.shape[2] - 2 * reach_y)
    _check_reach(op, "columns", reach_x, grad.shape[3] - 2 * reach_x)


def _check_reach(op: str, axis: str, reach: Size, size: Size) -> None:
    if not isinstance(reach, Size):
        raise TypeError(f"{op}: the number of {axis} must be a whole one, not {reach!r}")
    if not 0 <= reach <= size:
        raise ValueError(f"{op}: {reach} {axis} beyond each edge of a grid of {size}")
