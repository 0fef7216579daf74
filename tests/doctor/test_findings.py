"""What the data doctor sees, and by what evidence."""

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import DATA
from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.doctor import examine, propose
from framecast.doctor.channels import examine_channels
from framecast.doctor.screen import describe, draw
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.grids import find_grid
from small import travelling_wave
from videos import folder_of_videos, noise, write_video

AIR = DATA / "air_temperature_small.nc"


def rows_of(path, given=None, **data):
    findings = examine(DataConfig(path=str(path), **data))
    return describe(findings, propose(findings, given or {}))


def frames_of(values, names=("t",), **coordinates):
    values = torch.as_tensor(np.asarray(values), dtype=torch.float32)
    axes = {"time": Coordinate(("time",), np.arange(values.shape[1]))}
    for name, (axis, units) in coordinates.items():
        axes[name] = Coordinate((name,), np.asarray(axis, float), {"units": units})
    dims = ("time", *(coordinates or ("y", "x")))
    return Frames(values, tuple(Channel(name) for name in names), dims, coordinates=axes)


def test_a_labelled_file_is_described_in_words():
    rows = rows_of(AIR)
    assert rows["kind"] == "NetCDF file"
    assert rows["frames"] == "20: 5.3 kB each, 106 kB together"
    assert rows["times"] == "2014-02-24 to 2014-02-28T18:00 every 6 h (time)"
    assert rows["grid"] == "25 rows (lat) × 53 columns (lon)"
    assert rows["grid kind"] == "regional: latitudes 15 to 75, longitudes 200 to 330"
    assert rows["air [degK]"].startswith("226.1 to 305.1; all known; correlation")


def test_persistence_errs_as_it_does(tmp_path):
    """On a ramp a frame is wrong by the lead times the slope."""
    ramp = 0.5 * np.arange(20)[:, None, None] * np.ones((4, 5))
    channel = examine_channels(frames_of(ramp[None, :, None]))[0]
    assert channel.persistence == pytest.approx({1: 0.5, 2: 1.0, 4: 2.0, 8: 4.0})
    assert not channel.constant
    still = examine_channels(
        frames_of(np.random.default_rng(0).random((1, 1, 1, 4, 5)).repeat(9, 1))
    )
    assert still[0].constant
    assert not still[0].uniform
    assert examine_channels(frames_of(np.ones((1, 9, 1, 4, 5))))[0].uniform


def test_correlation_is_one_for_what_stays_and_none_for_noise():
    random = np.random.default_rng(0)
    noisy = examine_channels(frames_of(random.normal(size=(1, 40, 1, 16, 16))))[0]
    assert noisy.correlation == pytest.approx(0, abs=0.05)
    wave = examine_channels(frames_of(travelling_wave(1, 40, 64)))[0]
    assert wave.correlation == pytest.approx(np.cos(2 * np.pi / 64), abs=0.01)


@pytest.mark.parametrize("value", [-9999.0, 1e20])
def test_a_value_far_from_all_others_is_suspected_to_mean_missing(tmp_path, value):
    values = np.random.default_rng(0).normal(280, 5, (20, 6, 7)).astype(np.float32)
    values[:, 2, 3] = value
    np.save(tmp_path / "f.npy", values)
    (note,) = [text for text in rows_of(tmp_path / "f.npy").values() if "lies far" in text]
    assert f"{value:g} (2.4 % of the values) lies far from all others" in note
    assert f"--data.missing '[{value:g}]'" in note
    known = rows_of(tmp_path / "f.npy", missing=[value])
    assert not [text for text in known.values() if "lies far" in text]
    assert "2.4 % missing" in known["channel_0"]


def test_what_is_common_is_not_suspected():
    rain = np.random.default_rng(0).gamma(0.1, 5, (1, 20, 1, 8, 8)).clip(0.5) - 0.5
    assert examine_channels(frames_of(rain))[0].sentinel is None


def test_gaps_are_named(tmp_path):
    times = np.datetime64("2020-01-01", "ns") + np.array([0, 1, 2, 3, 7, 8, 9, 10, 11]) * (
        np.timedelta64(6, "h")
    )
    values = np.random.default_rng(0).random((9, 3, 4)).astype(np.float32)
    xr.Dataset({"t": (("time", "y", "x"), values)}, {"time": times}).to_netcdf(
        tmp_path / "g.nc", engine="h5netcdf"
    )
    assert rows_of(tmp_path / "g.nc")["gaps"].startswith("frames are missing before 2020-01-02T18")


DEGREES = ("degrees_north", "degrees_east")


@pytest.mark.parametrize(
    ("rows", "columns", "units", "name", "padding"),
    [
        (np.linspace(90, -90, 7), np.arange(0, 360, 30), DEGREES, "global", "sphere_poles"),
        (np.linspace(-75, 75, 6), np.arange(0, 360, 30), DEGREES, "global", "sphere"),
        (np.linspace(-75, 75, 6), np.arange(0, 360, 40), DEGREES, "global", "cylinder"),
        (np.linspace(-60, 60, 7), np.arange(0, 360, 30), DEGREES, "global", "cylinder"),
        (np.linspace(-90, 75, 12), np.arange(0, 360, 30), DEGREES, "global", "cylinder"),
        (np.linspace(60, 30, 7), np.arange(0, 90, 10), DEGREES, "regional", "replicate"),
        (np.arange(7) * 1e3, np.arange(9) * 1e3, ("m", "m"), "projected", "replicate"),
    ],
)
def test_grids_are_known_by_their_coordinates(rows, columns, units, name, padding):
    values = np.random.default_rng(0).random((1, 5, 1, len(rows), len(columns)))
    grid = find_grid(frames_of(values, y=(rows, units[0]), x=(columns, units[1])))
    assert (grid.name, grid.padding) == (name, padding)


def test_grids_without_coordinates_are_known_by_their_values():
    y, x = np.mgrid[:16, :16] * 2 * np.pi / 16
    wraps = np.stack([np.sin(x + t) + np.cos(y) for t in range(5)])[None, :, None]
    assert find_grid(frames_of(wraps)).padding == "circular"
    assert find_grid(frames_of(np.sin(wraps[..., :9, :9]) + x[:9, :9])).name == "unlabelled"
    assert find_grid(frames_of(wraps, ("grey",))).name == "pixels"


def test_a_large_video_is_made_smaller(tmp_path):
    rows = rows_of(write_video(tmp_path / "street.avi", noise(12, 120, 160), rate=25))
    assert rows["kind"] == "video"
    assert rows["times"].endswith("25 frames a second")
    assert rows["data.options.size"].startswith("[96, 128]")
    assert rows["data.source"].startswith("videos")


def test_folders_are_described_by_their_parts(tmp_path):
    rows = rows_of(folder_of_videos(tmp_path / "v", (12, 7, 20)))
    assert rows["kind"] == "folder of videos"
    assert rows["frames"].startswith("7 to 20 in each of 3 sequences")
    (tmp_path / "d").mkdir()
    for name, count in (("train", 9), ("test", 4)):
        np.save(tmp_path / "d" / f"{name}.npy", np.random.default_rng(0).random((count, 3, 3)))
    rows = rows_of(tmp_path / "d")
    assert rows["kind"] == "folder of train, validation, test"
    assert rows["train frames"].startswith("9:")
    assert rows["test frames"].startswith("4:")


def test_a_path_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        examine(DataConfig(path=str(tmp_path / "none")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        examine(DataConfig(path=str(tmp_path / "empty")))


def test_the_picture_in_the_terminal_has_north_at_the_top():
    values = np.zeros((1, 3, 1, 8, 8))
    values[..., 6:, :] = 1
    up = draw(frames_of(values, y=(np.arange(8), "m"), x=(np.arange(8), "m")))
    down = draw(frames_of(values, y=(np.arange(8)[::-1], "m"), x=(np.arange(8), "m")))
    assert up.splitlines()[0] == "█" * 8
    assert down.splitlines()[0] == " " * 8
    assert draw(frames_of(np.zeros((1, 3, 1, 8, 8)))) == ""
