"""Baselines forecast a file as a run does, from its past alone."""

import shlex

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from conftest import DATA
from framecast.cli import main
from framecast.forecast.baselines import BASELINES
from framecast.forecast.writers.animation import _shown
from framecast.forecast.writers.labels import ForecastLabels
from framecast.readers.open import read_frames

AIR = DATA / "air_temperature_small.nc"


def made(path):
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


@pytest.fixture(autouse=True)
def _within(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", BASELINES.names())
def test_a_baseline_forecasts_a_file(name):
    command = f"forecast {name} {AIR} --steps 3 --start 9 14 --out f.nc"
    assert main(command.split()) == 0
    forecast = made("f.nc")
    assert forecast["air"].dims == ("start", "lead_time", "lat", "lon")
    assert forecast["air"].attrs["units"] == made(AIR)["air"].attrs["units"]
    assert np.isfinite(forecast["air"].values).all()
    assert f"framecast forecast {name}" in forecast.attrs["history"]


@pytest.mark.parametrize("name", BASELINES.names())
def test_what_comes_after_the_start_changes_nothing(name):
    data = made(AIR)
    data["air"].encoding = {}
    data.to_netcdf("all.nc", engine="h5netcdf")
    data.isel(time=slice(0, 15)).to_netcdf("past.nc", engine="h5netcdf")
    for source in ("all", "past"):
        command = f"forecast {name} {source}.nc --steps 2 --start 14 --out {source}_f.nc"
        assert main(command.split()) == 0
    assert np.array_equal(made("all_f.nc")["air"].values, made("past_f.nc")["air"].values)


def test_persistence_is_the_last_frame():
    assert main(f"forecast persistence {AIR} --steps 2 --out f.nc".split()) == 0
    last = made(AIR)["air"].values[-1]
    assert np.allclose(made("f.nc")["air"].values, last, atol=1e-3)


def test_the_input_is_read_as_it_is_said():
    np.save("x.npy", np.random.default_rng(0).random((2, 9, 5, 6)))
    command = "forecast advection x.npy --data.layout nthw --steps 2 --out f.npz"
    assert main(command.split()) == 0
    assert np.load("f.npz")["frames"].shape == (2, 2, 1, 1, 5, 6)


def test_the_command_in_the_history_makes_the_same_forecast():
    data = made(AIR)
    data["air"].encoding = {}
    data.assign(wind=data["air"] / 30).to_netcdf("in.nc", engine="h5netcdf")
    keys = "--data.variables [wind] --data.region.lat [30,60] --data.every 2"
    assert main(f"forecast advection in.nc --steps 2 --out f.nc {keys}".split()) == 0
    first = made("f.nc")
    line = next(text for text in first.attrs["history"].splitlines() if "framecast" in text)
    command = line.split("framecast ", 1)[1].rsplit(" (", 1)[0]
    assert main(shlex.split(command)) == 0
    xr.testing.assert_equal(made("f.nc"), first)
    assert [*first.data_vars] == ["wind"]


def test_a_moving_picture_of_a_baseline():
    assert main(f"forecast advection {AIR} --steps 3 --start 12 --out f.gif".split()) == 0


def test_moving_pictures_of_hours_have_a_rate_that_can_be_watched(tmp_path):
    """Sequences whose dates differ have times in seconds since the first frame of each."""
    data = made(AIR)
    data["air"].encoding = {}
    for name, part in (("a", slice(0, 6)), ("b", slice(8, 14))):
        data.isel(time=part).to_netcdf(f"{name}.nc", engine="h5netcdf")
    command = "forecast persistence a.nc b.nc --data.join sequences --steps 2 --out f.gif"
    assert main(command.split()) == 0
    with Image.open("f.gif") as pictures:
        assert pictures.info["duration"] == 200


def test_colours_of_large_data_are_those_before_the_start(monkeypatch):
    monkeypatch.setattr("framecast.forecast.writers.animation.LOOKED_AT", 2)
    time = np.arange(30.0)
    field = time[:, None, None] * np.ones((1, 4, 4))
    xr.Dataset({"t": (("time", "y", "x"), field)}, {"time": time}).to_netcdf("ramp.nc")
    frames = read_frames("ramp.nc", lazy=True)
    labels = ForecastLabels(frames, np.array([9]), time[None, 10:12], frames.channels, {})
    assert _shown(labels) == {"t": (8.0, 9.0)}


def test_a_start_that_a_shorter_sequence_has_not_is_named(capsys):
    for name, length in (("a", 10), ("b", 20)):
        field = np.random.default_rng(0).random((length, 4, 4))
        data = xr.Dataset({"t": (("time", "y", "x"), field)}, {"time": np.arange(length)})
        data.to_netcdf(f"{name}.nc", engine="h5netcdf")
    command = "forecast persistence a.nc b.nc --data.join sequences --steps 2 --out f.nc"
    assert main(command.split()) == 2
    assert "sequence 0 has 10 frames, and none at 19" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--actions left*", "--actions is given, but the baseline advection reads none"),
        ("--start 2 --context 5", "has 3 past frames, but 5 are to be read"),
        ("--context 0", "--context 0 must be at least 1"),
        (f"--forcings {AIR}", "the baseline advection reads none"),
    ],
)
def test_what_does_not_fit_is_named(capsys, options, words):
    assert main(f"forecast advection {AIR} --steps 2 --out f.nc {options}".split()) == 2
    assert words in capsys.readouterr().err


def test_a_folder_with_the_name_of_a_baseline_is_told_apart(tmp_path, capsys):
    (tmp_path / "advection").mkdir()
    assert main(f"forecast advection {AIR} --steps 2 --out f.nc".split()) == 2
    assert "write ./advection for this" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["forcings", "validation_fraction", "source", "workers"])
def test_keys_of_data_that_would_change_nothing_are_refused(capsys, key):
    command = f"forecast advection {AIR} --steps 2 --out f.nc --data.{key} 0"
    assert main(command.split()) == 2
    assert f"--data.{key} is not read here" in capsys.readouterr().err


def test_keys_of_data_are_not_for_runs(capsys):
    command = f"forecast run {AIR} --steps 2 --out f.nc --data.variables [air]"
    assert main(command.split()) == 2
    assert "knows how its data are read" in capsys.readouterr().err
