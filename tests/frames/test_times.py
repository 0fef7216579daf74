"""Time axes: steps, and the times that come next."""

from datetime import timedelta

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.frames.times import (
    Step,
    check_ascending,
    continue_times,
    even_stretches,
    in_words,
    places_at,
    readable,
    step_of,
    times_after,
)


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


DATES = np.arange("2024-01-01", "2024-01-06", dtype="datetime64[D]")
CALENDAR = np.array([cftime.Datetime360Day(2000, 1, day) for day in range(1, 6)])


@pytest.mark.parametrize("times", [np.arange(5), np.arange(5.0), DATES, CALENDAR])
@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([4, 3, 2, 1, 0], r"the axis t descends: .* Sort .*sortby\('t'\)"),
        ([0, 1, 3, 2, 4], r"the axis t is not sorted: .* Sort .*sortby\('t'\)"),
        ([0, 1, 2, 2, 3], r"twice, 1 times in all, .*places 2 and 3: .*drop_duplicates\('t'\)"),
    ],
)
def test_each_wrong_order_has_its_message_and_remedy(times, order, message):
    with pytest.raises(UserError, match=message):
        check_ascending(times[order], "t")
    check_ascending(times, "t")


@pytest.mark.parametrize("missing", [np.datetime64("NaT"), np.nan])
def test_a_missing_time_is_named(missing):
    times = np.append(np.arange(5.0) if isinstance(missing, float) else DATES, missing)
    with pytest.raises(UserError, match=r"no time .* at 1 of 6 places, the first of which is 5"):
        step_of(times)


HOURS = np.datetime64("2024-01-01", "ns") + np.arange(40) * np.timedelta64(3600, "s")


@pytest.mark.parametrize("share", [0.0, 0.005, 0.019])
def test_times_may_jitter_about_an_even_axis(share):
    jitter = np.random.default_rng(0).uniform(-share, share, 40)
    times = HOURS + (jitter * 3600e9).astype("timedelta64[ns]")
    assert str(step_of(times)) == "1 h"
    assert even_stretches(times) == [range(40)]
    assert times_after(times[-1], step_of(times), 2)[-1] - times[-1] == np.timedelta64(7200, "s")
    gap = np.delete(times, 20)
    assert even_stretches(gap) == [range(20), range(20, 39)]
    if share:
        with pytest.raises(UserError, match=r"data\.time_tolerance"):
            step_of(times, tolerance=share / 4)
    numbers = np.arange(40) + jitter
    assert str(step_of(numbers)) == "1"


def test_more_jitter_is_allowed_by_choice():
    times = HOURS + (np.arange(40) % 2) * np.timedelta64(300, "s")
    with pytest.raises(UserError, match="the step is 65 minutes at first, but 55 minutes from"):
        step_of(times)
    assert str(step_of(times, tolerance=0.1)) == "1 h"


def test_steps_that_are_all_alike_are_not_rounded():
    assert str(step_of(HOURS[0] + np.arange(30) * np.timedelta64(3601, "s"))) == "1.00028 h"
    assert str(step_of(np.arange(300) / 29.97)) == "0.0333667"


def test_uneven_steps_are_no_gaps():
    days = [np.datetime64(f"2020-{m:02}-{d:02}") for m in range(1, 13) for d in (1, 11, 21)]
    with pytest.raises(UserError, match="the step is 10 days at first, but 11 days from"):
        step_of(np.array(days))


def ends(first, count):
    """The last days of months."""
    months = np.datetime64(first) + np.arange(1, count + 1)
    return months.astype("datetime64[D]") - np.timedelta64(1, "D")


def test_month_ends_go_on_as_month_ends():
    times = ends("2016-01", 47)  # the last is a 30 November
    assert continue_times(times, 4).astype(str).tolist() == [
        *("2019-12-31", "2020-01-31", "2020-02-29", "2020-03-31")
    ]


@pytest.mark.parametrize("unit", ["h", "D"])
def test_middles_of_months_go_on_as_middles(unit):
    months = np.arange("2019-01", "2019-12", dtype="datetime64[M]")
    first, after = (m.astype("datetime64[h]") for m in (months, months + 1))
    times = (first + (after - first) / 2).astype(f"datetime64[{unit}]").astype("datetime64[ns]")
    later = continue_times(times, 3).astype("datetime64[h]").astype(str).tolist()
    hour = "12" if unit == "h" else "00"
    assert later == [f"2019-12-16T{hour}", f"2020-01-16T{hour}", f"2020-02-15T{hour}"]


def test_a_day_that_shorter_months_lack_comes_back():
    times = np.array(["2024-01-30T06", "2024-02-29T06"], "datetime64[h]")
    assert continue_times(times, 1).astype(str).tolist() == ["2024-03-30T06"]
    noleap = np.array([cftime.DatetimeNoLeap(2001, m, 28 if m == 2 else 30) for m in range(1, 10)])
    assert continue_times(noleap, 6)[4:].tolist() == [
        cftime.DatetimeNoLeap(2002, 2, 28),
        cftime.DatetimeNoLeap(2002, 3, 30),
    ]


def test_months_without_a_february_are_months_all_the_same():
    times = np.array([f"2023-{month:02}-15" for month in range(3, 13)], "datetime64[ns]")
    assert str(step_of(times)) == "1 month(s)"
    assert continue_times(times, 3)[-1] == np.datetime64("2024-03-15")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (21600, "6 hours"),
        (300, "5 minutes"),
        (86400, "1 day"),
        (90, "90 seconds"),
        (0.5, "0.5 seconds"),
    ],
)
def test_durations_are_written_for_people(seconds, text):
    assert in_words(np.timedelta64(round(seconds * 1e9), "ns")) == text
    assert in_words(timedelta(seconds=seconds)) == text
    assert readable(np.timedelta64(round(seconds * 1e9), "ns")) == text


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


def hours(*numbers):
    return np.datetime64("2000-01-01", "s") + np.array(numbers) * np.timedelta64(1, "h")


@pytest.mark.parametrize(
    ("axis", "wanted", "off", "expected"),
    [
        (np.arange(10.0), np.array([3.0, 4, 5]), 0.02, [3, 4, 5]),
        (np.arange(10.0), np.array([8.0, 9, 10, 5]), 0.02, [8, 9]),
        (np.arange(10.0) + 0.015, np.array([0.0, 1, 2]), 0.02, [0, 1, 2]),
        (np.arange(10.0) + 0.03, np.array([0.0, 1]), 0.02, []),
        (np.array([7.0]), np.array([7.0, 8]), 0.02, [0]),
        (np.arange(10.0), np.array([]), 0.02, []),
        (hours(0, 1, 2, 3, 4), hours(2, 3, 4, 5), 0.02, [2, 3, 4]),
        (hours(0, 1, 2, 3), hours(1, 2) + np.timedelta64(60, "s"), 0.02, [1, 2]),
        (hours(0, 1, 2, 3), hours(1, 2) + np.timedelta64(600, "s"), 0.02, []),
    ],
)
def test_times_are_found_on_another_axis_where_they_only_jitter(axis, wanted, off, expected):
    step = Step(difference=axis[1] - axis[0]) if len(axis) > 1 else Step(difference=1.0)
    assert places_at(axis, wanted, step, off) == expected


def test_months_and_calendars_are_found_on_another_axis():
    months = np.array([f"2000-{m:02}-28" for m in range(1, 13)], "datetime64[D]")
    assert places_at(months, months[3:6], None, 0.02) == [3, 4, 5]
    assert places_at(months, months[3:6], Step(months=1), 0.02) == [3, 4, 5]
    days = np.array([cftime.DatetimeNoLeap(2000, 2, day) for day in range(20, 29)])
    assert places_at(days, days[2:5], Step(difference=days[1] - days[0]), 0.02) == [2, 3, 4]


@pytest.mark.parametrize(("time", "digits", "words"), [
    (22 + 2 / 3, 12, "22.6666666667"),
    (22 + 2 / 3, 6, "22.6667"),
    (1234567.5, 6, "1234568"),
    (0.1 + 0.2, 12, "0.3"),
    (np.nan, 6, "nan"),
])  # fmt: skip
def test_numbers_are_shown_with_as_many_digits_as_help(time, digits, words):
    assert readable(time, digits) == words
