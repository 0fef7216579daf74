"""What a world model makes of codes, and how it returns to them: convolutions on two grids.

Source: Yan et al., Temporally Consistent Transformers for Video Generation (TECO), 2023, as ConvS5
(Smith et al., 2023) takes them over.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framecast.layers.blocks import ChannelNorm
from framecast.layers.residual import ResidualBlock

GROUPS = 32
"""Groups of a norm, or as many as divide both this number and the channels."""
SCALE = 0.1
"""Of the residual branch."""


def _block(before: int, after: int) -> ResidualBlock:
    groups = math.gcd(GROUPS, math.gcd(before, after))
    return ResidualBlock(before, after, 3, "zeros", groups, "elu", SCALE)


class CodeEncoder(nn.Module):
    """A convolution and a block, then, where there are two widths, blocks on half the grid.

    Args:
        in_channels: that it reads.
        widths: channels on the whole grid, and on half of it; or one number.
        blocks: on half of the grid.
        out_channels: that it puts out; None for those of the last block.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], blocks: int, out_channels: int | None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.fine = _block(widths[0], widths[0])
        self.halves = len(widths) > 1
        coarse = [_block(widths[-1] if n else widths[0], widths[-1]) for n in range(blocks)]
        self.coarse = nn.Sequential(*coarse if self.halves else [])
        self.out: nn.Module = nn.Identity()
        if out_channels is not None:
            self.out = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, x: Float[Tensor, "B _C H W"]) -> Float[Tensor, "B _D _h _w"]:
        """Encode grids, whose sides must be even where they are halved."""
        x = self.fine(self.conv(x))
        if self.halves:
            x = self.coarse(F.avg_pool2d(x, 2))
        y: Tensor = self.out(x)
        return y


class CodeDecoder(nn.Module):
    """A convolution, blocks, each cell repeated 2×2 and blocks again, and scores of the codes.

    Args:
        in_channels: that it reads.
        widths: channels on the whole grid, and on half of it, as in the encoder; or one number, for
            blocks on the whole grid alone.
        blocks: on each grid.
        codes: that are scored.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], blocks: int, codes: int) -> None:
        super().__init__()
        first, self.doubles = widths[0], len(widths) > 1
        self.conv = nn.Conv2d(in_channels, first, 3, padding=1)
        coarse = [_block(widths[-1] if n else first, widths[-1]) for n in range(blocks)]
        fine = [_block(first if n else widths[-1], first) for n in range(blocks)]
        self.coarse = nn.Sequential(*coarse)
        self.fine = nn.Sequential(*fine if self.doubles else [])
        self.norm = ChannelNorm(first)
        self.score = nn.Conv2d(first, codes, 1)

    def forward(self, x: Float[Tensor, "B _C h w"]) -> Float[Tensor, "B K _H _W"]:
        """Score the codes of each cell."""
        x = self.coarse(self.conv(x))
        if self.doubles:
            x = self.fine(F.interpolate(x, scale_factor=2))
        scores: Tensor = self.score(self.norm(x))
        return scores
