"""A coarser grid holds from the training to the forecast and its scores."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import load_checkpoint
from videos import noise, write_video

SMALL = [
    "--data.coarsen",
    "2",
    "--model.depth",
    "1",
    "--model.hidden",
    "4",
    "--training.context",
    "2",
    "--training.horizon",
    "2",
    "--training.epochs",
    "1",
]


@pytest.fixture
def fine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    time = np.datetime64("2020-01-01", "ns") + np.arange(60) * np.timedelta64(1, "h")
    data = xr.Dataset(
        {
            "t": (("time", "lat", "lon"), rng.normal(size=(60, 8, 12)), {"units": "K"}),
            "s": (("lat", "lon"), rng.normal(size=(8, 12))),
        },
        {
            "time": time,
            "lat": ("lat", np.linspace(70, -70, 8), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(0.0, 360, 30), {"units": "degrees_east"}),
        },
    )
    data.to_netcdf("x.nc", engine="h5netcdf")
    return data


def blocks(data):
    """The same data in blocks of 2 × 2, by xarray: cells of even latitudes go with the cosine."""
    weights = np.cos(np.deg2rad(data["lat"]))
    half = {"lat": 2, "lon": 2}
    means = (data * weights).coarsen(half).sum() / (weights * xr.ones_like(data)).coarsen(
        half
    ).sum()
    return means.transpose("time", "lat", "lon").assign_coords(
        lat=("lat", means["lat"].values, data["lat"].attrs),
        lon=("lon", means["lon"].values, data["lon"].attrs),
    )


def scored(name):
    """The RMSE of the forecast at each lead time."""
    with open(name, encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if (r["model"], r["metric"]) == ("f", "rmse")]
    return [float(row["value"]) for row in rows]


def made(name):
    with xr.open_dataset(name, engine="h5netcdf") as file:
        return file.load()


def test_from_the_configuration_to_forecast_and_scores(fine, capsys):
    assert (
        main(
            [
                "train",
                "starter",
                "--data.path",
                "x.nc",
                *SMALL,
                "--data.static",
                "[s]",
                "--out",
                "run",
            ]
        )
        == 0
    )
    spec = load_checkpoint("run").frames
    assert (spec.grid, spec.coarsen, spec.cells) == ((4, 6), 2, (40.0, 60.0))

    assert main(["forecast", "run", "x.nc", "--start", "40", "--steps", "3", "--out", "f.nc"]) == 0
    forecast = made("f.nc")
    assert forecast["t"].shape[-2:] == (4, 6)
    assert forecast["lat"].values.tolist() == [60, 20, -20, -60]
    assert forecast["lon"].values.tolist() == [15, 75, 135, 195, 255, 315]

    assert main(["evaluate", "run", "--out", "own"]) == 0
    assert main(["evaluate", "run", "--out", "other", "--data", "x.nc"]) == 0
    assert main(["score", "f.nc", "x.nc", "--data.coarsen", "2", "--out", "scores"]) == 0
    coarse = blocks(fine)["t"].transpose("time", "lat", "lon").isel(time=[41, 42, 43])
    error = forecast["t"].values.reshape(3, 4, 6) - coarse.values
    rows = np.cos(np.deg2rad([60, 20, -20, -60]))
    expected = np.sqrt(np.average(error**2, axis=1, weights=rows).mean(1))
    assert scored("scores/metrics.csv") == pytest.approx(expected.tolist(), rel=1e-5)
    capsys.readouterr()
    assert main(["view", "f.nc", "--truth", "x.nc", "--data.coarsen", "2", "--out", "p.html"]) == 0
    assert main(["score", "f.nc", "x.nc", "--out", "again"]) == 2
    assert "they must be on one grid" in capsys.readouterr().err


def test_a_file_that_is_as_coarse_already_gives_the_same_forecast(fine):
    """Even where it has fewer cells: the size of a cell tells, and not their number."""
    assert (
        main(
            [
                "train",
                "starter",
                "--data.path",
                "x.nc",
                *SMALL,
                "--data.variables",
                "[t]",
                "--out",
                "run",
            ]
        )
        == 0
    )
    blocks(fine)[["t"]].to_netcdf("coarse.nc", engine="h5netcdf")
    for source in ("x", "coarse"):
        assert main(f"forecast run {source}.nc --steps 2 --out {source}_f.nc".split()) == 0
    whole, own = made("x_f.nc"), made("coarse_f.nc")
    np.testing.assert_allclose(own["t"].values, whole["t"].values, atol=1e-5)
    np.testing.assert_array_equal(own["lat"].values, whole["lat"].values)
    part = blocks(fine)[["t"]].isel(lat=slice(0, 2))
    part.to_netcdf("part.nc", engine="h5netcdf")
    assert main(["forecast", "run", "part.nc", "--steps", "2", "--out", "part_f.nc"]) == 0
    assert made("part_f.nc")["lat"].values.tolist() == [60, 20]


@pytest.mark.parametrize("further", [[], ["--data.coarsen", "1"]])
def test_rows_that_run_the_other_way_are_turned(fine, further):
    """A network knows north from south, by its padding and its norm: a file must not swap them."""
    command = ["train", "starter", "--data.path", "x.nc", *SMALL, *further, "--out", "run"]
    assert main([*command, "--data.variables", "[t]"]) == 0
    assert load_checkpoint("run").frames.northward is False
    fine.isel(lat=slice(None, None, -1)).to_netcdf("turned.nc", engine="h5netcdf")
    for source in ("x", "turned"):
        command = ["forecast", "run", f"{source}.nc", "--steps", "2", "--out", f"{source}_f.nc"]
        assert main(command) == 0
    own, other = made("x_f.nc"), made("turned_f.nc")
    np.testing.assert_array_equal(other["t"].values, own["t"].values)
    np.testing.assert_array_equal(other["lat"].values, own["lat"].values)


def test_arrays_are_known_by_their_grid_and_a_line_says_so(fine, capsys):
    values = fine["t"].values.astype("f4")
    np.save("fine.npy", values)
    np.save("coarse.npy", values.reshape(60, 4, 2, 6, 2).mean((2, 4)))
    assert main(["train", "starter", "--data.path", "fine.npy", *SMALL, "--out", "run"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["forecast", "run", "coarse.npy", "--steps", "2", "--out", "coarse_f.nc"]) == 0
    assert "4 × 6 cells, as many as the run learned from" in capsys.readouterr().err
    assert main(["forecast", "run", "fine.npy", "--steps", "2", "--out", "fine_f.nc"]) == 0
    own, whole = made("coarse_f.nc"), made("fine_f.nc")
    for name in whole.data_vars:
        np.testing.assert_allclose(own[name].values, whole[name].values, atol=1e-5)


def test_the_cache_holds_the_coarse_frames(fine, monkeypatch, tmp_path):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    plain, cached = (
        DataConfig(path="x.nc", variables=["t"], coarsen=2, cache=cache).open().splits().train
        for cache in (False, True)
    )
    assert (plain.values == cached.values).all()


def test_inspect_says_and_proposes_the_coarse_grid(fine, capsys):
    assert main(["inspect", "x.nc", "--data.coarsen", "2", "--write", "c.yaml"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "4 rows (lat) × 6 columns (lon)" in said
    assert "in blocks of 2" in said
    assert "coarsen: 2" in Path("c.yaml").read_text()


def test_several_videos_are_cut_and_coarsened_as_one_is(tmp_path):
    for name in ("a.avi", "b.avi"):
        write_video(tmp_path / name, noise(5, 8, 12))
    whole = read_frames(tmp_path).load().values
    part = read_frames(tmp_path, region={"row": [2, 5]}, coarsen=2).load().values
    expected = whole[..., 2:6, :].unflatten(-1, (6, 2)).unflatten(-3, (2, 2)).mean((-3, -1))
    np.testing.assert_allclose(part, expected, rtol=1e-5)


@pytest.mark.parametrize("key", ["--data.coarsen 2", "--data.region.row [2,5]"])
def test_a_video_is_forecast_from_as_it_was_learned_from(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "x.avi", noise(40, 8, 12)[..., 0].copy(), form="gray")
    options = [*key.split(), *SMALL[2:]]
    assert main(["train", "starter", "--data.path", "x.avi", *options, "--out", "run"]) == 0
    assert main(["forecast", "run", "x.avi", "--steps", "2", "--out", "f.nc"]) == 0
    assert made("f.nc")["grey"].shape[-2:] == load_checkpoint("run").frames.grid


def test_no_block_is_smaller_than_a_cell():
    with pytest.raises(ValueError, match="coarsen 0 must be at least 1"):
        DataConfig(path="x.nc", coarsen=0)
    with pytest.raises(ValueError, match="coarsen is not read by"):
        DataConfig(source="moving_mnist", coarsen=2)
