"""Settings that put files together hold from the training to the forecast."""

import shutil

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from framecast.cli import main

TINY = """--model.depth 1 --model.hidden 4 --model.layer min_conv_gru --training.epochs 1
--training.context 2 --training.horizon 2 --training.warmup_steps 0"""
TIMES = np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(6, "h")


def field(name, times=slice(None), shift=0.0):
    wave = np.sin(np.arange(40)[times, None, None] / 3 + np.arange(8) + shift) * np.ones((6, 1))
    return xr.Dataset(
        {name: (("time", "y", "x"), wave.astype(np.float32), {"units": "m"})},
        coords={"time": TIMES[times]},
    )


def write(folder, files):
    folder.mkdir()
    for name, dataset in files.items():
        dataset.to_netcdf(folder / f"{name}.nc", engine="h5netcdf")


def learn(data, *options):
    command = ["train", "starter", "--data.path", str(data), "--out", "run"]
    assert main([*command, *TINY.split(), *options]) == 0


def forecast(*inputs):
    assert main(["forecast", "run", *map(str, inputs), "--steps", "3", "--out", "f.nc"]) == 0
    with xr.open_dataset("f.nc", engine="h5netcdf") as made:
        return made.load()


@pytest.fixture(autouse=True)
def _within(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_variables_spread_over_files(tmp_path):
    """A forecast needs no file of what is only predicted; names that files tell apart hold."""
    parts = {"p": field("p"), "ground": field("u"), "high": field("u", shift=1), "r": field("r")}
    write(tmp_path / "obs", parts)
    learn("obs", "--data.variables", "[u_high, p]", "--data.diagnostic", "[r]")
    (tmp_path / "obs" / "r.nc").unlink()
    made = forecast("obs")
    assert {"u_high", "p", "r"} <= set(made.data_vars)
    assert made["time"].values.ravel()[0] == TIMES[-1] + np.timedelta64(6, "h")


def test_files_behind_one_another(tmp_path):
    pieces = {f"{9 - n}": field("t", slice(8 * n, 8 * n + 8)) for n in range(5)}
    write(tmp_path / "obs", pieces)
    learn("obs/*.nc")
    assert forecast("obs/7.nc", "obs/8.nc")["time"].values.ravel()[0] == TIMES[24]
    assert main(["evaluate", "run", "--out", "scores", "--data", "obs/7.nc", "obs/8.nc"]) == 0


def test_files_beside_one_another(tmp_path):
    write(tmp_path / "obs", {name: field("t", shift=n) for n, name in enumerate("abcdefg")})
    learn("obs", "--data.join", "sequences")
    assert forecast("obs/a.nc", "obs/b.nc").sizes["sequence"] == 2


def test_a_group_and_times_in_names(tmp_path):
    field("t").to_netcdf(tmp_path / "x.nc", group="Grid", engine="h5netcdf")
    field("u").to_netcdf(tmp_path / "x.nc", group="Other", engine="h5netcdf", mode="a")
    learn("x.nc", "--data.group", "Grid")
    assert "t" in forecast("x.nc")
    pictures = tmp_path / "png"
    pictures.mkdir()
    for n in range(20):
        frame = (100 + 100 * np.sin(n / 3 + np.arange(8)) * np.ones((6, 1))).astype(np.uint8)
        Image.fromarray(frame).save(pictures / f"{n % 7}_20200102{n:02}.png")
    shutil.rmtree("run")
    learn(
        "png",
        "--data.times_from",
        "_%Y%m%d%H",
        *["--data.validation_fraction", "0.3", "--data.test_fraction", "0"],
    )
    assert str(forecast(pictures)["time"].values.ravel()[0])[:13] == "2020-01-02T20"
