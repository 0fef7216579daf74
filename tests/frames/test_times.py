"""Time axes: steps, and the times that come next."""

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.frames.times import continue_times, readable, step_of


@given(start=st.integers(-1000, 1000), step=st.integers(1, 100), count=st.integers(1, 9))
def test_an_even_axis_goes_on_evenly(start, step, count):
    times = start + step * np.arange(5)
    assert (
        continue_times(times, count).tolist()
        == (times[-1] + step * np.arange(1, count + 1)).tolist()
    )


def test_datetimes_go_on_across_a_leap_day():
    times = np.array(["2024-02-28T00", "2024-02-28T12"], "datetime64[ns]")
    assert continue_times(times, 3).astype("datetime64[h]").astype(str).tolist() == [
        "2024-02-29T00",
        "2024-02-29T12",
        "2024-03-01T00",
    ]
    assert str(step_of(times)) == "12 h"


def test_months_go_on_as_months():
    times = np.array(["2023-10-31", "2023-11-30", "2023-12-31"], "datetime64[ns]")
    assert str(step_of(times)) == "1 month(s)"
    assert continue_times(times, 3).astype("datetime64[D]").astype(str).tolist() == [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
    ]


def test_model_calendars_keep_their_own_years():
    times = np.array([cftime.Datetime360Day(2000, 2, d) for d in (28, 29, 30)])
    assert continue_times(times, 1)[0] == cftime.Datetime360Day(2000, 3, 1)
    months = np.array([cftime.DatetimeNoLeap(2000, m, 15) for m in (10, 11, 12)])
    assert continue_times(months, 2)[1] == cftime.DatetimeNoLeap(2001, 2, 15)


def test_a_gap_is_named():
    times = np.array(["2024-01-01", "2024-01-02", "2024-01-05"], "datetime64[D]")
    with pytest.raises(UserError, match="from 2024-01-02 to 2024-01-05"):
        step_of(times)
    with pytest.raises(UserError, match="not evenly spaced"):
        step_of(np.array([0.0, 1.0, 3.0]))


@pytest.mark.parametrize("times", [[3, 2, 1], [1, 1, 1]])
def test_times_that_do_not_ascend_are_refused(times):
    with pytest.raises(UserError, match="do not ascend"):
        step_of(np.array(times))


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (np.datetime64("2024-02-03T00:00:00.0", "ns"), "2024-02-03"),
        (np.datetime64("2024-02-03T06:00:00.0", "ns"), "2024-02-03T06:00"),
        (np.datetime64("2024-02-03T06:07:08.0", "ns"), "2024-02-03T06:07:08"),
        (3.5, "3.5"),
    ],
)
def test_times_are_written_for_people(time, text):
    assert readable(time) == text


def test_float_axes_may_be_rounded():
    times = np.arange(2000, dtype=np.float32) * np.float32(0.1)
    assert str(step_of(times)) == "0.1"
    assert continue_times(times, 1000)[-1] == pytest.approx(299.9, abs=1e-3)
