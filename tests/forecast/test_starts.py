"""Where forecasts start: places, and times in whatever way they are printed."""

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.forecast.starts import find_start
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.frames import Frames

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
