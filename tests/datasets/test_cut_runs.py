"""What is cut of the data, and its units, hold from the training to the forecast."""

import numpy as np
import pytest
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.runs.checkpoint import load_checkpoint

CONFIG = """
data:
  path: {path}
  variables: [t]
  static: [z]
  region: {{latitude: [-20, 40], longitude: [-60, 30]}}
  period: [2020-01-02, 2020-02]
  every: 6 h
  units: {{t: degC}}
model: {{depth: 1, hidden: 4, layer: min_conv_gru}}
training: {{context: 2, horizon: 2, epochs: 1, warmup_steps: 0}}
"""


@pytest.fixture
def hourly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    time = np.datetime64("2020-01-01", "ns") + np.arange(1500) * np.timedelta64(1, "h")
    latitudes, longitudes = np.linspace(70, -70, 8), np.arange(0.0, 360, 30)
    values = 280 + latitudes[:, None] / 10 + np.sin(np.arange(1500) / 10)[:, None, None]
    data = xr.Dataset(
        {
            "t": (("time", "lat", "lon"), values * np.ones(12), {"units": "K"}),
            "z": (("lat", "lon"), np.random.default_rng(0).normal(size=(8, 12)), {"units": "m"}),
        },
        {
            "time": time,
            "lat": ("lat", latitudes, {"units": "degrees_north"}),
            "lon": ("lon", longitudes, {"units": "degrees_east"}),
        },
    )
    data.to_netcdf("x.nc", engine="h5netcdf")
    return data


def made(name):
    with xr.open_dataset(name, engine="h5netcdf") as file:
        return file.load()


def test_from_the_configuration_to_forecast_and_scores(hourly, tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG.format(path="x.nc"))
    assert main(["train", "c.yaml", "--out", "run"]) == 0
    spec = load_checkpoint("run").frames
    assert (spec.grid, spec.step, spec.channels[0].units) == ((3, 4), "6 h", "degC")

    assert main(["forecast", "run", "x.nc", "--steps", "2", "--out", "f.nc"]) == 0
    forecast = made("f.nc")
    assert forecast["lon"].values.tolist() == [-60, -30, 0, 30]
    assert forecast["lat"].values.tolist() == [30, 10, -10]
    assert forecast["t"].units == "degC"
    assert abs(float(forecast["t"].mean()) - 7) < 5
    times = forecast["time"].values.ravel()
    assert times[0] == hourly["time"].values[-1] + np.timedelta64(6, "h")

    assert main(["evaluate", "run", "--out", "scores"]) == 0
    assert main(["evaluate", "run", "--out", "more", "--data", "x.nc"]) == 0


def test_a_file_that_is_cut_already_gives_the_same_forecast(hourly, tmp_path):
    """One of the region alone, six-hourly and in degrees Celsius, as a forecast is itself."""
    (tmp_path / "c.yaml").write_text(CONFIG.format(path="x.nc"))
    assert main(["train", "c.yaml", "--out", "run"]) == 0
    part = hourly.isel(time=slice(5, None, 6)).roll(lon=2, roll_coords=True)
    part = part.isel(lat=slice(2, 5), lon=slice(0, 4))
    part["lon"] = ("lon", [-60.0, -30, 0, 30], hourly["lon"].attrs)
    part["t"] = (part["t"] - 273.15).assign_attrs(units="degC")
    part.to_netcdf("part.nc", engine="h5netcdf")
    for source in ("x", "part"):
        command = f"forecast run {source}.nc --steps 2 --out {source}_f.nc"
        assert main(command.split()) == 0
    whole, cut = made("x_f.nc"), made("part_f.nc")
    assert np.allclose(whole["t"].values, cut["t"].values, atol=1e-4)
    assert np.array_equal(whole["time"].values, cut["time"].values)


def test_only_what_is_predicted_may_be_missing_from_the_file_of_a_forecast(hourly):
    hourly.assign(d=hourly["t"].assign_attrs(units="K")).to_netcdf("y.nc", engine="h5netcdf")
    options = "--data.variables [t] --data.diagnostic [d] --data.every 6 --model.depth 1"
    options += " --model.hidden 4 --training.context 2 --training.horizon 2 --training.epochs 1"
    units = ["--data.units", "{t: degC, d: degC}"]
    assert main(["train", "y.nc", *options.split(), *units, "--out", "run"]) == 0
    assert main(["forecast", "run", "x.nc", "--steps", "2", "--out", "f.nc"]) == 0
    assert made("f.nc")["d"].units == "degC"


def test_runs_on_other_parts_of_the_data_are_not_compared(hourly, capsys):
    options = "--model.depth 1 --model.hidden 4 --training.epochs 1 --data.every 6"
    options += " --training.context 2 --training.horizon 2 --data.variables [t]"
    for name, end in (("a", "2020-01-20"), ("b", "2020-02-20")):
        period = ["--data.period", f"[null, {end}]", "--out", name]
        assert main(["train", "x.nc", *options.split(), *period]) == 0
    assert main(["evaluate", "a", "b", "--out", "scores"]) == 2
    assert "were trained on different data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("region", {"lat": [1]}, "must be \\[least, greatest\\]"),
        ("region", {"row": [1.5, 2]}, "whole numbers from 0"),
        ("period", ["2000"], "\\[first, last\\]"),
        ("every", 0, "at least 1 frame"),
        ("every", "often", "neither a number of frames nor a duration"),
    ],
)
def test_nonsense_is_refused_before_anything_is_read(key, value, words):
    with pytest.raises(ValueError, match=words):
        DataConfig(path="x.nc", **{key: value})


def test_a_source_that_reads_no_files_refuses_what_cuts_them():
    with pytest.raises(ValueError, match="region is not read by"):
        DataConfig(source="moving_mnist", region={"row": [0, 9]})


def test_actions_are_not_thinned_out(hourly):
    hourly.assign(a=("time", np.arange(1500.0))).to_netcdf("z.nc", engine="h5netcdf")
    data = DataConfig(path="z.nc", variables=["t"], actions="a", every=6)
    with pytest.raises(UserError, match=r"one of data\.actions and data\.every"):
        data.open().splits()


def test_a_value_that_stands_for_a_missing_one_is_named_in_a_forecast_too(hourly):
    gaps = hourly.copy(deep=True)
    gaps["t"].values[::7, :2, :3] = -9999
    gaps.to_netcdf("gaps.nc", engine="h5netcdf")
    source = DataConfig(path="x.nc", variables=["t"])
    with pytest.warns(UserWarning, match="is -9999, far from all other values.*it is read as it"):
        source.open().read("gaps.nc", source.selection)
