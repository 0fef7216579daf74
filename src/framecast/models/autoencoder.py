"""The convolutional autoencoder of a tokeniser: frames to a coarse grid of features, and back.

Source: Esser, Rombach, Ommer, Taming Transformers for High-Resolution Image Synthesis, 2021 (the
VQGAN).
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

GROUPS = 32
"""Groups of a norm, or as many as divide both this number and the channels."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a norm over groups of channels."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels, eps=1e-6)


class SwishBlock(nn.Module):
    """x + conv(swish(norm(conv(swish(norm(x)))))), 3×3, with a 1×1 convolution where widths differ.

    Args:
        in_channels: channels that it reads.
        out_channels: channels that it puts out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([group_norm(in_channels), group_norm(out_channels)])
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(in_channels, out_channels, 3, padding=1),
                nn.Conv2d(out_channels, out_channels, 3, padding=1),
            ]
        )
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Float[Tensor, "B _C H W"]) -> Float[Tensor, "B _D H W"]:
        """Return features on the same grid."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.silu(norm(y)))
        out: Tensor = self.shortcut(x) + y
        return out


class CellAttention(nn.Module):
    """x + o(softmax(q·kᵀ/√C)·v) over all cells of a grid, with one head, after a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.read = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Return features on the same grid."""
        query, key, value = self.read(self.norm(x)).flatten(2).mT.chunk(3, dim=-1)
        seen = F.scaled_dot_product_attention(query, key, value)
        y: Tensor = x + self.out(seen.mT.reshape(x.shape))
        return y


class Encoder(nn.Module):
    """A 3×3 convolution, residual blocks at each depth, and halvings of the grid between depths.

    A halving pads a row and a column of zeros at the bottom and right, and convolves 3×3 at stride
    2.

    Args:
        in_channels: channels of the frames.
        out_channels: channels of the features.
        widths: channels at each depth.
        blocks: residual blocks at each depth.
        attended: for each depth, whether attention follows each block.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        blocks: int,
        attended: Sequence[bool],
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.depths, before = nn.ModuleList(), widths[0]
        for width, attends in zip(widths, attended, strict=True):
            self.depths.append(_depth(before, width, blocks, attends))
            before = width
        self.halvings = nn.ModuleList(nn.Conv2d(w, w, 3, stride=2) for w in widths[:-1])
        self.middle = _middle(widths[-1])
        self.norm = group_norm(widths[-1])
        self.out = nn.Conv2d(widths[-1], out_channels, 3, padding=1)

    def forward(self, frames: Float[Tensor, "B C H W"]) -> Float[Tensor, "B _D _h _w"]:
        """Encode frames, whose height and width must be multiples of 2^(depths − 1)."""
        x = self.conv(frames)
        for place, depth in enumerate(self.depths):
            if place:
                x = self.halvings[place - 1](F.pad(x, (0, 1, 0, 1)))
            x = depth(x)
        features: Tensor = self.out(F.silu(self.norm(self.middle(x))))
        return features


class Decoder(nn.Module):
    """The encoder mirrored, with one more block at each depth; each cell is repeated 2×2.

    Args:
        in_channels: channels of the features.
        out_channels: channels of the frames.
        widths: channels at each depth, from the finest on, as in the encoder.
        blocks: residual blocks at each depth of the encoder.
        attended: as in the encoder.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        blocks: int,
        attended: Sequence[bool],
    ) -> None:
        super().__init__()
        coarsest_first = list(widths)[::-1]
        self.conv = nn.Conv2d(in_channels, coarsest_first[0], 3, padding=1)
        self.middle = _middle(coarsest_first[0])
        self.depths, before = nn.ModuleList(), coarsest_first[0]
        for width, attends in zip(coarsest_first, list(attended)[::-1], strict=True):
            self.depths.append(_depth(before, width, blocks + 1, attends))
            before = width
        self.doublings = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for w in coarsest_first[:-1])
        self.norm = group_norm(before)
        self.out = nn.Conv2d(before, out_channels, 3, padding=1)

    def forward(self, features: Float[Tensor, "B _D h w"]) -> Float[Tensor, "B _C _H _W"]:
        """Decode features to frames; nothing bounds their values."""
        x = self.middle(self.conv(features))
        for place, depth in enumerate(self.depths):
            if place:
                x = self.doublings[place - 1](F.interpolate(x, scale_factor=2))
            x = depth(x)
        frames: Tensor = self.out(F.silu(self.norm(x)))
        return frames


def _depth(before: int, width: int, blocks: int, attends: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for place in range(blocks):
        layers.append(SwishBlock(width if place else before, width))
        if attends:
            layers.append(CellAttention(width))
    return nn.Sequential(*layers)


def _middle(width: int) -> nn.Sequential:
    return nn.Sequential(SwishBlock(width, width), CellAttention(width), SwishBlock(width, width))
