"""Dates of frames whose times are plain numbers, or counted: data.time_units."""

import cftime
import numpy as np
import pytest
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.readers.open import read_frames

VALUES = np.random.default_rng(0).random((5, 3, 4)).astype("f4")


@pytest.mark.parametrize(
    ("units", "second", "last"),
    [
        ("hours since 1996-01-05", "1996-01-05T06", "1996-01-06"),
        ("days since 1996-01-05 12:00", "1996-01-11T12", "1996-01-29T12"),
        ("10 minutes since 2020-02-28T23:00:00", "2020-02-29", "2020-02-29T03"),
        ("months since 2000-01-15", "2000-07-15", "2002-01-15"),
        ("0.5 hours since 1996-01-05", "1996-01-05T03", "1996-01-05T12"),
    ],
)
def test_numbers_on_the_axis_are_dates(tmp_path, units, second, last):
    path = tmp_path / "x.nc"
    data = xr.Dataset({"a": (("timestep", "y", "x"), VALUES)}, {"timestep": np.arange(5) * 6})
    data.to_netcdf(path, engine="h5netcdf")
    times = read_frames(path, time_units=units).times
    assert times[1] == np.datetime64(second)
    assert times[-1] == np.datetime64(last)


def test_frames_without_an_axis_are_counted(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    frames = read_frames(tmp_path / "x.npy", time_units="6 hours since 1996-01-05")
    assert frames.times[-1] == np.datetime64("1996-01-06")
    assert str(frames.step) == "6 h"


def test_numbers_that_go_on_from_file_to_file(tmp_path):
    for n, part in enumerate((slice(0, 3), slice(3, 5))):
        data = xr.Dataset({"a": (("time", "y", "x"), VALUES)}, {"time": np.arange(5) * 6})
        data.isel(time=part).to_netcdf(tmp_path / f"{n}.nc", engine="h5netcdf")
    frames = read_frames(tmp_path, time_units="hours since 1996-01-05")
    assert (
        frames.times[[0, -1]].tolist() == np.array(["1996-01-05", "1996-01-06"], "M8[ns]").tolist()
    )


def test_frames_with_dates_keep_them_and_it_is_said(tmp_path):
    times = [cftime.DatetimeNoLeap(2000, 1, day) for day in range(1, 6)]
    data = xr.Dataset({"a": (("time", "y", "x"), VALUES)}, {"time": times})
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.warns(UserWarning, match="has dates: data.time_units is not needed"):
        frames = read_frames(tmp_path / "x.nc", time_units="hours since 1996-01-05")
    assert frames.times[0].year == 2000


@pytest.mark.parametrize(
    "units",
    ["hours", "1996-01-05", "fortnights since 1996-01-05", "hours since soon", "since 1996"],
)
def test_nonsense_is_refused_before_anything_is_read(units):
    with pytest.raises(ValueError, match="must be such as 'hours since 1996-01-05'"):
        DataConfig(path="x.nc", time_units=units)


def test_a_date_beyond_the_calendar_is_refused(tmp_path):
    data = xr.Dataset({"a": (("time", "y", "x"), VALUES)}, {"time": np.arange(5) * 1e12})
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=r"x\.nc: time_units"):
        read_frames(tmp_path / "x.nc", time_units="days since 1996-01-05")


def test_the_dates_hold_from_the_training_to_the_forecast(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).random((30, 3, 4)).astype("f4"))
    options = "--model.depth 1 --model.hidden 4 --training.epochs 1 --training.context 2"
    units = ["--data.time_units", "6 hours since 1996-01-05", "--training.horizon", "2"]
    assert main(["train", "x.npy", *options.split(), *units, "--out", "run"]) == 0
    assert main(["forecast", "run", "x.npy", "--steps", "1", "--out", "f.nc"]) == 0
    with xr.open_dataset("f.nc", engine="h5netcdf") as made:
        assert made["time"].values.ravel()[0] == np.datetime64("1996-01-12T12")
