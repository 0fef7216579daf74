"""Times of labelled files in the forms that they are found in."""

import shlex

import numpy as np
import pytest
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.frames.times import continue_times
from framecast.readers.open import read_frames

T = 12
DATES = np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(6, "h")


def series(times=None, attributes=None, dim="time", name=None, **further):
    """A file of (DIM, y, x) whose times stand in a variable of another name, if one is given."""
    values = np.random.default_rng(0).normal(size=(T, 4, 5)).astype(np.float32)
    coordinates = {} if times is None else {name or dim: (dim, times, attributes or {})}
    return xr.Dataset({"a": ((dim, "y", "x"), values)}, {**coordinates, **further})


def times_of(tmp_path, data, **settings):
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    return read_frames(tmp_path / "x.nc", **settings).times


def shown(times, unit="h"):
    return times.astype(f"datetime64[{unit}]").astype(str).tolist()


@pytest.mark.parametrize(
    ("units", "calendar", "first"),
    [
        ("months since 1960-01-01", "360", ["1960-01-16T12", "1960-02-15T12", "1960-03-16T12"]),
        ("months since 1960-01-01 00:00:00", "standard", ["1960-01-16T12", "1960-02-15T12"]),
        ("month since 1960-02-01", None, ["1960-02-15T12", "1960-03-16T12"]),
    ],
)
def test_months_are_those_of_the_calendar(tmp_path, units, calendar, first):
    attributes = {"units": units} | ({"calendar": calendar} if calendar else {})
    times = times_of(tmp_path, series((np.arange(T) + 0.5).astype("f4"), attributes))
    assert shown(times)[: len(first)] == first
    assert continue_times(times, 1)[0] > times[-1]


def test_whole_months_and_years_since_a_day(tmp_path):
    times = times_of(tmp_path, series(np.arange(T), {"units": "months since 1999-12-15"}))
    assert shown(times, "D")[:3] == ["1999-12-15", "2000-01-15", "2000-02-15"]
    times = times_of(tmp_path, series(np.arange(T), {"units": "years since 1850-07-01"}))
    assert shown(times, "D")[:2] == ["1850-07-01", "1851-07-01"]


@pytest.mark.filterwarnings("ignore:.*a year that the calendar of dates does not have")
@pytest.mark.parametrize(
    ("reference", "first"),
    [
        ("0000-01-01", "2020-01-11"),
        ("0000-00-00", "2020-01-10"),
        ("0000-01-01 12:00:00", "2020-01-11"),
    ],
)
def test_a_year_0_is_counted_and_said(tmp_path, reference, first):
    data = series(737800 + np.arange(float(T)), {"units": f"days since {reference}"})
    with pytest.warns(UserWarning, match=f"Gregorian calendar the first is {first}"):
        times = times_of(tmp_path, data)
    assert shown(times, "D")[:1] == [first]
    assert (np.diff(times) == np.timedelta64(1, "D")).all()


def test_calendars_of_models_have_a_year_0_of_their_own(tmp_path):
    attributes = {"units": "days since 0000-01-01", "calendar": "noleap"}
    assert times_of(tmp_path, series(365.0 + np.arange(T), attributes))[0].year == 1


def test_units_that_nobody_knows_leave_numbers(tmp_path):
    data = series(np.arange(T), {"units": "fortnights since 2020-01-01"})
    with pytest.warns(UserWarning, match="'fortnights since 2020-01-01'.*plain numbers"):
        assert times_of(tmp_path, data).tolist() == list(range(T))


@pytest.mark.parametrize("dtype", ["i4", "i8", "f8"])
def test_numbers_that_read_as_days_are_days(tmp_path, dtype):
    days = np.array([20200130 + i for i in range(2)] + [20200201 + i for i in range(10)], dtype)
    times = times_of(tmp_path, series(days, {"units": "day as %Y%m%d.%f"}))
    assert shown(times, "D")[1:4] == ["2020-01-31", "2020-02-01", "2020-02-02"]


def test_numbers_that_read_as_days_and_hours(tmp_path):
    days = [2020013000, 2020013100, *range(2020020100, 2020021100, 100)]
    assert shown(times_of(tmp_path, series(12 + np.array(days))))[1:3] == [
        *("2020-01-31T12", "2020-02-01T12")
    ]
    shares = 20200101 + np.arange(T) / 24
    assert shown(times_of(tmp_path, series(shares)))[1] == "2020-01-01T01"


def test_numbers_that_are_no_days_stay_numbers(tmp_path):
    numbers = 20200130 + np.arange(T)  # the 32nd of January is none
    assert times_of(tmp_path, series(numbers)).tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("dim", "name"),
    [
        *(("Time", "XTIME"), ("step", "valid_time"), ("timestep", "time"), ("scan", "when")),
        *(("time_index", "date"), ("phony", "start_of_scan")),
    ],
)
def test_an_axis_takes_the_dates_that_lie_along_it(tmp_path, dim, name):
    times = times_of(tmp_path, series(DATES, dim=dim, name=name))
    assert (times == DATES).all()
    numbered = series(DATES, dim=dim, name=name, **{dim: np.arange(T)})
    assert (times_of(tmp_path, numbered) == DATES).all()


def test_of_several_dates_along_an_axis_the_valid_time_counts(tmp_path):
    data = series(DATES, dim="step", name="valid_time")
    data["written"] = ("step", DATES + np.timedelta64(1, "D"))
    assert (times_of(tmp_path, data) == DATES).all()


def test_dates_along_members_or_levels_make_no_time_of_them(tmp_path):
    data = series(DATES).expand_dims(event=2).assign_coords(begun=("event", DATES[:2]))
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    assert read_frames(tmp_path / "x.nc").dims == ("event", "time", "y", "x")


def test_texts_of_wrf_are_dates(tmp_path):
    texts = [str(t)[:19].replace("T", "_") for t in DATES.astype("datetime64[s]")]
    data = series(np.array(texts, "S19"), dim="Time", name="Times")
    assert (times_of(tmp_path, data) == DATES).all()


@pytest.mark.parametrize("name", ["forecast_reference_time", "time", "reftime"])
@pytest.mark.parametrize(
    ("lead", "units"), [(np.arange(T) * 6, "hours"), (np.arange(T) / 4, "days")]
)
def test_a_reference_and_lead_times_are_dates(tmp_path, name, lead, units):
    data = series(lead, {"units": units}, dim="step").assign_coords({name: DATES[0]})
    times = times_of(tmp_path, data)
    assert (times == DATES).all()


def test_lead_times_of_one_start_and_of_several_have_one_step(tmp_path):
    lead = ("step", np.arange(T) * 6, {"units": "hours"})
    one = series(dim="step", step=lead, time=DATES[0])
    several = series(dim="step", step=lead).expand_dims(time=DATES[:2])
    steps = []
    for data in (one, several):
        data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
        steps.append(str(read_frames(tmp_path / "x.nc").step))
    assert steps == ["6 h", "6 h"]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (np.arange(T)[::-1], "the axis time descends"),
        (np.r_[:6, 5:11], "the same time twice"),
        (np.r_[:5, 6, 5, 7:12], "is not sorted"),
    ],
)
def test_a_wrong_order_is_refused_when_the_file_is_read(tmp_path, order, message):
    with pytest.raises(UserError, match=message) as error:
        times_of(tmp_path, series(DATES[order]))
    assert str(tmp_path / "x.nc") in str(error.value)


@pytest.mark.parametrize("off", [3, 20])
def test_exact_times_are_kept_and_the_tolerance_goes_with_the_run(tmp_path, off, capsys):
    """Times that are off by minutes are even to a run that allows it, wherever it reads."""
    path = tmp_path / "x.nc"
    jitter = (np.arange(40) % 2) * np.timedelta64(off, "m")
    times = np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(6, "h") + jitter
    values = np.random.default_rng(0).normal(size=(40, 4, 4)).astype(np.float32)
    xr.Dataset({"a": (("time", "y", "x"), values)}, {"time": times}).to_netcdf(path)
    small = "--model.depth 1 --model.hidden 4 --training.epochs 1 --training.context 3"
    train = f"train starter --data.path {path} {small} --training.horizon 2"
    if off == 20:
        assert main(shlex.split(f"{train} --out {tmp_path}/refused")) == 2
        assert "data.time_tolerance" in capsys.readouterr().err
        assert main(["inspect", str(path)]) == 2
        assert main(["inspect", str(path), "--data.time_tolerance", "0.1"]) == 0
        assert "--data.time_tolerance 0.1" in capsys.readouterr().out
        train += " --data.time_tolerance 0.1"
    for command in (
        f"{train} --out {tmp_path}/run",
        f"forecast {tmp_path}/run {path} --steps 2 --out {tmp_path}/forecast.nc",
        f"evaluate {tmp_path}/run --data {path} --out {tmp_path}/report",
    ):
        assert main(shlex.split(command)) == 0, command
    later = xr.load_dataset(tmp_path / "forecast.nc")["time"].to_numpy()
    assert (later == times[-1] + np.arange(1, 3) * np.timedelta64(6, "h")).all()


def test_month_ends_are_forecast_as_month_ends(tmp_path):
    path = tmp_path / "x.nc"
    times = np.arange("2016-02", "2020-01", dtype="datetime64[M]").astype("datetime64[D]")
    times = (times - np.timedelta64(1, "D")).astype("datetime64[ns]")
    values = np.random.default_rng(0).normal(size=(len(times), 4, 4)).astype(np.float32)
    xr.Dataset({"a": (("time", "y", "x"), values)}, {"time": times}).to_netcdf(path)
    later = read_frames(path).times_from(0, len(times) - 1, 4)
    assert shown(later, "D") == ["2019-11-30", "2019-12-31", "2020-01-31", "2020-02-29"]
