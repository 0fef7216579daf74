"""Things that activities are done with: digits, or shapes that are drawn for each video anew."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from framecast.datasets.mnist import Digits, Images, read_digits

SHAPES = "shapes"
"""The things that need no file."""
WAVES = 3
"""Waves along the outline of a shape."""


class Thing(NamedTuple):
    """A picture of a thing, in a square that it does not fill.

    Attributes:
        brightness: in [0, 1], [S,S].
        cover: how much it covers of what is behind it, in [0, 1], [S,S].
    """

    brightness: Float[np.ndarray, "S S"]
    cover: Float[np.ndarray, "S S"]

    def on(self, ground: float) -> Float[np.ndarray, "S S"]:
        """Return the picture of it on a ground of one brightness."""
        return np.asarray(self.brightness * self.cover + ground * (1 - self.cover))


Maker = Callable[[np.random.Generator], Thing]
"""Draws a thing."""


def makers(where: str, size: int) -> dict[str, Maker]:
    """Return what draws the things of each part of a data set; no digit is in two of them.

    Args:
        where: shapes, or where digits come from (see `read_digits`).
        size: S, 16 or 32: digits have 14 or 28 pixels.

    Raises:
        UserError: if the digits cannot be read.
    """
    if where == SHAPES:
        return {part: lambda random: draw_shape(random, size) for part in Digits._fields}
    digits = read_digits(where, shrink=32 // size)
    return {part: _chooser(images, size) for part, images in digits._asdict().items()}


def draw_shape(random: np.random.Generator, size: int) -> Thing:
    """Draw a textured shape: a blob with a wavy outline, and bands of light and shade across it."""
    middle = (size - 1) / 2
    y, x = (np.indices((size, size)) - middle) / (size / 2)
    angle, radius = np.arctan2(y, x), np.hypot(y, x)
    outline = np.full_like(angle, 0.68)
    for wave in range(1, WAVES + 1):
        phase = random.uniform(0, 2 * np.pi)
        outline += random.uniform(0.02, 0.09) * np.cos(wave * angle + phase)
    tilt, phase = random.uniform(0, 2 * np.pi, 2)
    way = random.uniform(2.0, 4.0) * (x * np.cos(tilt) + y * np.sin(tilt))
    edge = (outline - radius) * size / 2 + 0.5
    return Thing(0.65 + 0.35 * np.sin(way + phase), np.clip(edge, 0, 1))


def _chooser(images: Images, size: int) -> Maker:
    margin = (size - images.shape[1]) // 2

    def choose(random: np.random.Generator) -> Thing:
        image: NDArray[np.float64] = images[random.integers(len(images))] / 255
        return Thing(np.ones((size, size)), np.pad(image, margin))

    return choose
