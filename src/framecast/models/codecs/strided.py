"""Encoder of strided convolutions, and a decoder of transposed ones that mirrors it.

Source: Conv-TT-LSTM (Su et al. 2020), appendix B.2, the network for early activity recognition: two
2-strided convolutions with 64 channels, 224×224 → 56×56, and two 2-strided transposed ones back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from framecast.base.config import check_options
from framecast.layers.blocks import GridConv, Padding, pad_grid

Kind = TypeVar("Kind", bound=nn.Module)
DEEPEST = 16
"""Convolutions of an encoder, at most: they would make one cell of any grid."""


@dataclass(frozen=True)
class Strided:
    """Settings of the encoder and the decoder; the defaults are those of the published network.

    Attributes:
        widths: channels of each convolution of the encoder, at least 1; each halves the grid.

    Raises:
        ValueError: if there are no widths, too many, or one is not positive.
    """

    widths: Sequence[int] = (64, 64)

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1 or len(self.widths) > DEEPEST:
            raise ValueError(
                f"widths {list(self.widths)} must be 1 to {DEEPEST} positive numbers, one for each "
                "convolution"
            )


def make_strided(options: Mapping[str, Any]) -> Strided:
    """Check settings and build them.

    Raises:
        ValueError: for a name that is none, or a value out of its range.
    """
    return Strided(**check_options(Strided, options))


class StridedEncoder(nn.Sequential):
    """3×3 convolutions, each of which halves the grid and is followed by max(·, 0).

    Weights start Xavier-normal, biases at zero, as all of the published network.

    Args:
        in_channels: channels of the frames.
        padding: boundary padding of all convolutions.
        strided: their widths.
        vectors: places of the channels that are components of vectors (see `GridConv`).
    """

    def __init__(
        self, in_channels: int, padding: Padding, strided: Strided, vectors: Sequence[int] = ()
    ) -> None:
        super().__init__()
        for width in strided.widths:
            conv = GridConv(in_channels, width, 3, padding, vectors=vectors, stride=2)
            self.extend([start_xavier(conv), nn.ReLU()])
            in_channels, vectors = width, ()


class StridedDecoder(nn.Sequential):
    """The way back: a 1×1 convolution, transposed 3×3 ones with max(·, 0), and a 1×1 convolution.

    Args:
        channels: of the features.
        out_channels: of the frames.
        padding: boundary padding.
        strided: widths of the encoder, which are gone through backwards.
    """

    def __init__(
        self, channels: int, out_channels: int, padding: Padding, strided: Strided
    ) -> None:
        super().__init__(start_xavier(nn.Conv2d(channels, strided.widths[-1], 1)))
        channels = strided.widths[-1]
        for width in reversed(strided.widths):
            self.extend([start_xavier(TransposedConv(channels, width, padding)), nn.ReLU()])
            channels = width
        self.append(start_xavier(nn.Conv2d(channels, out_channels, 1)))


class TransposedConv(nn.ConvTranspose2d):
    """Transposed 3×3 convolution that doubles the sides of the grid, with a choice of boundary.

    Args:
        in_channels: channels of the features [B,C_in,H,W].
        out_channels: channels of the result [B,C_out,2H,2W].
        padding: how the field continues beyond its edges.
    """

    def __init__(self, in_channels: int, out_channels: int, padding: Padding) -> None:
        super().__init__(in_channels, out_channels, 3, stride=2)
        self.boundary = padding

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve [B,C_in,H,W] → [B,C_out,2H,2W]."""
        height, width = x.shape[-2:]
        doubled: Tensor = super().forward(pad_grid(x, 1, self.boundary))
        return doubled[..., 3 : 3 + 2 * height, 3 : 3 + 2 * width]


def start_xavier(module: Kind) -> Kind:
    """Draw the weights Xavier-normal and set the bias to zero; return the same module."""
    for name, parameter in module.named_parameters():
        nn.init.zeros_(parameter) if name == "bias" else nn.init.xavier_normal_(parameter)
    return module
