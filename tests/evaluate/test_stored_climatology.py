"""A climatology that a store holds by hour and day of the year, as WeatherBench 2 has them."""

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.evaluate import score_files
from framecast.forecast.baselines.stored import StoredClimate, is_stored
from framecast.metrics import MetricChoice
from framecast.readers.open import read_frames

LAT, LON = np.linspace(-75, 75, 6), np.arange(8) * 45.0
NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}
UNITS = {"units": "m**2 s**-2"}
HOURS = {"units": "hours", "standard_name": "forecast_period"}


def usual(day, hour, level=500):
    """What is usual on a day of the year from 1 on, at an hour: [..., 6, 8]."""
    day, hour = (np.asarray(value, float)[..., None, None] for value in (day, hour))
    return 1000 * level + 100 * day + 3 * hour + LAT[:, None] + LON / 100


def write_climatology(path, descending=True, hours=(0, 6, 12, 18), days=366):
    day, hour = np.meshgrid(np.arange(1, days + 1), hours)  # [hour, day]
    values = np.stack([usual(day, hour, level) for level in (500, 850)], 2)
    dims = ("hour", "dayofyear", "level", "latitude", "longitude")
    stored = ("hour", "dayofyear", "level", "longitude", "latitude")
    data = xr.Dataset(
        {"geopotential": xr.DataArray(values, dims=dims).transpose(*stored).assign_attrs(UNITS)},
        {
            "hour": ("hour", np.array(hours, "i8")),
            "dayofyear": ("dayofyear", np.arange(1, days + 1)),
            "level": ("level", np.array([500, 850], "i8")),
            "latitude": ("latitude", LAT, NORTH),
            "longitude": ("longitude", LON, EAST),
        },
    )
    data = data.isel(latitude=slice(None, None, -1)) if descending else data
    data.to_zarr(path, zarr_format=2, consolidated=True)
    return path


def test_it_is_read_as_days_and_hours(tmp_path):
    frames = read_frames(write_climatology(tmp_path / "c.zarr"), ["geopotential_500"], lazy=True)
    assert is_stored(frames)
    assert frames.values.shape == (366, 4, 1, 6, 8)
    assert frames.times.tolist() == [0, 6, 12, 18]
    np.testing.assert_allclose(
        frames.values[59, 0:4][:, 0], usual([60] * 4, [0, 6, 12, 18])[:, ::-1]
    )


@pytest.mark.parametrize(
    ("time", "day", "hour"),
    [
        ("2020-02-29T06", 60, 6),
        ("2020-03-01T00", 61, 0),
        ("2019-03-01T18", 60, 18),
        ("2020-12-31T12", 366, 12),
        ("2019-12-31T12", 365, 12),
    ],
)
def test_a_day_of_the_year_is_that_of_its_year(tmp_path, time, day, hour):
    frames = read_frames(write_climatology(tmp_path / "c.zarr", False), ["geopotential_500"])
    made = StoredClimate.of(frames).at(np.array([time], "datetime64[ns]"))
    np.testing.assert_allclose(made[0, 0], usual(day, hour), rtol=1e-6)


def test_between_two_hours_it_is_a_mean_by_nearness_across_midnight_and_new_year(tmp_path):
    frames = read_frames(write_climatology(tmp_path / "c.zarr", False), ["geopotential_850"])
    climate = StoredClimate.of(frames)
    times = np.array(["2020-05-01T08", "2020-05-01T21", "2019-12-31T22"], "datetime64[ns]")
    day = 31 + 29 + 31 + 30 + 1
    expected = [
        2 / 3 * usual(day, 6, 850) + 1 / 3 * usual(day, 12, 850),
        1 / 2 * usual(day, 18, 850) + 1 / 2 * usual(day + 1, 0, 850),
        1 / 3 * usual(365, 18, 850) + 2 / 3 * usual(1, 0, 850),
    ]
    np.testing.assert_allclose(climate.at(times)[:, 0], np.stack(expected), rtol=1e-6)


@pytest.fixture
def forecasts(tmp_path, monkeypatch):
    """A truth across the end of February in a leap year, a forecast of it, and what is usual."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    times = np.datetime64("2020-02-25", "ns") + np.arange(40) * np.timedelta64(6, "h")
    days = (times.astype("datetime64[D]") - np.datetime64("2019-12-31")).astype(int)
    normal = usual(days, np.arange(40) % 4 * 6)
    truth = normal + rng.normal(0, 50, normal.shape)
    space = {"latitude": ("latitude", LAT, NORTH), "longitude": ("longitude", LON, EAST)}
    dims = ("time", "latitude", "longitude")
    data = xr.Dataset({"geopotential_500": (dims, truth, UNITS)}, {"time": times, **space})
    data.to_netcdf("truth.nc", engine="h5netcdf")
    starts, leads = np.arange(2, 30, 4), np.arange(1, 5)
    ahead = truth[starts[:, None] + leads] + rng.normal(0, 30, (len(starts), 4, 6, 8))
    xr.Dataset(
        {"geopotential_500": (("init_time", "lead", *dims[1:]), ahead, UNITS)},
        {"init_time": times[starts], "lead": ("lead", 6.0 * leads, HOURS), **space},
    ).to_netcdf("f.nc", engine="h5netcdf")
    place = starts[:, None] + leads
    return truth[place], ahead, normal[place]


@pytest.mark.parametrize("descending", [False, True])
def test_it_is_a_forecast_to_beat_and_what_anomalies_are_of(forecasts, descending):
    truth, ahead, normal = forecasts
    path = write_climatology("c.zarr", descending)
    evaluation = score_files(["f.nc"], "truth.nc", climatology=path)
    known = {baseline.label: baseline for baseline in evaluation.baselines}["climatology"]
    weights = np.cos(np.deg2rad(LAT))[:, None] * np.ones(8)
    squares = ((normal - truth) ** 2 * weights).sum((0, 2, 3)) / (7 * weights.sum())
    np.testing.assert_allclose(known.mean("rmse")[:, 0], np.sqrt(squares), rtol=1e-4)
    ours, theirs = ahead - normal, truth - normal
    products, powers = (ours * theirs * weights), [(a**2 * weights) for a in (ours, theirs)]
    acc = products.sum((0, 2, 3)) / np.sqrt(np.prod([p.sum((0, 2, 3)) for p in powers], 0))
    np.testing.assert_allclose(evaluation.models[0].mean("acc")[:, 0], acc, rtol=1e-3)


def test_from_the_command_line(forecasts, capsys):
    write_climatology("c.zarr")
    assert main(["score", "f.nc", "truth.nc", "--climatology", "c.zarr", "--out", "out"]) == 0
    assert "climatology" in capsys.readouterr().out


def test_means_have_no_percentiles(forecasts):
    write_climatology("c.zarr")
    choice = MetricChoice(thresholds={"geopotential_500": ("p90",)})
    with pytest.raises(UserError, match="means by day of the year and hour, of which percentiles"):
        score_files(["f.nc"], "truth.nc", climatology="c.zarr", metrics=choice)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"hours": (0, 6, 12)}, "must divide it evenly from 0 on"),
        ({"hours": (3, 9, 15, 21)}, "must divide it evenly from 0 on"),
        ({"days": 300}, "must be 1 to 366"),
    ],
)
def test_a_climatology_that_is_not_whole_is_refused(forecasts, keys, words):
    write_climatology("c.zarr", **keys)
    with pytest.raises(UserError, match=words):
        score_files(["f.nc"], "truth.nc", climatology="c.zarr")


def test_a_variable_that_it_lacks_is_named(forecasts):
    write_climatology("c.zarr")
    data = xr.load_dataset("f.nc", engine="h5netcdf")
    truth = xr.load_dataset("truth.nc", engine="h5netcdf")
    data.rename(geopotential_500="z").to_netcdf("g.nc", engine="h5netcdf")
    truth.rename(geopotential_500="z").to_netcdf("t.nc", engine="h5netcdf")
    with pytest.raises(UserError, match="has no z: a climatology has the variables"):
        score_files(["g.nc"], "t.nc", climatology="c.zarr")


def test_what_was_never_known_is_told(tmp_path):
    frames = read_frames(write_climatology(tmp_path / "c.zarr"), ["geopotential_500"])
    frames.values[:, :, :, 2, 3] = torch.nan
    climate = StoredClimate.of(frames)
    assert (~climate.possible).nonzero().tolist() == [[0, 2, 3]]
    assert not climate.table.isnan().any()
