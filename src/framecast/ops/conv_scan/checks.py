"""What the scans by convolution ask of their arguments."""

import math

from torch import Tensor

from framecast.ops.checks import Size, check_floats, check_state


def check_conv_scan(op: str, kernel: Tensor, b: Tensor, x0: Tensor) -> None:
    """A kernel [P,1,k,k] or [P,P,k,k] within a grid, inputs [B,T,P,H,W], a state [B,P,H,W]."""
    check_floats(op, kernel=kernel, b=b, x0=x0)
    if b.ndim != 5 or math.prod(b.shape[2:]) == 0:
        raise ValueError(
            f"{op}: b {list(b.shape)} must be [B, T, P, H, W], of at least one state and one cell"
        )
    channels, height, width = b.shape[2:]
    _check_kernel(op, kernel, channels)
    side = kernel.shape[3]
    if kernel.shape[2] != side or side % 2 == 0 or side // 2 > min(height, width):
        raise ValueError(
            f"{op}: kernel {list(kernel.shape)} must be square, of an odd side, and reach no "
            f"further than the grid {height}×{width}"
        )
    check_state(op, b.shape, x0)


def check_bounded_kernel(weight: Tensor, bound: Tensor) -> None:
    """A kernel [P,1,k,k] or [P,P,k,k] and a bound [P]."""
    op = "bounded_kernel"
    check_floats(op, weight=weight, bound=bound)
    if bound.ndim != 1 or len(bound) == 0:
        raise ValueError(f"{op}: bound {list(bound.shape)} must be [P], one for each state")
    _check_kernel(op, weight, len(bound))


def _check_kernel(op: str, kernel: Tensor, channels: Size) -> None:
    fits = kernel.ndim == 4 and kernel.shape[0] == channels and kernel.shape[1] in (1, channels)
    if not fits or 0 in kernel.shape:
        raise ValueError(
            f"{op}: kernel {list(kernel.shape)} does not fit {channels} states: expected "
            f"[{channels}, 1, k, k] (depthwise) or [{channels}, {channels}, k, k] (dense)"
        )
