"""Pictures in 256 colours, as GIF needs them."""

from collections.abc import Callable, Sequence
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import Colormap
from PIL import Image

from framecast.forecast.writers.backdrop import Picture

COLOURS = 256
GREYS = 16
"""Of lines and letters: 17 levels apart, so that black, white and the grey of what is missing
(204 of 255) are among them."""

Quantise = Callable[[Picture], av.VideoFrame]


def by_palette(palette: UInt8[np.ndarray, "colours 3"]) -> Quantise:
    """Give each pixel the nearest colour of one palette.

    What is nearest is looked up by the number of the colour, once it has been found.
    """
    place = np.zeros(1 << 24, np.uint16)  # one more than the place in the palette, 0 for unknown

    def quantise(picture: Picture) -> av.VideoFrame:
        colours = picture.view("<u4")[..., 0] & 0xFFFFFF
        places = place[colours]
        new = np.unique(colours[places == 0])
        if len(new):
            parts = np.stack([new >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.int64)
            place[new] = 1 + _nearest(parts, palette.astype(np.int64))
            places = place[colours]
        return _frame((places - 1).astype(np.uint8), palette)

    return quantise


def _nearest(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The place [n] in a palette of the colour that is nearest to each of some, [n,3]."""
    # |c - p|^2 without |c|^2, which is the same for all of the palette.
    nearest: np.ndarray = ((palette**2).sum(-1) - 2 * colours @ palette.T).argmin(-1)
    return nearest


def by_own_palettes(picture: Picture) -> av.VideoFrame:
    """Give a picture the 256 colours that suit it, and mix them where they are too few.

    The colours are those of an octree [1], and errors are spread to the pixels that follow [2].

    [1] Gervautz and Purgathofer, A Simple Method for Color Quantization, 1988.
    [2] Floyd and Steinberg, An Adaptive Algorithm for Spatial Greyscale, 1976.
    """
    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    chosen = image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    mixed = image.quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG)
    colours = np.array(mixed.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return _frame(np.asarray(mixed), colours)


def greys() -> UInt8[np.ndarray, "256 3"]:
    """Return all greys."""
    return np.arange(COLOURS, dtype=np.uint8)[:, None].repeat(3, 1)


def shades(maps: Sequence[Colormap]) -> UInt8[np.ndarray, "colours 3"]:
    """Return a palette of some colour maps, and of greys for what is around them."""
    share = (COLOURS - GREYS) // len(maps)
    bands = [each(np.linspace(0, 1, share), bytes=True)[:, :3] for each in maps]
    lines = np.linspace(0, 255, GREYS, dtype=np.uint8)[:, None].repeat(3, 1)
    return np.concatenate([lines, *bands])


def _frame(places: UInt8[np.ndarray, "height width"], palette: np.ndarray) -> av.VideoFrame:
    """A picture of places in a palette [colours,3]."""
    full = np.full((COLOURS, 4), 255, np.uint8)  # opacity, red, green, blue
    full[: len(palette), 1:] = palette
    both: Any = places, full
    return av.VideoFrame.from_ndarray(both, "pal8")
