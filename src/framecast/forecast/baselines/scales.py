"""A frame as the sum of its scales, from the mean of the whole grid to single points."""

import math
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.forecast.baselines.motion import Around


def split_scales(
    frame: Float[Tensor, "B C H W"], around: Around = (False, False)
) -> Float[Tensor, "B C S H W"]:
    """Return parts that add up to the frame: its mean, then scales each half as long as the last.

    They are bands of wavenumbers whose weights overlap and add up to 1. Where the grid does not go
    around, it is continued by its mirror image.
    """
    height, width = frame.shape[-2:]
    wide = frame
    for dim, goes in ((-2, around[0]), (-1, around[1])):
        wide = wide if goes else torch.cat([wide, wide.flip(dim)], dim)
    spectrum = torch.fft.rfft2(wide.double())
    weights = _weights(*wide.shape[-2:], max(height, width))
    bands: Tensor = torch.fft.irfft2(spectrum[:, :, None] * weights, s=wide.shape[-2:])
    return bands[..., :height, :width].float()


@cache
def _weights(height: int, width: int, longest: int) -> Tensor:
    """Weights of the bands [S,H,W // 2 + 1], of which the first is the mean alone."""
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)
    waves = torch.hypot(rows, columns) * longest  # in the longer side
    count = max(2, math.ceil(math.log2(longest)))
    place = torch.log2(waves.clamp(min=1e-9)).clamp(0, count - 1)
    bands = torch.arange(count, dtype=torch.float64)[:, None, None]
    hats = (1 - (place - bands).abs()).clamp(min=0)
    mean = (waves == 0).double()
    weights: Tensor = torch.cat([mean[None], hats * (1 - mean)])
    return weights
