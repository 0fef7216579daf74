"""The definition of periodic padding, never optimised."""

import torch
from torch import Tensor


def wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Frames [B,C,H,W] → [B,C,H+2·reach_y,W+2·reach_x]: cell i shows cell (i − reach) mod size."""
    rows = torch.arange(-reach_y, x.shape[2] + reach_y) % x.shape[2]
    columns = torch.arange(-reach_x, x.shape[3] + reach_x) % x.shape[3]
    return x[:, :, rows][:, :, :, columns]
