"""Residual encoder and decoder between frames and a coarser grid of features.

Source: ConvS5 (Smith et al. 2023), the networks for Moving-MNIST and for environments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from framecast.base.config import check_options
from framecast.layers.blocks import ChannelNorm, GridConv, Padding
from framecast.layers.residual import ResidualBlock

SCALE = 0.1
"""Of each residual branch."""
MOST_BLOCKS = 1000
"""Of an encoder or a decoder: far beyond any that is trained, and soon refused."""


@dataclass(frozen=True)
class Pyramid:
    """Settings of the encoder and the decoder; the defaults are those of published networks.

    Attributes:
        widths: channels at each depth, at least 1; each depth but the first halves the grid.
        groups: of the group norms; divides all widths.
        blocks: residual blocks of the encoder at each depth, at least 1; one number for all, or a
            number for each depth, as in `widths`.
        decoder_blocks: those of the decoder, in the order of `widths` too; as `blocks` if None.
        out_width: channels that a 1×1 convolution makes of the last width at the encoder's end,
            at least 1; None for no such convolution.

    Raises:
        ValueError: if there are no widths, or a number is not positive or is missing for a depth.
    """

    widths: Sequence[int] = (64, 128, 256)
    groups: int = 32
    blocks: int | Sequence[int] = 1
    decoder_blocks: int | Sequence[int] | None = None
    out_width: int | None = None

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths {list(self.widths)} must be one or more positive numbers")
        if self.out_width is not None and self.out_width < 1:
            raise ValueError(f"out_width {self.out_width} must be at least 1")
        for blocks in (self.encoding, self.decoding):
            if min(blocks) < 1 or sum(blocks) > MOST_BLOCKS:
                raise ValueError(
                    f"there must be at least one block at each depth, and at most {MOST_BLOCKS} "
                    f"in all, not {blocks}"
                )

    @property
    def features(self) -> int:
        """Channels that the encoder puts out."""
        return self.widths[-1] if self.out_width is None else self.out_width

    @property
    def encoding(self) -> list[int]:
        """Number of residual blocks at each depth of the encoder, from the finest on."""
        return self._each_depth("blocks", self.blocks)

    @property
    def decoding(self) -> list[int]:
        """Number of residual blocks at each depth of the decoder, from the coarsest on."""
        blocks = self.blocks if self.decoder_blocks is None else self.decoder_blocks
        return self._each_depth("decoder_blocks", blocks)[::-1]

    def _each_depth(self, name: str, blocks: int | Sequence[int]) -> list[int]:
        each = [blocks] * len(self.widths) if isinstance(blocks, int) else list(blocks)
        if len(each) != len(self.widths):
            raise ValueError(
                f"{name} {blocks} must be one number, or {len(self.widths)} (one for each width)"
            )
        return each


class PyramidEncoder(nn.Module):
    """A 3×3 convolution, then residual blocks at each depth, with 2×2 mean pooling between depths.

    Args:
        in_channels: channels of the frames.
        padding: boundary padding of all convolutions.
        pyramid: widths, blocks and groups.
        vectors: places of the channels that are components of vectors (see `GridConv`).

    Raises:
        ValueError: if the groups do not divide the widths.
    """

    def __init__(
        self, in_channels: int, padding: Padding, pyramid: Pyramid, vectors: Sequence[int] = ()
    ) -> None:
        super().__init__()
        widths = pyramid.widths
        self.conv = GridConv(in_channels, widths[0], 3, padding, vectors=vectors)
        self.blocks = _blocks(widths[0], widths, pyramid.encoding, padding, pyramid.groups)
        self.coarser = _firsts(pyramid.encoding)
        self.dense: nn.Module = nn.Identity()
        if pyramid.out_width is not None:
            self.dense = nn.Conv2d(widths[-1], pyramid.out_width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode frames [B,C_in,H,W] → [B,features,H/s,W/s] with s = 2^(depths − 1)."""
        x = self.conv(x)
        for place, block in enumerate(self.blocks):
            x = block(F.avg_pool2d(x, 2) if place in self.coarser else x)
        features: Tensor = self.dense(x)
        return features


class PyramidDecoder(nn.Module):
    """The encoder mirrored: residual blocks with each cell repeated 2×2 between depths.

    A channel norm and a linear map of each pixel follow. As in the published network, the first
    convolution has the width of the last block.

    Args:
        in_channels: channels of the features.
        out_channels: channels of the frames.
        padding: boundary padding of all convolutions.
        pyramid: widths, blocks and groups.

    Raises:
        ValueError: if the groups do not divide the widths.
    """

    def __init__(
        self, in_channels: int, out_channels: int, padding: Padding, pyramid: Pyramid
    ) -> None:
        super().__init__()
        widths = pyramid.widths[::-1]
        self.conv = GridConv(in_channels, widths[-1], 3, padding)
        self.blocks = _blocks(widths[-1], widths, pyramid.decoding, padding, pyramid.groups)
        self.finer = _firsts(pyramid.decoding)
        self.norm = ChannelNorm(widths[-1])
        self.dense = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Decode features [B,C_in,H,W] → [B,C_out,s·H,s·W] with s = 2^(depths − 1)."""
        x = self.conv(x)
        for place, block in enumerate(self.blocks):
            x = block(F.interpolate(x, scale_factor=2) if place in self.finer else x)
        frame: Tensor = self.dense(self.norm(x))
        return frame


def make_pyramid(given: Mapping[str, Any]) -> Pyramid:
    """Return the settings of a pyramid: `given` ones, checked, and defaults.

    Raises:
        ValueError: for a name that the pyramid does not take, or a value of the wrong type or out
            of range.
    """
    return Pyramid(**check_options(Pyramid, given))


def _blocks(
    before: int, widths: Sequence[int], numbers: Sequence[int], padding: Padding, groups: int
) -> nn.ModuleList:
    """So many residual blocks of each width, the first of which reads `before` channels."""
    repeated = [width for width, n in zip(widths, numbers, strict=True) for _ in range(n)]
    return nn.ModuleList(
        ResidualBlock(a, b, 3, padding, groups, "elu", SCALE)
        for a, b in pairwise([before, *repeated])
    )


def _firsts(numbers: Sequence[int]) -> list[int]:
    """Places of the first block of each depth but the first."""
    return list(accumulate(numbers))[:-1]
