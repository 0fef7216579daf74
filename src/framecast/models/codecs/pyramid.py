"""Residual encoder and decoder between frames and a coarser grid of features.

Source: ConvS5 (Smith et al. 2023), the networks for Moving-MNIST.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from framecast.base.config import check_options
from framecast.layers.blocks import ChannelNorm, GridConv, Padding
from framecast.layers.residual import ResidualBlock

WIDTHS, GROUPS = (64, 128, 256), 32
"""Of the published networks."""
SCALE = 0.1
"""Of each residual branch."""


class PyramidEncoder(nn.Module):
    """A 3×3 convolution, then a residual block for each width, with 2×2 mean pooling between.

    Args:
        in_channels: channels of the frames.
        padding: boundary padding of all convolutions.
        widths: channels at each depth; each depth but the first halves the grid.
        groups: of the group norms; divides all widths.

    Raises:
        ValueError: if there are no widths, or the groups do not divide them.
    """

    def __init__(
        self,
        in_channels: int,
        padding: Padding = "zeros",
        *,
        widths: Sequence[int] = WIDTHS,
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        _check_widths(widths)
        self.conv = GridConv(in_channels, widths[0], 3, padding)
        self.blocks = _blocks([widths[0], *widths], padding, groups)

    def forward(self, x: Tensor) -> Tensor:
        """Encode frames [B,C_in,H,W] → [B,widths[-1],H/s,W/s] with s = 2^(depths − 1)."""
        x = self.conv(x)
        for depth, block in enumerate(self.blocks):
            x = block(F.avg_pool2d(x, 2) if depth else x)
        return x


class PyramidDecoder(nn.Module):
    """The encoder mirrored: residual blocks with each cell repeated 2×2 between them.

    A channel norm and a linear map of each pixel follow. As in the published network, the first
    convolution has the width of the last block.

    Args:
        out_channels: channels of the frames.
        padding: boundary padding of all convolutions.
        widths: of the encoder; the features have widths[-1] channels.
        groups: of the group norms; divides all widths.

    Raises:
        ValueError: if there are no widths, or the groups do not divide them.
    """

    def __init__(
        self,
        out_channels: int,
        padding: Padding = "zeros",
        *,
        widths: Sequence[int] = WIDTHS,
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        _check_widths(widths)
        self.conv = GridConv(widths[-1], widths[0], 3, padding)
        self.blocks = _blocks([widths[0], *reversed(widths)], padding, groups)
        self.norm = ChannelNorm(widths[0])
        self.dense = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Decode features [B,widths[-1],H,W] → [B,C_out,s·H,s·W] with s = 2^(depths − 1)."""
        x = self.conv(x)
        for depth, block in enumerate(self.blocks):
            x = block(F.interpolate(x, scale_factor=2) if depth else x)
        frame: Tensor = self.dense(self.norm(x))
        return frame


def pyramid_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of the pyramid: `given` ones, checked, and defaults.

    Raises:
        ValueError: for a name that the pyramid does not take, or a value of the wrong type.
    """
    defaults = {"widths": WIDTHS, "groups": GROUPS}
    return defaults | check_options(PyramidEncoder, given, {"in_channels", "padding"})


def _blocks(channels: Sequence[int], padding: Padding, groups: int) -> nn.ModuleList:
    return nn.ModuleList(
        ResidualBlock(before, after, 3, padding, groups, "elu", SCALE)
        for before, after in pairwise(channels)
    )


def _check_widths(widths: Sequence[int]) -> None:
    if not widths or min(widths) < 1:
        raise ValueError(f"widths {list(widths)} must be one or more positive numbers")
