"""Figures that are drawn once: their pictures are those of drawing them anew for each frame."""

import numpy as np
import pytest
import torch
from test_panels import frames_of

from framecast.forecast.writers import ForecastLabels
from framecast.forecast.writers.panels import Panels

COLOURS = ("red", "green", "blue")


def drawn(values, names, grid, lead, members=None, starts=(2,), **coordinates):
    """A lead as `Panels` draws it, and the same figure drawn anew by Matplotlib."""
    frames = frames_of(values, names, **coordinates)
    times = np.stack([frames.times_from(0, start, 4)[1:] for start in starts])
    labels = ForecastLabels(frames, np.array(starts), times, frames.channels, members=members)
    panels = Panels(labels, np.array([[-1.0, 2.0]] * len(names)))
    shape = members or 1, len(values), len(starts), len(names), *grid
    forecast = np.random.default_rng(lead).normal(0.5, 0.5, shape).astype(np.float32)
    forecast[..., :1, :2] = np.nan
    panels.draw(np.zeros(shape, np.float32), 1)
    picture = panels.draw(forecast, lead)
    panels.backdrop.canvas.draw()
    return picture.astype(int), panels.backdrop.seen.astype(int), panels


@pytest.mark.parametrize(
    ("names", "grid", "more"),
    [
        (["t"], (64, 64), {}),
        (["t", "u"], (9, 14), {"members": 3}),
        (["t"], (9, 14), {"starts": (2, 3)}),
        (["t"], (9, 14), {"y": np.arange(9.0) + 10, "x": np.arange(14.0)}),
        (["t"], (9, 14), {"y": 10 - np.arange(9.0)}),
        (["t"], (300, 120), {}),
        (["t"], (1, 360), {}),
        (["t"], (1, 1), {}),
        (["grey"], (9, 14), {}),
        (COLOURS, (9, 14), {}),
    ],
)
def test_pictures_are_those_of_a_full_drawing(names, grid, more):
    picture, full, panels = drawn(torch.rand(1, 7, len(names), *grid), names, grid, 2, **more)
    differences = abs(picture - full)
    assert differences.max() <= 2
    edges = np.concatenate([pixels.edge for pixels in panels.backdrop.pixels])
    differences.reshape(-1, 4)[edges] = 0
    assert differences.max() == 0
    assert len(edges) < 0.02 * picture[..., 0].size


def test_nothing_moves_from_frame_to_frame_but_images_and_the_title():
    frames = frames_of(torch.rand(1, 7, 2, 9, 14), ["t", "u"])
    times = frames.times_from(0, 2, 4)[None, 1:]
    labels = ForecastLabels(frames, np.array([2]), times, frames.channels)
    panels = Panels(labels, np.array([[0.0, 1.0]] * 2))
    first, second = (panels.draw(np.full((1, 1, 1, 2, 9, 14), lead / 3), lead) for lead in (1, 2))
    still = np.ones(first.shape[:2], bool)
    for row in panels.images:
        for image in row:
            left, bottom, right, top = image.axes.bbox.extents.round().astype(int)
            still[len(still) - top - 1 : len(still) - bottom + 1, left - 1 : right + 1] = False
    still[:25] = False
    assert (first[still] == second[still]).all()
    assert (first[:25] != second[:25]).any()
    assert (first[~still] != second[~still]).any()
