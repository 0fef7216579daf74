"""Forecasts through the cache are, but for their history, those of the file itself."""

import os

import numpy as np
import pytest
import xarray as xr
import yaml
import zarr

from conftest import DATA
from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.cli import main
from framecast.forecast.files import forecast_file
from small import untrained_run

AIR = DATA / "air_temperature_small.nc"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path):
    return untrained_run(tmp_path / "run", AIR)


@pytest.fixture
def later(tmp_path):
    """The same field a year later, packed in another way, with a coordinate and gaps of its own."""
    with xr.open_dataset(AIR, engine="h5netcdf") as file:
        data = file.load()
    data = data.assign_coords(time=data.time + np.timedelta64(365, "D"), height=2.0)
    data["air"] = data.air.where(data.air > 235)
    data["air"].encoding = {
        "dtype": "int16",
        "scale_factor": 0.01,
        "add_offset": 270.0,
        "_FillValue": -32768,
    }
    data["time"].encoding = {"units": "minutes since 2015-01-01", "dtype": "int32"}
    data.attrs["history"] = "made for a test"
    data.to_netcdf(tmp_path / "later.nc", engine="h5netcdf")
    return tmp_path / "later.nc"


def cached(run):
    """The run as it is after training with data.cache."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["cache"] = True
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def entries():
    return sorted(cache_folder("frames").glob("*/values.zarr"))


def stored(path):
    """All that a file holds, as it is stored, but for its history."""
    with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as file:
        data = file.load()
    history = data.attrs.pop("history")
    return data, history.rpartition("\n")[0], {n: v.dtype for n, v in data.variables.items()}


def assert_alike(first, second):
    (ours, before, kinds), (theirs, *others) = stored(first), stored(second)
    xr.testing.assert_identical(ours, theirs)
    assert others == [before, kinds]
    bits = [data["air"].to_numpy().view(np.int32) for data in (ours, theirs)]
    np.testing.assert_array_equal(*bits)


@pytest.mark.parametrize("asked", [False, True])
def test_a_forecast_is_that_of_the_file_to_the_bit(run, later, asked):
    forecast_file(run, later, 3, "plain.nc", starts=["9", "-1"])
    assert not entries()
    run = run if asked else cached(run)
    for name in ("first.nc", "again.nc"):
        forecast_file(run, later, 3, name, starts=["9", "-1"], cache=asked)
        assert_alike(name, "plain.nc")
        assert [entry.parent.name.rpartition("-")[0] for entry in entries()] == ["later"]
    assert stored("first.nc")[1] == "made for a test"


@pytest.mark.parametrize("asked", [False, True])
def test_values_come_from_the_cache(run, later, asked):
    run = run if asked else cached(run)
    forecast_file(run, later, 2, "first.nc", cache=asked)
    (entry,) = entries()
    zarr.open_array(entry, mode="r+")[:] = 250.0
    forecast_file(run, later, 2, "second.nc", cache=asked)
    with xr.open_dataset(later, engine="h5netcdf") as file:
        warm = xr.full_like(file.load(), 250.0)
    warm["air"].encoding = {}
    warm.to_netcdf("warm.nc", engine="h5netcdf")
    forecast_file(run, "warm.nc", 2, "warm_forecast.nc")
    expected = stored("warm_forecast.nc")[0]["air"].to_numpy()
    np.testing.assert_array_equal(stored("second.nc")[0]["air"].to_numpy(), expected)


def test_an_entry_belongs_to_the_file_as_it_is(run, later):
    for count in (1, 2):
        forecast_file(run, later, 2, "f.nc", overwrite=True, cache=True)
        assert len(entries()) == count
        os.utime(later, ns=(1, 1))


def test_the_command_takes_cache_and_says_so(run, later):
    command = f"forecast {run} {later} --steps 2 --cache --out f.nc"
    assert main(command.split()) == 0
    assert len(entries()) == 1
    with xr.open_dataset("f.nc", engine="h5netcdf") as forecast:
        assert "--out f.nc --cache (framecast" in forecast.attrs["history"]


def test_a_checkpoint_alone_and_a_baseline_take_it_too(run, later):
    for place, model in enumerate((run / "best.safetensors", "persistence")):
        forecast_file(model, later, 2, f"plain{place}.nc")
        forecast_file(model, later, 2, f"cached{place}.nc", cache=True)
        assert_alike(f"cached{place}.nc", f"plain{place}.nc")
        assert entries()


def test_data_with_a_cache_of_their_own_say_so(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] |= {"source": "videos", "path": "clips"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"--cache is for files, and .*run learned from .* videos"):
        forecast_file(run, AIR, 2, "f.nc", cache=True)
