"""A stretch of time, and every so many frames of it."""

import datetime

import cftime
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.durations import check_every
from framecast.frames.frames import Frames
from framecast.frames.period import check_period, cut_period, thin
from framecast.readers.open import read_frames


def series(times, sequences=1):
    """Frames whose values are the places of their times."""
    values = torch.arange(len(times)).float()[None, :, None, None, None]
    dims = ("time", "y", "x") if sequences == 1 else ("n", "time", "y", "x")
    return Frames(
        values.expand(sequences, -1, 1, 2, 2).clone(),
        (Channel("a"),),
        dims,
        {"time": Coordinate(("time",), np.asarray(times))},
    )


def hours(start, count, step=1):
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(step, "h")


def kept(frames):
    return frames.values[0, :, 0, 0, 0].int().tolist()


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        (["2000-01-02", "2000-01-03"], 24, 71),
        ([datetime.date(2000, 1, 2), datetime.datetime(2000, 1, 3, 6)], 24, 54),
        (["2000-01-02 06:00", None], 30, 99),
        ([None, "2000-01-01T12"], 0, 12),
        ([2000, "2000-01"], 0, 99),
    ],
)
def test_a_part_of_a_date_stands_for_all_times_that_begin_with_it(period, first, last):
    part = cut_period(series(hours("2000-01-01", 100)), period)
    assert kept(part) == list(range(first, last + 1))
    assert part.times[0] == hours("2000-01-01", 100)[first]


def test_calendars_without_leap_days_and_plain_numbers():
    times = [cftime.DatetimeNoLeap(1999, month, 15) for month in range(1, 13)]
    assert kept(cut_period(series(times), ["1999-03", "1999-05-20"])) == [2, 3, 4]
    assert kept(cut_period(series(np.arange(10) * 0.5), [1, 2.5])) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("times", "period", "words"),
    [
        (hours("2000-01-01", 9), ["2001", None], "no frame lies.*2000-01-01 to 2000-01-01T08"),
        (np.arange(5.0), ["2001", None], "no frame lies"),
        (np.arange(5.0), ["2001-01", None], "has no dates"),
    ],
)
def test_a_period_without_frames_is_refused(times, period, words):
    with pytest.raises(UserError, match=words):
        cut_period(series(times), period)


@pytest.mark.parametrize("every", ["6h", "6 hours", "0.25 days", 6])
@pytest.mark.parametrize(("anchor", "first"), [("first", 0), ("last", 1)])
def test_every_six_hours(every, anchor, first):
    part = thin(series(hours("2000-01-01", 20)), every, anchor)
    assert kept(part) == list(range(first, 20, 6))
    assert str(part.step) == "6 h"


def test_frames_that_are_there_already_stay():
    frames = series(hours("2000-01-01", 20, 6))
    assert thin(frames, "6 h") is frames


def test_frames_are_counted_in_time_across_gaps():
    """The seventh hour is missing, so that every sixth frame would be at 0, 6, 13."""
    times = np.delete(hours("2000-01-01", 20), 7)
    assert thin(series(times), "6 h").times.tolist() == hours("2000-01-01", 4, 6).tolist()


def test_months_and_numbers_are_counted():
    months = np.array([f"2000-{m:02}-01" for m in range(1, 13)], "datetime64[ns]")
    assert kept(thin(series(months), 3)) == [0, 3, 6, 9]
    assert kept(thin(series(np.arange(10) * 0.1), 4)) == [0, 4, 8]


@pytest.mark.parametrize(
    ("times", "every", "words"),
    [
        (hours("2000-01-01", 9, 3), "4 h", "1.33333 of its steps of 3 hours"),
        (hours("2000-01-01", 9, 3), "1 h", "0.333333 of its steps"),
        (np.arange(9.0), "6 h", "give a number of frames"),
    ],
)
def test_what_is_no_whole_number_of_steps_is_refused(times, every, words):
    with pytest.raises(UserError, match=words):
        thin(series(times), every)


@pytest.mark.parametrize("every", [0, -2, "-6 h", "6", "soon", "1 month"])
def test_what_is_no_duration_is_refused(every):
    with pytest.raises(ValueError, match="every"):
        check_every(every)


@pytest.mark.parametrize("period", [[], ["2000"], [None, None], ["2000", "2001", "2002"]])
def test_a_period_has_two_ends(period):
    with pytest.raises(ValueError, match="first, last"):
        check_period(period)


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(1, 9), st.sampled_from(["first", "last"]))
def test_lazy_frames_are_those_of_memory(tmp_path_factory, length, every, anchor):
    path = tmp_path_factory.mktemp("f") / "x.nc"
    data = np.random.default_rng(length).normal(size=(length, 3, 4)).astype("f4")
    axis = {"time": hours("2000-01-01", length)}
    xr.Dataset({"a": (("time", "y", "x"), data)}, axis).to_netcdf(path, engine="h5netcdf")
    held = read_frames(path, every=every, anchor=anchor)
    lazy = read_frames(path, every=every, anchor=anchor, lazy=True)
    assert torch.equal(lazy.values[0, :], held.values[0])
    start = (length - 1) % every if anchor == "last" else 0
    assert np.array_equal(held.values[0, :, 0].numpy(), data[start::every])
    assert np.array_equal(held.times, axis["time"][start::every])
