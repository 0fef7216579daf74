"""What stands before and after the recurrences: between frames and features, one at a time."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framecast.base.shapes import Frame
from framecast.layers.blocks import AROUND, SPHERES, Padding
from framecast.models.codecs.pyramid import PyramidDecoder, PyramidEncoder, make_pyramid
from framecast.models.codecs.strided import StridedDecoder, StridedEncoder, make_strided
from framecast.models.config import ForecasterConfig


def encoded_channels(config: ForecasterConfig, in_channels: int) -> int:
    """Return C, the channels of what `make_encoder` makes of frames of so many channels."""
    if config.encoder == "none":
        return in_channels
    if config.encoder == "strided" and config.patch == 1 and config.stack != "residual":
        return make_strided(config.encoder_options).widths[-1]
    return config.blocks[0]


def make_encoder(
    config: ForecasterConfig, in_channels: int, vectors: Sequence[int] = ()
) -> nn.Sequential:
    """Build the way from frames [B,in_channels,H,W] to features [B,C,H/r,W/r], r = reduction.

    C are the channels of the first block of layers. Where those of a pyramid differ, a 1×1
    convolution makes the ones of the other; and so it is with strided convolutions where a residual
    connection needs it, and elsewhere the first layer reads theirs. `vectors` are the places of the
    channels that are components of vectors (see `GridConv`).

    Raises:
        ValueError: if there are any on a sphere, and the layers themselves read the frames.
    """
    if vectors and config.encoder == "none" and config.padding in SPHERES:
        raise ValueError(
            f"padding {config.padding}: components of vectors change sign across a pole, which "
            "convolutions of layers do not know of: choose encoder pointwise or pyramid"
        )
    encoder, features = nn.Sequential(), encoded_channels(config, in_channels)
    if config.encoder == "pyramid":
        pyramid = make_pyramid(config.encoder_options)
        encoder.append(PyramidEncoder(in_channels, config.padding, pyramid, vectors))
        in_channels = pyramid.features
    if config.encoder == "strided":
        strided = make_strided(config.encoder_options)
        encoder.append(StridedEncoder(in_channels, config.padding, strided, vectors))
        in_channels = strided.widths[-1]
    differ = config.encoder in ("pyramid", "strided") and in_channels != features
    if config.encoder == "pointwise" or config.patch > 1 or differ:
        patch = config.patch
        encoder.append(nn.Conv2d(in_channels, features, patch, stride=patch))
    if config.encoder_activation == "tanh":
        encoder.append(nn.Tanh())
    return encoder


def make_decoder(config: ForecasterConfig, channels: int, out_channels: int) -> nn.Module:
    """Build the way back, from features [B,channels,H/r,W/r] to frames [B,out_channels,H,W].

    The first convolution of a pyramid, or of strided convolutions, reads as many channels as there
    are: those of the last layer, or the encoder's own where patches come between.
    """
    if config.encoder not in ("pyramid", "strided"):
        return _unpatch(channels, out_channels, config.patch)
    features, padding = channels, config.padding
    decoder: nn.Module
    if config.encoder == "pyramid":
        pyramid = make_pyramid(config.encoder_options)
        features = channels if config.patch == 1 else pyramid.features
        decoder = PyramidDecoder(features, out_channels, padding, pyramid)
    else:
        strided = make_strided(config.encoder_options)
        features = channels if config.patch == 1 else strided.widths[-1]
        decoder = StridedDecoder(features, out_channels, padding, strided)
    if config.patch == 1:
        return decoder
    return nn.Sequential(_unpatch(channels, features, config.patch), decoder)


def _unpatch(channels: int, out_channels: int, patch: int) -> nn.Module:
    if patch == 1:
        return nn.Conv2d(channels, out_channels, 1)
    return nn.ConvTranspose2d(channels, out_channels, patch, stride=patch)


def check_reduction(cells: int, grid: tuple[int, int]) -> None:
    """Raise a ValueError if an encoder makes more cells into one than there are on a side."""
    if cells > max(grid):
        raise ValueError(
            f"the encoder makes {cells}×{cells} cells of a frame into one, but the grid is "
            f"{grid[0]}×{grid[1]}: choose a smaller model.patch, or fewer widths of the pyramid"
        )


def check_sphere(cells: int, grid: tuple[int, int], padding: Padding) -> None:
    """Raise a ValueError if what an encoder makes of a sphere is none, `cells` being made one."""
    if cells == 1 or padding not in SPHERES:
        return
    made = f"the encoder makes {cells}×{cells} cells of a frame into one"
    if padding == "sphere_poles":
        raise ValueError(
            f"{made}, and rows at the poles would count as others do: with padding sphere_poles "
            "choose model.patch 1 and no pyramid; or padding cylinder"
        )
    if grid[0] % cells or grid[1] % (2 * cells):
        raise ValueError(
            f"{made}, which is a sphere again only if {cells} divides the rows and {2 * cells} the "
            f"columns, but the grid is {grid[0]}×{grid[1]}: choose padding cylinder"
        )


def fill_up(frame: Frame, cells: int, padding: Padding) -> Float[Tensor, "B _C filled_H filled_W"]:
    """Continue a frame beyond its last row and column until `cells` divides its sides.

    Periodic sides go on with their first cells, others with their last one. What the network puts
    out there is cut off again.

    Raises:
        ValueError: as `check_reduction` and `check_sphere`.
    """
    check_reduction(cells, (frame.shape[-2], frame.shape[-1]))
    check_sphere(cells, (frame.shape[-2], frame.shape[-1]), padding)
    down, right = (-side % cells for side in frame.shape[-2:])
    if not down and not right:
        return frame
    frame = _continue(frame, -1, right, padding in AROUND)
    return _continue(frame, -2, down, padding == "circular")


def coarsen_noise(
    noise: Float[Tensor, "B N H W"], cells: int
) -> Float[Tensor, "B N coarse_H coarse_W"]:
    """Return noise on the encoder's grid: the sum over cells×cells points, of variance 1 again."""
    if cells == 1:
        return noise
    whole, sides = noise.new_ones(1, 1, *noise.shape[-2:]), {"ceil_mode": True}
    sums, counts = (
        F.avg_pool2d(values, cells, divisor_override=1, **sides) for values in (noise, whole)
    )
    coarse: Tensor = sums / counts.sqrt()
    return coarse


def _continue(frame: Tensor, dim: int, count: int, periodic: bool) -> Tensor:
    size = frame.shape[dim]
    places = torch.arange(size + count, device=frame.device)
    places = places % size if periodic else places.clamp(max=size - 1)
    return frame.index_select(dim, places)


class ActionConditioning(nn.Module):
    """Join an action to the features of each frame.

    A 1×1 convolution of the features beside a linear embedding of the action, spread over the
    grid: W [f, E a] + b = W_f f + W_e E a + b, where the two matrices of a are one. An action
    that is one of n is given as one of n unit vectors, and has an embedding of its own.

    Args:
        actions: numbers A in an action.
        channels: C of the features, before and after.

    Source: ConvS5 (Smith et al. 2023), conditioning of the networks for environments.
    """

    def __init__(self, actions: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, channels, 1)
        self.embedding = nn.Linear(actions, channels, bias=False)

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        """Join features [N,C,H,W] and actions [N,A] → [N,C,H,W]."""
        joined: Tensor = self.features(features) + self.embedding(action)[..., None, None]
        return joined
