"""The definition of periodic padding, never optimised."""

import torch
from torch import Tensor


def wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Frames [B,C,H,W] → [B,C,H+2·reach_y,W+2·reach_x]: cell i shows cell (i − reach) mod size."""
    for dim, reach in ((2, reach_y), (3, reach_x)):
        size = x.shape[dim]
        x = torch.cat([x.narrow(dim, size - reach, reach), x, x.narrow(dim, 0, reach)], dim)
    return x
