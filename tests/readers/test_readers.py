"""Reading frames from files."""

import re

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import DATA
from framecast.base.errors import UserError
from framecast.readers.folder import read_parts
from framecast.readers.open import read_frames

AIR = DATA / "air_temperature_small.nc"


def dataset(times=6, members=None):
    shape = (times, 4, 5) if members is None else (members, times, 4, 5)
    dims = ("time", "lat", "lon") if members is None else ("member", "time", "lat", "lon")
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return xr.Dataset(
        {
            "t": (dims, values, {"units": "K"}),
            "u": (dims, -values, {"units": "m s-1"}),
            "orography": (("lat", "lon"), values[..., 0, :, :].reshape(-1, 4, 5)[0]),
        },
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(6, "h"),
            "lat": ("lat", np.linspace(60, 30, 4), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0, 40, 5), {"units": "degrees_east"}),
        },
        attrs={"title": "made for a test"},
    )


def test_a_real_netcdf_file():
    frames = read_frames(AIR)
    with xr.open_dataset(AIR, engine="h5netcdf") as raw:
        np.testing.assert_allclose(frames.values[0, :, 0].numpy(), raw["air"].values, rtol=1e-6)
        assert (frames.times == raw["time"].values).all()
    assert frames.names == ("air",)
    assert frames.channels[0].units == "degK"
    assert frames.dims == ("time", "lat", "lon")
    assert frames.grid == (25, 53)
    assert str(frames.step) == "6 h"


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4", "zarr"])
def test_variables_become_channels_in_every_format(tmp_path, kind):
    path = tmp_path / ("x.zarr" if kind == "zarr" else "x.nc")
    if kind == "netcdf3":
        dataset().to_netcdf(path, engine="scipy")
    elif kind == "netcdf4":
        dataset().to_netcdf(path, engine="h5netcdf")
    else:
        dataset().to_zarr(path, consolidated=False)
    frames = read_frames(path)
    assert frames.names == ("t", "u")
    assert frames.values.shape == (1, 6, 2, 4, 5)
    assert torch.equal(frames.values[:, :, 0], -frames.values[:, :, 1])
    assert frames.attributes["title"] == "made for a test"
    chosen = read_frames(path, ["u"])
    assert torch.equal(chosen.values[:, :, 0], frames.values[:, :, 1])


def test_a_further_dimension_holds_independent_sequences(tmp_path):
    dataset(members=3).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    frames = read_frames(tmp_path / "x.nc")
    assert frames.values.shape == (3, 6, 2, 4, 5)
    assert frames.dims == ("member", "time", "lat", "lon")


def test_dimensions_may_come_in_any_order_and_a_level_of_one_is_dropped(tmp_path):
    turned = (
        dataset().drop_vars("orography").transpose("lon", "lat", "time").expand_dims(level=[500])
    )
    turned.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    dataset().to_netcdf(tmp_path / "y.nc", engine="h5netcdf")
    assert torch.equal(read_frames(tmp_path / "x.nc").values, read_frames(tmp_path / "y.nc").values)


@pytest.mark.parametrize(
    ("shape", "read"),
    [((6, 4, 5), (1, 6, 1, 4, 5)), ((6, 2, 4, 5), (1, 6, 2, 4, 5)), ((3, 6, 2, 4, 5),) * 2],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_numpy_files(tmp_path, shape, read, suffix):
    array = np.random.default_rng(0).normal(size=shape)
    path = tmp_path / f"x.{suffix}"
    np.save(path, array) if suffix == "npy" else np.savez(path, array)
    frames = read_frames(path)
    assert frames.values.shape == read
    np.testing.assert_allclose(frames.values.numpy().reshape(shape), array, rtol=1e-6)


def test_arrays_of_a_npz_file_become_channels_by_name(tmp_path):
    np.savez(tmp_path / "x.npz", u=np.ones((6, 4, 5)), v=np.zeros((6, 4, 5)))
    assert read_frames(tmp_path / "x.npz", ["v", "u"]).names == ("v", "u")
    with pytest.raises(UserError, match=re.escape("several arrays (u, v)")):
        read_frames(tmp_path / "x.npz")


def truncated(path):
    path.write_bytes(AIR.read_bytes()[:30000])


def foreign(path):
    path.write_text("not a grid")


def without_time(path):
    dataset().isel(time=0, drop=True).to_netcdf(path, engine="h5netcdf")


def with_infinity(path):
    data = dataset()
    data["u"][2, 1, 3] = np.inf
    data.to_netcdf(path, engine="h5netcdf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "cannot be read as NetCDF"),
        (foreign, "neither NetCDF 3 nor NetCDF 4"),
        (without_time, "no variable with a time and two space dimensions"),
        (with_infinity, "1 values are infinite, the first in u at sequence 0, time .*12:00.*row 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, make, message):
    path = tmp_path / "x.nc"
    make(path)
    with pytest.raises(UserError, match=message) as error:
        read_frames(path)
    assert str(path) in str(error.value)


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UserError, match="Python objects, which are never loaded"):
        read_frames(tmp_path / "x.npy")


def test_one_time_or_one_row_is_a_dimension_all_the_same(tmp_path):
    dataset().isel(time=[0], lat=[1]).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    assert read_frames(tmp_path / "x.nc").values.shape == (1, 1, 2, 1, 5)


def test_a_data_set_that_is_not_finished_is_named(tmp_path):
    dataset().to_zarr(tmp_path / ".train.begun.zarr", consolidated=False)
    with pytest.raises(UserError, match=r"\.train\.begun\.zarr was begun and not finished"):
        read_parts(tmp_path)


def test_missing_files_kinds_and_variables_are_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_frames(tmp_path / "x.nc")
    (tmp_path / "x.txt").touch()
    with pytest.raises(UserError, match=r"readable are \.nc"):
        read_frames(tmp_path / "x.txt")
    with pytest.raises(UserError, match="no variable wind; it has air"):
        read_frames(AIR, ["wind"])
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(UserError, match="holds no array"):
        read_frames(tmp_path / "empty.npz")
    np.save(tmp_path / "x.npy", np.zeros((4, 5)))
    with pytest.raises(UserError, match=re.escape("needed are numbers [T,H,W]")):
        read_frames(tmp_path / "x.npy")
