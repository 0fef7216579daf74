"""How alike two images are: peak signal-to-noise ratio and structural similarity."""

from functools import cache

import torch
from jaxtyping import Float, Float64
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
"""Side of the window of SSIM in pixels, and standard deviation of its Gaussian weights."""
_K1, _K2 = 0.01, 0.03


def to_images(
    frames: Float[Tensor, "*any C H W"], ranges: Float[Tensor, "C 2"]
) -> Float[Tensor, "*any C H W"]:
    """Bring frames to [0, 1] by the range of each channel; what lies outside is clipped.

    Args:
        frames: in physical units.
        ranges: the values that become 0 and 1, ascending.
    """
    low, high = (end[:, None, None] for end in ranges.to(frames.dtype).unbind(1))
    return ((frames - low) / (high - low)).clamp(0, 1)


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
    images: Float[Tensor, "*any C H W"], truth: Float[Tensor, "*any C H W"], span: float = 1.0
) -> Float64[Tensor, "*any"]:
    """Return the structural similarity of each image, a mean over pixels and channels.

    Means, variances and the covariance at a pixel are taken over a window of 11×11 with
    Gaussian weights (σ 1.5) that sum to 1; only windows that lie inside the image count. In
    [-1, 1]; 1 for equal images. Source: Wang et al., Image quality assessment, 2004, Eq. 13,
    with K1 = 0.01, K2 = 0.03.

    Args:
        images: to be judged.
        truth: what they should be.
        span: width of the range that the values may have.

    Raises:
        ValueError: if an image is smaller than the window.
    """
    if min(images.shape[-2:]) < WINDOW:
        raise ValueError(f"images of {list(images.shape[-2:])} are smaller than 11×11")
    x, y = images.double(), truth.double()
    x_mean, y_mean = _windowed(x), _windowed(y)
    product, squares = x_mean * y_mean, x_mean.square() + y_mean.square()
    covariance = _windowed(x * y) - product
    variances = _windowed(x.square() + y.square()) - squares
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    similar = (2 * product + c1) * (2 * covariance + c2)
    return (similar / ((squares + c1) * (variances + c2))).mean((-3, -2, -1))


def _windowed(maps: Float64[Tensor, "*any H W"]) -> Float64[Tensor, "*any h w"]:
    """Gaussian mean over the window around each pixel that is far enough from the edge.

    The weights are separable and symmetric: along each dimension, pixels at equal distance
    are added before they are weighted.
    """
    weights, reach = _weights(), WINDOW // 2
    for dim in (-2, -1):
        inside = maps.shape[dim] - 2 * reach
        total = maps.narrow(dim, reach, inside) * weights[0]
        for distance in range(1, reach + 1):
            before = maps.narrow(dim, reach - distance, inside)
            after = maps.narrow(dim, reach + distance, inside)
            total.add_(before + after, alpha=weights[distance])
        maps = total
    return maps


@cache
def _weights() -> list[float]:
    """Weights at distances 0, 1, ..., 5 from the centre of the window."""
    bell = torch.exp(-torch.arange(WINDOW // 2 + 1).double().square() / (2 * SIGMA**2))
    weights: list[float] = (bell / (2 * bell.sum() - bell[0])).tolist()
    return weights
