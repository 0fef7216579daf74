"""Pictures in 256 colours: near to what they were."""

import numpy as np
import pytest
from matplotlib import colormaps

from framecast.forecast.writers.palette import by_own_palettes, by_palette, greys, shades


def picture_of(colours):
    """A picture [H,W,4] of colours [H,W,3]."""
    full = np.full((*colours.shape[:2], 4), 255, np.uint8)
    full[..., :3] = colours
    return full


def seen(frame):
    assert frame.format.name == "pal8"
    return frame.to_ndarray(format="rgb24").astype(int)


def test_greys_are_kept_as_they_are():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, -1)
    quantise = by_palette(greys())
    for picture in (levels, levels[::-1]):
        np.testing.assert_array_equal(seen(quantise(picture_of(picture))), picture)


def test_each_pixel_has_the_nearest_colour():
    random = np.random.default_rng(0)
    palette = random.integers(0, 256, (100, 3), np.uint8)
    quantise = by_palette(palette)
    for _ in range(2):
        colours = random.integers(0, 256, (12, 10, 3), np.uint8)
        found = seen(quantise(picture_of(colours)))
        far = ((colours[:, :, None].astype(int) - palette) ** 2).sum(-1).min(-1)
        np.testing.assert_array_equal(((found - colours) ** 2).sum(-1), far)


@pytest.mark.parametrize("names", [["viridis"], ["viridis", "RdBu_r"]])
def test_colour_maps_and_lines_keep_their_colours(names):
    maps = [colormaps[name] for name in names]
    palette = shades(maps)
    assert len(palette) <= 256
    colours = np.stack([each(np.linspace(0, 1, 256), bytes=True)[:, :3] for each in maps])
    assert abs(seen(by_palette(palette)(picture_of(colours))) - colours).max() <= 4
    for level in (0, 204, 255):
        assert (palette == level).all(-1).any()


def test_colours_of_a_picture_are_near_what_they_were():
    y, x = np.mgrid[:64, :64]
    colours = np.stack([127 + 120 * np.sin(x / 9 + y / 17 + k) for k in range(3)], -1)
    found = seen(by_own_palettes(picture_of(colours.astype(np.uint8))))
    blocks = abs(found - colours).reshape(8, 8, 8, 8, 3)
    assert blocks.mean() < 4
    means = (found - colours).reshape(8, 8, 8, 8, 3).mean((1, 3))
    assert abs(means).max() < 2  # what is off in a pixel is made good by those beside it
