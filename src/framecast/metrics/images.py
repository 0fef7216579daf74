"""How alike two images are: peak signal-to-noise ratio and structural similarity."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """The window over which SSIM takes its means.

    Attributes:
        side: in pixels, odd.
        sigma: deviation of its Gaussian weights, in pixels; None for equal weights.
        sample: whether variances are divided by one less than the number of pixels.
    """

    side: int
    sigma: float | None
    sample: bool = False

    @cached_property
    def weights(self) -> list[float]:
        """Weights at distances 0, 1, ... from the centre, along one dimension."""
        distance = torch.arange(self.side // 2 + 1).double()
        bell = torch.ones_like(distance)
        if self.sigma is not None:
            bell = torch.exp(-distance.square() / (2 * self.sigma**2))
        weights: list[float] = (bell / (2 * bell.sum() - bell[0])).tolist()
        return weights

    @property
    def correction(self) -> float:
        """What variances over the window are multiplied by."""
        return self.side**2 / (self.side**2 - 1) if self.sample else 1.0


WANG = Window(11, 1.5)
"""That of the paper, by which SSIM is commonly reported."""
UNIFORM = Window(7, None, sample=True)
"""That which scikit-image takes where nothing is said, and with it OpenSTL."""
_K1, _K2 = 0.01, 0.03


def to_images(
    frames: Float[Tensor, "*any C H W"], ranges: Float[Tensor, "C 2"]
) -> Float[Tensor, "*any C H W"]:
    """Bring frames to [0, 1] by the range of each channel; what lies outside is clipped.

    Args:
        frames: in physical units.
        ranges: the values that become 0 and 1, ascending.
    """
    return to_range(frames, ranges).clamp(0, 1)


def to_range(
    frames: Float[Tensor, "*any C H W"], ranges: Float[Tensor, "C 2"]
) -> Float[Tensor, "*any C H W"]:
    """Bring frames to [0, 1] by the range of each channel; what lies outside stays outside."""
    low, high = (end[:, None, None] for end in ranges.to(frames.dtype).unbind(1))
    return (frames - low) / (high - low)


def squared_error(
    images: Float[Tensor, "*any C H W"], truth: Float[Tensor, "*any C H W"]
) -> Float64[Tensor, "*any"]:
    """Return the mean of the squared error over the pixels and channels of each image."""
    return (images.double() - truth.double()).square().mean((-3, -2, -1))


def psnr(
    images: Float[Tensor, "*any C H W"], truth: Float[Tensor, "*any C H W"], span: float = 1.0
) -> Float64[Tensor, "*any"]:
    """Return the peak signal-to-noise ratio of each image, in dB: 10 log10(span² / mse).

    Infinite where an image is equal to the truth.

    Args:
        images: to be judged.
        truth: what they should be.
        span: width of the range that the values may have.
    """
    return 10 * torch.log10(span**2 / squared_error(images, truth))


def ssim(
    images: Float[Tensor, "*any C H W"],
    truth: Float[Tensor, "*any C H W"],
    span: float = 1.0,
    window: Window = WANG,
) -> Float64[Tensor, "*any"]:
    """Return the structural similarity of each image, a mean over pixels and channels.

    Means, variances and the covariance at a pixel are taken over a window around it; only windows
    that lie inside the image count. In [-1, 1]; 1 for equal images. Source: Wang et al., Image
    quality assessment, 2004, Eq. 13, with K1 = 0.01, K2 = 0.03.

    Args:
        images: to be judged.
        truth: what they should be.
        span: width of the range that the values may have.
        window: of 11×11 pixels with Gaussian weights (σ 1.5) in the paper.

    Raises:
        ValueError: if an image is smaller than the window.
    """
    if min(images.shape[-2:]) < window.side:
        size, side = list(images.shape[-2:]), window.side
        raise ValueError(f"images of {size} are smaller than {side}×{side}")
    x, y = images.double(), truth.double()
    x_mean, y_mean = _windowed(x, window), _windowed(y, window)
    product, squares = x_mean * y_mean, x_mean.square() + y_mean.square()
    covariance = (_windowed(x * y, window) - product) * window.correction
    variances = (_windowed(x.square() + y.square(), window) - squares) * window.correction
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    similar = (2 * product + c1) * (2 * covariance + c2)
    return (similar / ((squares + c1) * (variances + c2))).mean((-3, -2, -1))


def _windowed(maps: Float64[Tensor, "*any H W"], window: Window) -> Float64[Tensor, "*any h w"]:
    """Weighted mean over the window around each pixel that is far enough from the edge.

    The weights are separable and symmetric: along each dimension, pixels at equal distance
    are added before they are weighted.
    """
    weights, reach = window.weights, window.side // 2
    for dim in (-2, -1):
        inside = maps.shape[dim] - 2 * reach
        total = maps.narrow(dim, reach, inside) * weights[0]
        for distance in range(1, reach + 1):
            before = maps.narrow(dim, reach - distance, inside)
            after = maps.narrow(dim, reach + distance, inside)
            total.add_(before + after, alpha=weights[distance])
        maps = total
    return maps
