"""Forecast files: from past frames alone, labels carried on, memory flat."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import DATA, close
from framecast.base.errors import UserError
from framecast.forecast.files import forecast_file
from framecast.forecast.rollout import rollout
from framecast.readers.gridded import GriddedReader
from framecast.readers.open import read_frames
from small import forecast, run_on, travelling_wave

AIR = DATA / "air_temperature_small.nc"


def test_a_rollout_is_the_closed_loop_in_physical_units(tmp_path):
    checkpoint = run_on(AIR, tmp_path)
    past = read_frames(AIR).values[:, -4:]
    ahead = torch.stack(list(rollout(checkpoint, past, 5)), 1)
    normalised = checkpoint.statistics.normalise(past)
    frames = torch.stack([f for f, _ in forecast(checkpoint.model, normalised, 5)], 1)
    close(ahead, checkpoint.statistics.denormalise(frames), 1e-6)


def test_of_a_file_no_more_is_read_than_a_forecast_needs(tmp_path, monkeypatch):
    run_on(AIR, tmp_path)
    with xr.open_dataset(AIR, engine="h5netcdf") as source:
        long = source.isel(time=np.zeros(3000, int))
        times = source.time.values[0] + np.arange(3000) * np.timedelta64(6, "h")
        long = long.assign_coords(time=times).load()
        long["air"].encoding = {"chunksizes": (1, 25, 53)}
        long.to_netcdf(tmp_path / "long.nc", engine="h5netcdf")
    read, frames = GriddedReader._read, []

    def count(reader, place):
        found = read(reader, place)
        frames.append(found.shape[1])
        return found

    monkeypatch.setattr(GriddedReader, "_read", count)
    forecast_file(tmp_path, tmp_path / "long.nc", 3, tmp_path / "f.nc", context=2)
    assert 0 < sum(frames) < 300


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_coordinates_units_and_times_continue_those_of_the_input(tmp_path, suffix):
    checkpoint, out = run_on(AIR, tmp_path), tmp_path / f"forecast{suffix}"
    forecast_file(tmp_path, AIR, 7, out)
    engine = "zarr" if suffix == ".zarr" else "h5netcdf"
    with (
        xr.open_dataset(out, engine=engine) as forecast,
        xr.open_dataset(AIR, engine="h5netcdf") as source,
    ):
        expected = source.time.values[-1] + np.timedelta64(6, "h") * np.arange(1, 8)
        assert (forecast.time.values == expected).all()
        assert forecast.time.encoding["units"] == source.time.encoding["units"]
        assert forecast.air.dims == source.air.dims
        assert forecast.air.attrs["units"] == "degK"
        for name in ("lat", "lon"):
            xr.testing.assert_identical(forecast[name].variable, source[name].variable)
        assert forecast.lead_time.values.tolist() == [6, 12, 18, 24, 30, 36, 42]
        assert forecast.start.values == source.time.values[-1]
        assert forecast.attrs["title"] == source.attrs["title"]
        *before, line = forecast.attrs["history"].split("\n")
        assert "\n".join(before) == source.attrs.get("history", "")
        command = f"framecast forecast {tmp_path} {AIR} --steps 7 --start -1 --out {out}"
        assert re.fullmatch(rf"20\d\d-\S+Z: {command} \(framecast \S+\)", line)
        frames = list(rollout(checkpoint, read_frames(AIR).values[:, -4:], 7))
        np.testing.assert_allclose(forecast.air.values, torch.stack(frames, 1)[0, :, 0])
        ahead = forecast.air.drop_vars(["lead_time", "start"])
        assert xr.concat([source.air, ahead], "time").sizes["time"] == 27


def test_what_was_forecast_can_be_read_and_forecast_from_again(tmp_path):
    run_on(AIR, tmp_path)
    for suffix in (".nc", ".zarr", ".npz"):
        forecast_file(tmp_path, AIR, 6, tmp_path / f"f{suffix}")
    frames = [read_frames(tmp_path / f"f{s}") for s in (".nc", ".zarr", ".npz")]
    assert torch.equal(frames[0].values, frames[1].values)
    assert torch.equal(frames[0].values, frames[2].values)
    forecast_file(tmp_path, tmp_path / "f.nc", 2, tmp_path / "again.nc")


def test_several_starts_make_a_batch(tmp_path):
    run_on(AIR, tmp_path)
    out = tmp_path / "several.nc"
    forecast_file(tmp_path, AIR, 3, out, starts=["9", "2014-02-27T00", "-1"])
    with xr.open_dataset(out, engine="h5netcdf") as several:
        assert several.air.dims == ("start", "lead_time", "lat", "lon")
        assert several.air.shape == (3, 3, 25, 53)
        assert several.time.dims == ("start", "lead_time")
        assert (
            several.time[1].values - several.start[1].values
            == several.time[0].values - several.start[0].values
        ).all()
        for i, start in enumerate(("9", "2014-02-27T00", "-1")):
            forecast_file(tmp_path, AIR, 3, tmp_path / "one.nc", starts=[start])
            with xr.open_dataset(tmp_path / "one.nc", engine="h5netcdf") as one:
                np.testing.assert_allclose(several.air[i].values, one.air.values, rtol=1e-6)
                assert one.start.values == several.start[i].values


@pytest.mark.parametrize("starts", [["9"], ["9", "12"]])
def test_variables_may_have_the_names_of_what_is_written_beside_them(tmp_path, starts):
    with xr.open_dataset(AIR, engine="h5netcdf", mask_and_scale=False) as air:
        renamed = air.assign(start=air.air, lead_time=air.air).drop_vars("air")
        renamed.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    out = tmp_path / "f.nc"
    forecast_file("persistence", tmp_path / "x.nc", 2, out, starts=starts)
    with xr.open_dataset(out, engine="h5netcdf") as made, xr.open_dataset(AIR) as air:
        last = air.air.values[int(starts[0])]
        ahead = made.start[0] if len(starts) == 1 else made.start[0, 1]
        np.testing.assert_allclose(ahead.values, last, rtol=1e-6)
        assert {"forecast_start", "forecast_lead_time"} <= set(made.coords)


def test_a_forecast_sees_past_frames_only(tmp_path):
    waves = travelling_wave(sequences=1)[0]
    np.save(tmp_path / "a.npy", waves)
    waves[10:] = 3 - waves[10:]
    np.save(tmp_path / "b.npy", waves)
    run_on(tmp_path / "a.npy", tmp_path)
    for name in "ab":
        forecast_file(tmp_path, tmp_path / f"{name}.npy", 3, tmp_path / f"{name}.npz", starts=["9"])
    a, b = (np.load(tmp_path / f"{name}.npz")["frames"] for name in "ab")
    assert np.array_equal(a, b)


def test_sequences_and_channels_of_an_array(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 8, 2, 5, 6))
    np.save(tmp_path / "x.npy", values)
    run_on(tmp_path / "x.npy", tmp_path, channels=2)
    forecast_file(tmp_path, tmp_path / "x.npy", 4, tmp_path / "f.npz", starts=["5", "7"])
    forecast_file(tmp_path, tmp_path / "x.npy", 4, tmp_path / "f.nc", starts=["5", "7"])
    array = np.load(tmp_path / "f.npz")
    assert array["frames"].shape == (4, 3, 2, 2, 5, 6)
    assert array["times"].tolist() == [[6, 7, 8, 9], [8, 9, 10, 11]]
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as labelled:
        assert labelled.channel_1.dims == ("sequence", "start", "lead_time", "y", "x")
        np.testing.assert_allclose(
            labelled.channel_1.transpose("lead_time", "sequence", "start", "y", "x").values,
            array["frames"][:, :, :, 1],
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"starts": ["20"]}, "20 frames, 0 to 19"),
        ({"starts": ["2013-01-01"]}, "no frame at this time; its times go from 2014-02-24"),
        ({"starts": ["soon"]}, "no frame at this time"),
        ({"starts": ["1"]}, "2 past frames, but 4 are to be read"),
        ({"context": 0}, "--context 0 must be at least 1"),
        ({"steps": 0}, "--steps 0 must be at least 1"),
        ({"out": "f.tiff"}, "cannot write '.tiff'"),
    ],
)
def test_impossible_requests_are_named_and_leave_nothing(tmp_path, options, message):
    run_on(AIR, tmp_path)
    options = {"steps": 2, "out": "f.nc"} | options
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=message):
        forecast_file(tmp_path, AIR, options.pop("steps"), tmp_path / options.pop("out"), **options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_steps(tmp_path):
    run_on(AIR, tmp_path)
    peaks = [peak_memory(tmp_path, steps) for steps in (20, 2000)]
    frames = 2000 * 25 * 53 * 4
    assert peaks[1] - peaks[0] < 0.6 * frames


def peak_memory(folder, steps):
    """Peak memory in bytes of a process that forecasts, read from its own account."""
    code = (
        "import resource; from pathlib import Path; from framecast import forecast_file;"
        f"forecast_file(Path({str(folder)!r}), Path({str(AIR)!r}), {steps}, "
        f"Path({str(folder)!r}) / 'f.npz', progress=False);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024
