"""Building blocks for single frames: convolution with boundary padding, and norms."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framecast.base.shapes import Frame
from framecast.ops import residual_norm, wrap

Padding = Literal["zeros", "circular", "cylinder", "sphere", "sphere_poles", "replicate", "reflect"]
SPHERES = ("sphere", "sphere_poles")
"""Paddings that go on across the poles."""
AROUND = ("circular", "cylinder", *SPHERES)
"""Paddings with which columns go around."""
NormKind = Literal["frame", "channel", "grid", "none"]
RENAMED_NORMS = {"group": "frame"}
"""Older names of norms, and what they are called now."""
EPSILON = 1e-6
"""Added to variances in the norms of ConvS5's networks, as in the published ones."""


def pad_grid(x: Tensor, reach: int, padding: Padding, signs: Tensor | None = None) -> Tensor:
    """Continue a field [...,C,H,W] by `reach` cells beyond each of its four edges.

    Args:
        x: field [B,C,H,W].
        reach: cells to add on each side.
        padding: `zeros`; `circular`, both axes periodic; `cylinder`, the last axis
            (longitude) periodic and zeros beyond the first and last row (the poles);
            `sphere`, the last axis periodic, and beyond a pole the rows before it, half way round
            (at longitude + 180°); `sphere_poles`, the same where the first and last row are the
            poles themselves; `replicate`, the edge value; `reflect`, mirrored without repeating
            the edge.
        signs: of each channel, [C,1,1], by which values beyond a pole are multiplied: −1 for
            components of vectors, since east and north turn round there; None for scalars.

    Raises:
        ValueError: if the grid is too small for `reach` (circular, cylinder and spheres need at
            least `reach` cells along a periodic axis, reflect and sphere_poles one more along the
            rows), or a sphere has an odd number of columns.
    """
    if reach == 0:
        return x
    _check_grid(x, reach, padding)
    sides = (reach, reach)
    if padding == "zeros":
        return F.pad(x, sides + sides)
    if padding == "cylinder":
        return F.pad(wrap(x, 0, reach), (0, 0, *sides))
    if padding == "circular":
        return wrap(x, reach, reach)
    if padding in SPHERES:
        return wrap(_across_poles(x, reach, int(padding == "sphere_poles"), signs), 0, reach)
    if padding == "replicate":
        return _repeat(_repeat(x, reach, -2), reach, -1)
    return F.pad(x, sides + sides, mode=padding)


def _repeat(x: Tensor, reach: int, dim: int) -> Tensor:
    """Continue with the values at both ends of an axis."""
    # `F.pad` would not keep a channels-last layout, nor compile.
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, x.shape[dim] - 1, 1)
    return torch.cat([*[first] * reach, x, *[last] * reach], dim)


def _across_poles(x: Tensor, reach: int, skipped: int, signs: Tensor | None) -> Tensor:
    """Continue beyond the first and last row with the rows before, half way round.

    Args:
        x: field [B,C,H,W].
        reach: rows to add on each side.
        skipped: rows next to the edge that are the pole itself, 0 or 1.
        signs: as in `pad_grid`.
    """
    half, last = x.shape[-1] // 2, x.shape[-2] - 1

    def opposite(row: int) -> Tensor:
        values = x.narrow(-2, row, 1)
        turned = torch.cat([values[..., half:], values[..., :half]], -1)
        return turned if signs is None else signs * turned

    away = range(skipped, skipped + reach)
    above = [opposite(row) for row in reversed(away)]
    return torch.cat([*above, x, *(opposite(last - row) for row in away)], -2)


def _check_grid(x: Tensor, reach: int, padding: Padding) -> None:
    height, width = x.shape[-2:]
    if padding in SPHERES and width % 2:
        raise ValueError(
            f"{padding} padding goes on half way round beyond a pole, which needs an even number "
            f"of columns, but the grid is {height}×{width}: choose padding cylinder"
        )
    needed = reach if padding in AROUND else 1
    if padding in ("reflect", "sphere_poles"):
        needed = reach + 1
    smallest = width if padding == "cylinder" else min(height, width)
    if smallest < needed:
        raise ValueError(
            f"{padding} padding by {reach} needs at least {needed} cells along the axis, "
            f"but the grid is {height}×{width}: use a smaller kernel or another padding"
        )


def convolve(x: Tensor, kernel: Tensor, padding: Padding) -> Tensor:
    """Convolve fields [B,C,H,W] with a kernel [C',C,k,k] of odd side, keeping the grid.

    Raises:
        ValueError: as `pad_grid`.
    """
    reach = kernel.shape[-1] // 2
    if padding == "zeros":
        return F.conv2d(x, kernel, padding=reach)
    return F.conv2d(pad_grid(x, reach, padding), kernel)


class GridConv(nn.Conv2d):
    """Convolution that keeps the grid's size, or divides it, with a choice of boundary.

    Args:
        in_channels: channels of the frames [B,C_in,H,W].
        out_channels: channels of the result [B,C_out,H,W].
        kernel: odd side length of the square kernel.
        padding: how the field continues beyond its edges (see `pad_grid`).
        bias: whether a learned constant is added to each channel.
        vectors: places of the channels that are components of vectors, which change sign across a
            pole of a sphere.
        stride: cells from one that is put out to the next, at least 1.

    Raises:
        ValueError: if the kernel is even or the padding unknown.
    """

    signs: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        bias: bool = True,
        vectors: Sequence[int] = (),
        stride: int = 1,
    ) -> None:
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel {kernel} must be odd and positive, to keep the grid's size")
        if padding not in get_args(Padding):
            raise ValueError(f"padding {padding!r} is not one of {', '.join(get_args(Padding))}")
        inner = kernel // 2 if padding == "zeros" else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding=inner, bias=bias)
        self.boundary = padding
        signs = None
        if vectors and padding in SPHERES:
            signs = torch.ones(in_channels, 1, 1)
            signs[list(vectors)] = -1
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve frames [B,C_in,H,W] → [B,C_out,H,W]."""
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve with kernels that take the place of the module's own, of their shape."""
        if self.boundary != "zeros":
            x = pad_grid(x, self.kernel_size[0] // 2, self.boundary, self.signs)
        result: Tensor = self._conv_forward(x, weight, self.bias)
        return result


class Norm(nn.Module, ABC):
    """A layer norm of frames, or of frames and what a residual layer adds to them.

    A *conditional norm* goes on from there: the scale and the shift of the normalised features
    y follow from noise z at each point, y ← (1 + S z) y + B z, by a learned map that starts at
    zero. Source: conditional layer norms as in GenCast (Price et al. 2023), there of the level of
    the noise, and FGN (Alet et al. 2025).
    """

    modulation: nn.Conv2d | None

    def __init__(self) -> None:
        super().__init__()
        self.modulation = None

    def forward(
        self, x: Frame, update: Frame | None = None, noise: Float[Tensor, "B N H W"] | None = None
    ) -> Frame:
        """Normalise x [B,C,H,W], or x + update.

        Args:
            x: frames.
            update: what is added to them; None for nothing.
            noise: at the points of the frames; read by a conditional norm alone.
        """
        y = self.normalise(x, update)
        if self.modulation is None:
            return y
        scale, shift = self.modulation(noise).chunk(2, dim=1)
        conditioned: Tensor = y + (scale * y + shift).to(y.dtype)
        return conditioned

    @abstractmethod
    def normalise(self, x: Frame, update: Frame | None = None) -> Frame:
        """Normalise x [B,C,H,W], or x + update, without regard to noise."""

    def condition(self, noise: int, channels: int) -> None:
        """Make it a conditional norm, of so many channels of noise and of features."""
        self.modulation = nn.Conv2d(noise, 2 * channels, 1, bias=False)
        nn.init.zeros_(self.modulation.weight)


class FrameNorm(Norm):
    """Layer norm over a whole frame, with a learned scale and shift for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def normalise(self, x: Frame, update: Frame | None = None) -> Frame:
        """Normalise over C×H×W."""
        return residual_norm(x, update, self.weight, self.bias)


class GridNorm(Norm):
    """Layer norm over the grid of each channel.

    Scale and shift are learned for each pixel, [H,W], which ties the weights to one grid.
    """

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(grid))
        self.bias = nn.Parameter(torch.zeros(grid))

    def normalise(self, x: Frame, update: Frame | None = None) -> Frame:
        """Normalise over H×W."""
        return residual_norm(x, update, self.weight, self.bias)


class ChannelNorm(Norm):
    """Layer norm over the channels of each pixel, with `EPSILON` added to each variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def normalise(self, x: Frame, update: Frame | None = None) -> Frame:
        """Normalise over C."""
        pixels = (x if update is None else x + update).movedim(1, -1)
        shape = self.weight.shape
        return F.layer_norm(pixels, shape, self.weight, self.bias, EPSILON).movedim(-1, 1)


class NoNorm(Norm):
    """Leaves frames as they are."""

    def normalise(self, x: Frame, update: Frame | None = None) -> Frame:
        """Return x, or x + update."""
        return x if update is None else x + update


def check_norm(kind: str) -> None:
    """Raise a ValueError unless `kind` is a norm; an older name is told what it is called now."""
    if kind in RENAMED_NORMS:
        raise ValueError(f"no norm {kind!r}: it is called {RENAMED_NORMS[kind]}")
    if kind not in get_args(NormKind):
        raise ValueError(f"norm {kind!r} is not one of {', '.join(get_args(NormKind))}")


def make_norm(kind: NormKind, channels: int, grid: tuple[int, int] | None) -> Norm:
    """Build a norm for frames [B,C,H,W].

    Args:
        kind: `frame`, one mean and variance for a whole frame, a scale and shift for each
            channel; `channel`, over the channels of each pixel; `grid`, over H×W for each
            channel, with a scale and shift for each pixel, which ties the weights to one
            grid; `none`.
        channels: C.
        grid: (H, W), needed for `grid` only.

    Raises:
        ValueError: if `kind` is unknown, or is `grid` and no grid was given.
    """
    if kind == "frame":
        return FrameNorm(channels)
    if kind == "channel":
        return ChannelNorm(channels)
    if kind == "none":
        return NoNorm()
    check_norm(kind)
    if grid is None:
        raise ValueError("norm 'grid' is tied to a grid size: give grid=(height, width)")
    return GridNorm(grid)
