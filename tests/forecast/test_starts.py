"""Where forecasts start: places, and times in whatever way they are printed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from framecast import forecast_file
from framecast.base.errors import UserError
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import forecast_frames
from framecast.forecast.starts import find_start
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.frames import Frames
from globe import all_roles, checkpoint_of, frames_of

AXES = {
    "dates": np.datetime64("2020-01-01", "ns") + np.arange(12) * np.timedelta64(6, "h"),
    "jitter": np.datetime64("2020-01-01", "ns")
    + np.arange(12) * np.timedelta64(6, "h")
    + np.array([0, 3] * 6) * np.timedelta64(1, "us"),
    "calendar": xr.date_range(
        "2001-10-28", periods=70, freq="D", calendar="360_day", use_cftime=True
    ).to_numpy(),
    "durations": np.arange(12) * np.timedelta64(10, "m").astype("m8[ns]"),
    "numbers": np.arange(12) * 0.1,
    "months": np.array([f"2001-{month:02d}" for month in range(1, 13)], "M8[ns]"),
}


def frames_on(axis):
    return Frames(
        torch.zeros(1, len(axis), 1, 2, 2),
        (Channel("u"),),
        coordinates={"time": Coordinate(("time",), axis)},
        dims=("time", "y", "x"),
    )


@pytest.mark.parametrize(("axis", "start", "place"), [
    ("dates", "3", 3),
    ("dates", "-1", 11),
    ("dates", "2020-01-01T18", 3),
    ("dates", "2020-01-01 18:00:00", 3),
    ("dates", "2020-01-02", 4),
    ("jitter", "2020-01-01T18:00", 3),
    ("calendar", "2001-10-30", 2),
    ("calendar", "2001-11-01 00:00:00", 3),
    ("calendar", "2001-12-30T00:00:00", 62),
    ("durations", "100 minutes", 10),
    ("durations", "1h40m", 10),
    ("durations", "0 days 01:40:00", 10),
    ("durations", "6000 s", 10),
    ("numbers", "0.3", 3),
    ("numbers", "0.30000000000000004", 3),
    ("months", "2001-04", 3),
])  # fmt: skip
def test_a_start_is_found_as_people_write_it(axis, start, place):
    assert find_start(frames_on(AXES[axis]), start) == place


@pytest.mark.parametrize(("axis", "start"), [
    ("dates", "2020-01-01T17"),
    ("dates", "2019-12-31"),
    ("dates", "soon"),
    ("dates", "NaT"),
    ("jitter", "2020-01-01T18:10"),
    ("calendar", "2001-1"),  # no whole number of a date
    ("calendar", "2003-01-01"),
    ("durations", "95 minutes"),
    ("durations", "2020-01-01"),
    ("numbers", "0.35"),
    ("numbers", "nan"),
    ("months", "2001-04-02"),
])  # fmt: skip
def test_what_is_no_time_of_a_frame_is_refused_with_those_that_are(axis, start):
    with pytest.raises(UserError, match=r"has no frame at this time; its times go from .* to "):
        find_start(frames_on(AXES[axis]), start)


@pytest.mark.parametrize(("asked", "words"), [
    ({"steps": 3, "starts": [10]}, r"--start 10: .* has 10 frames, 0 to 9"),
    ({"steps": 3, "starts": [-11]}, "--start -11"),
    ({"steps": 0}, "at least 1 lead time"),
])  # fmt: skip
def test_what_cannot_be_forecast_is_refused_in_python_too(asked, words):
    frames = frames_of(["u", "v"])
    with pytest.raises(UserError, match=words):
        list(forecast_frames(Predictor(checkpoint_of(frames), "cpu"), frames, **asked))


def test_forcings_are_of_one_sequence_or_of_each():
    frames, checkpoint = all_roles()
    twice = {name: getattr(frames, name).repeat_interleave(2, 0) for name in ("values", "actions")}
    two = replace(frames, dims=("n", *frames.dims), **twice)
    with pytest.raises(UserError, match=r"has 2 sequences, and .* 1: give forcings of one"):
        list(forecast_frames(Predictor(checkpoint, "cpu"), frames, 3, further=two))


@pytest.mark.parametrize("step", [0.1, 1.0])
def test_lead_times_of_numbers_are_the_same_from_every_start(tmp_path, step):
    """0.1 is no number of binary digits: lead times differ in the last of them."""
    field = np.random.default_rng(0).normal(size=(12, 4, 4))
    data = xr.Dataset({"t": (("time", "y", "x"), field)}, {"time": np.arange(12) * step})
    data.to_netcdf(tmp_path / "n.nc", engine="h5netcdf")
    forecast_file("persistence", tmp_path / "n.nc", 2, tmp_path / "f.nc", starts=[4, 7, 11])
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf", decode_timedelta=False) as made:
        assert made["lead_time"].attrs["standard_name"] == "forecast_period"
        assert "months" not in made["lead_time"].attrs["long_name"]


def test_lead_times_of_months_say_from_where_they_count(tmp_path):
    months = xr.date_range("2001-01-01", periods=24, freq="MS")
    field = xr.DataArray(np.random.default_rng(0).normal(size=(24, 4, 4)), dims=("time", "y", "x"))
    field.assign_coords(time=months).rename("t").to_netcdf(tmp_path / "m.nc", engine="h5netcdf")
    for starts in ([10], [10, 12]):
        out = tmp_path / f"{len(starts)}.nc"
        forecast_file("persistence", tmp_path / "m.nc", 2, out, starts=starts)
        with xr.open_dataset(out, engine="h5netcdf", decode_timedelta=False) as made:
            lead = made["lead_time"]
            single = len(starts) == 1
            assert ("standard_name" in lead.attrs) is single
            assert lead.attrs["long_name"].startswith(
                "time since " + ("start" if single else "the")
            )
            assert (
                made["time"].values == np.squeeze([months[s + 1 : s + 3] for s in starts])
            ).all()
