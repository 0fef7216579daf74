"""Continuation of frames beyond the edges of a periodic grid: checks, and the choice of kernels.

Defined in `definition.py`; the fast kernels are a `torch.library` op (`op.py`), with results in the
type and memory layout of the frames.
"""

from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.checks import check_floats
from framecast.ops.padding import definition, op
from framecast.ops.padding.checks import check_wrap

__all__ = ["wrap"]


def wrap(x: Float[Tensor, "B C H W"], reach_y: int, reach_x: int) -> Tensor:
    """Continue frames periodically by `reach_y` rows and `reach_x` columns on each side.

    Args:
        x: frames.
        reach_y: rows to add above and below, 0 to H.
        reach_x: columns to add on the left and on the right, 0 to W.

    Returns:
        Frames [B, C, H + 2·reach_y, W + 2·reach_x].

    Raises:
        ValueError: if a reach is negative or larger than the grid.
        TypeError: if the frames do not hold floating-point numbers, or a reach is not whole.
    """
    check_floats("wrap", x=x)
    if dispatch.uses_definitions():
        check_wrap(x, reach_y, reach_x)
        return definition.wrap(x, reach_y, reach_x)
    wrapped: Tensor = op.wrap(x, reach_y, reach_x)
    return wrapped
