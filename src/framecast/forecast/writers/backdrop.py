"""A figure that is drawn once, of which afterwards only images and one text are drawn anew."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

Picture = UInt8[np.ndarray, "height width 4"]
"""Red, green, blue and opacity, which is full."""

LAYOUTS = 2
"""How often a figure is laid out: the second time, panels have the sizes that the first gave."""


class Pixels(NamedTuple):
    """Which pixels of a figure show which cells of an image; both are counted row by row.

    Attributes:
        cells: those that are shown.
        inside: pixels that show nothing but the image.
        inside_cells: what each of them shows, as a place in `cells`.
        edge: pixels over which something of the figure lies too, a frame or a tick.
        edge_cells: what each of them shows.
        black: what is seen at the edge of a black image.
        gain: how much more is seen of a white one, as a share.
        missing: the colour behind the image, which is seen where a value is missing.
    """

    cells: Int[np.ndarray, "cells"]
    inside: Int[np.ndarray, "pixels"]
    inside_cells: Int[np.ndarray, "pixels"]
    edge: Int[np.ndarray, "edge"]
    edge_cells: Int[np.ndarray, "edge"]
    black: Float[np.ndarray, "edge 4"]
    gain: Float[np.ndarray, "edge 4"]
    missing: UInt8[np.ndarray, "4"]


class Backdrop:
    """Draws a figure whose images and text change, and nothing else.

    Matplotlib takes tens of milliseconds to draw axes, names and colour bars, and far more than is
    needed for an image. It draws them once; from then on the colours of an image's cells are put
    where Matplotlib has put the cells, and its text alone is drawn by Matplotlib. A picture is
    what a full drawing gives, but for pixels at the edge of an image over which a frame or a tick
    lies: they may differ by two of 255 levels, as Matplotlib rounds whenever something is laid
    over something.

    Args:
        figure: which is laid out once, and then stays so.
        images: in it, without opacity, whose cells are drawn as rectangles ("nearest").
        text: which is drawn over everything else.
    """

    def __init__(self, figure: Figure, images: Sequence[AxesImage], text: Text) -> None:
        self.figure, self.images, self.text = figure, images, text
        self.canvas: Any = FigureCanvasAgg(figure)
        _lay_out(figure)
        kept: list[Any] = [image.get_array() for image in images]
        text.set_visible(False)
        white, self.still = (self._filled(level) for level in (255, 0))
        rows, columns = (self._numbered(axis) for axis in (0, 1))
        self.pixels = [_pixels(image, self.still, white, rows, columns) for image in images]
        text.set_visible(True)
        for image, values in zip(images, kept, strict=True):
            image.set_data(values)

    @property
    def seen(self) -> Picture:
        """What Matplotlib draws into."""
        seen: Picture = np.asarray(self.canvas.buffer_rgba())
        return seen

    def draw(self) -> Picture:
        """Draw the images and the text as they are now."""
        picture = self.seen
        picture[:] = self.still
        for image, pixels in zip(self.images, self.pixels, strict=True):
            _put(picture, image, pixels)
        self.figure.draw_artist(self.text)
        return picture.copy()

    def _filled(self, level: int) -> Picture:
        """The figure with all its images of one grey."""
        for image in self.images:
            image.set_data(np.full((*image.get_size(), 3), level, np.uint8))
        self.canvas.draw()
        return self.seen.copy()

    def _numbered(self, axis: int) -> Int[np.ndarray, "height width"]:
        """The place along an axis of the cell that each pixel shows.

        Matplotlib draws images, alone, whose colours are these numbers.
        """
        for image in self.images:
            number = np.indices(image.get_size())[axis]
            parts = [number >> shift & 255 for shift in (0, 8, 16)]
            image.set_data(np.stack(parts, -1).astype(np.uint8))
            self.figure.draw_artist(image)
        numbers: np.ndarray = self.seen.astype(np.int64)[..., :3] @ [1, 1 << 8, 1 << 16]
        return numbers


def _lay_out(figure: Figure) -> None:
    """Place all parts for good: a constrained layout, done anew, moves them a little each time."""
    engine = figure.get_layout_engine()
    if engine is not None:
        for _ in range(LAYOUTS):
            engine.execute(figure)
        figure.set_layout_engine("none")


def _pixels(
    image: AxesImage,
    black: Picture,
    white: Picture,
    rows: Int[np.ndarray, "height width"],
    columns: Int[np.ndarray, "height width"],
) -> Pixels:
    """Find the pixels of one image: those that are not the same whether it is black or white.

    Args:
        image: in a figure.
        black: the figure where images are black.
        white: the figure where they are white.
        rows: of the cell that each pixel shows.
        columns: of the same.
    """
    left, bottom, right, top = image.axes.bbox.extents
    lines = slice(max(int(len(black) - top) - 1, 0), int(len(black) - bottom) + 2)
    across = slice(max(int(left) - 1, 0), int(right) + 2)
    within = np.zeros(rows.shape, bool)
    within[lines, across] = (black != white).any(-1)[lines, across]
    whole = within & (black[..., :3] == 0).all(-1) & (white == 255).all(-1)
    inside, edge = np.flatnonzero(whole), np.flatnonzero(within & ~whole)
    cells = rows * image.get_size()[1] + columns
    shown, found = np.unique(cells.ravel()[np.r_[inside, edge]], return_inverse=True)
    low, high = (picture.reshape(-1, 4)[edge].astype(np.float64) for picture in (black, white))
    behind = (to_rgba_array(image.axes.get_facecolor())[0] * 255).round().astype(np.uint8)
    parts = inside, found[: len(inside)], edge, found[len(inside) :]
    return Pixels(shown, *parts, low, (high - low) / 255, behind)


def _put(picture: Picture, image: AxesImage, pixels: Pixels) -> None:
    """Draw one image."""
    values: Any = image.get_array()
    cells = values.reshape(-1, *values.shape[2:])[pixels.cells]
    if values.ndim == 3:  # a list of colours would be read as values
        cells = cells[None]
    colours = image.to_rgba(cells, bytes=True).reshape(-1, 4)
    colours[colours[:, 3] == 0] = pixels.missing
    picture.view(np.uint32).reshape(-1)[pixels.inside] = colours.view(np.uint32)[
        pixels.inside_cells, 0
    ]
    seen = pixels.black + pixels.gain * colours[pixels.edge_cells]
    picture.reshape(-1, 4)[pixels.edge] = seen.round()
