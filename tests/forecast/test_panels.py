"""Moving pictures of a forecast: truth, forecast and difference, with what reads them."""

from dataclasses import replace
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from conftest import DATA
from framecast.forecast.files import forecast_file
from framecast.forecast.writers import ForecastLabels
from framecast.forecast.writers.panels import Panels
from framecast.frames.frames import Channel, Coordinate, Frames
from small import run_on

AIR = DATA / "air_temperature_small.nc"


def frames_of(values, names=("t",), units="K", times=None, **coordinates):
    """Frames [N,T,C,H,W] every 6 hours."""
    start = np.datetime64("2020-01-01", "ns")
    times = np.arange(values.shape[1]) if times is None else np.array(times)
    axes = {"time": Coordinate(("time",), start + times * np.timedelta64(6, "h"))}
    axes |= {name: Coordinate((name,), np.asarray(v)) for name, v in coordinates.items()}
    dims = ("sequence", "time", "y", "x") if len(values) > 1 else ("time", "y", "x")
    channels = tuple(Channel(name, {"units": units}) for name in names)
    return Frames(values, channels, dims, coordinates=axes)


def panels_of(frames, starts=(2,), steps=3, ranges=None):
    times = np.stack([frames.times_from(0, start, steps + 1)[1:] for start in starts])
    labels = ForecastLabels(frames, np.array(starts), times, frames.channels)
    count = len(frames.channels)
    ranges = np.array([[0.0, 1.0]] * count) if ranges is None else np.array(ranges, float)
    return Panels(labels, ranges)


def shown(panels, frame, lead=1):
    """What the images of the first row hold, once a frame is drawn."""
    picture = panels.draw(frame[None], lead)
    assert picture.dtype == np.uint8
    return [np.asarray(image.get_array().filled(np.nan)) for image in panels.images[0]]


def test_truth_forecast_and_difference_stand_side_by_side():
    frames = frames_of(torch.rand(1, 4, 2, 5, 7), ("t", "u"))
    panels = panels_of(frames)
    forecast = np.random.default_rng(0).random((1, 1, 2, 5, 7))
    truth, predicted, difference = shown(panels, forecast)
    np.testing.assert_allclose(truth, frames.values[0, 3, 0])
    np.testing.assert_allclose(predicted, forecast[0, 0, 0])
    np.testing.assert_allclose(difference, forecast[0, 0, 0] - frames.values[0, 3, 0].numpy())
    assert [len(row) for row in panels.images] == [3, 3]
    assert panels.title.get_text() == "2020-01-01 18:00, 6 h ahead"
    truth, predicted, difference = shown(panels, forecast, lead=2)  # beyond the end
    assert np.isnan(truth).all()
    assert np.isnan(difference).all()
    np.testing.assert_allclose(predicted, forecast[0, 0, 0])


def test_without_truth_the_forecast_stands_alone():
    panels = panels_of(frames_of(torch.rand(1, 4, 1, 5, 7)), starts=(3,))
    assert len(shown(panels, np.zeros((1, 1, 1, 5, 7)))) == 1
    assert [axes.get_title() for axes in panels.figure.axes[:1]] == ["forecast"]


def test_what_follows_a_gap_is_no_truth():
    frames = frames_of(torch.rand(1, 6, 1, 5, 7), times=[0, 1, 2, 8, 9, 10])
    panels = panels_of(frames, starts=(2,))
    assert len(panels.images[0]) == 1


def test_colours_say_the_sign_and_bars_the_units():
    frames = frames_of(torch.rand(1, 4, 2, 5, 7), ("t", "u"))
    panels = panels_of(frames, ranges=[[-1, 3], [280, 290]])
    signed, positive = (row[1] for row in panels.images)
    assert signed.get_cmap().name == "RdBu_r"
    assert signed.get_clim() == (-3, 3)
    assert positive.get_cmap().name == "viridis"
    labels = [axes.get_ylabel() for axes in panels.figure.axes]
    assert {"t (K)", "u (K)", "difference (K)"} <= set(labels)
    low, high = panels.images[0][2].get_clim()
    moved = (frames.values[0, 3, 0] - frames.values[0, 2, 0]).abs().max()
    assert high == -low == pytest.approx(moved.item())


def test_grids_lie_as_their_coordinates_say():
    frames = frames_of(torch.rand(1, 4, 1, 3, 4), y=[10.0, 20, 30], x=[0.0, 1, 2, 3])
    image = panels_of(frames).images[0][0]
    assert image.origin == "lower"
    assert image.get_extent() == [-0.5, 3.5, 5.0, 35.0]
    frames = frames_of(torch.rand(1, 4, 1, 3, 4), y=[30.0, 20, 10], x=[0.0, 1, 2, 3])
    image = panels_of(frames).images[0][0]
    assert image.origin == "upper"
    assert image.get_extent() == [-0.5, 3.5, 5.0, 35.0]


@pytest.mark.parametrize("ascends", [False, True])
def test_north_is_up_where_each_point_has_a_latitude(ascends):
    frames = frames_of(torch.rand(1, 4, 1, 3, 4))
    lat = np.arange(12.0).reshape(3, 4)
    lat = Coordinate(("y", "x"), lat if ascends else lat[::-1], {"units": "degrees_north"})
    frames = replace(frames, coordinates={**frames.coordinates, "lat": lat})
    assert panels_of(frames).images[0][0].origin == ("lower" if ascends else "upper")


@pytest.mark.parametrize("grid", [(1, 360), (360, 1), (1, 1)])
def test_slim_grids_are_drawn(grid):
    values = np.linspace(0, 1, grid[0] * grid[1]).reshape(1, 1, 1, *grid)
    panels = panels_of(frames_of(torch.rand(1, 4, 1, *grid)))
    panels.draw(values[None], 1)
    box = panels.images[0][1].axes.get_window_extent()
    assert min(box.width, box.height) > 40


def test_a_video_is_shown_as_pictures():
    colours = frames_of(torch.rand(1, 4, 3, 5, 7) * 255, ("red", "green", "blue"), units="")
    panels = panels_of(colours, ranges=[[0, 255]] * 3)
    forecast = np.full((1, 1, 3, 5, 7), 51.0)
    panels.draw(forecast[None], 1)
    assert len(panels.images) == 1
    truth, predicted, difference = (image.get_array() for image in panels.images[0])
    true = colours.values[0, 3].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(truth, true / 255, atol=1e-6)
    np.testing.assert_allclose(predicted, 0.2)
    np.testing.assert_allclose(difference, (51 - true).mean(-1), rtol=1e-5)
    grey = panels_of(frames_of(torch.rand(1, 4, 1, 5, 7), ("grey",)))
    assert grey.images[0][0].get_cmap().name == "gray"


def test_several_forecasts_are_named():
    frames = frames_of(torch.rand(2, 6, 1, 5, 7))
    panels = panels_of(frames, starts=(2, 3))
    panels.draw(np.zeros((1, 2, 2, 1, 5, 7)), 1)
    named = [row[0].axes.get_ylabel() for row in panels.images]
    assert named[1] == "sequence 0\nfrom 2020-01-01T18:00"
    assert len(named) == 3  # of four: more would be too small to see
    assert panels.title.get_text() == "6 h ahead"


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_moving_pictures(tmp_path, suffix):
    run_on(AIR, tmp_path)
    out = tmp_path / f"f{suffix}"
    forecast_file(tmp_path, AIR, 6, out, starts=["12"])
    with av.open(out) as video:
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == 6
    assert all((a != b).any() for a, b in pairwise(pictures))
    assert pictures[0].shape[1] > 700
