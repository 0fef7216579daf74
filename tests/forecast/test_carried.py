"""What of the labels of the input is carried into forecasts, in every kind of file."""

import json

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from framecast.forecast.writers import ForecastLabels, open_writer
from framecast.forecast.writers.attributes import carried
from framecast.readers.open import read_frames

T, H, W = 6, 3, 4
DIMS = ("time", "y", "x")


def projected():
    lat, lon = np.meshgrid(np.linspace(45, 55, H), np.linspace(0, 15, W), indexing="ij")
    y_bounds = np.stack([1000.0 * np.arange(H) - 500, 1000.0 * np.arange(H) + 500], -1)
    metres = {"units": "m"}
    return xr.Dataset(
        {
            "rain": (DIMS, np.ones((T, H, W)), {"grid_mapping": "crs", "units": "mm"}),
            "crs": ((), 0, {"grid_mapping_name": "polar_stereographic", "latitude": 90.0}),
            "y_bnds": (("y", "bnds"), y_bounds),
            "time_bnds": (("time", "bnds"), np.zeros((T, 2))),
        },
        {
            "time": ("time", np.arange(T), {"bounds": "time_bnds"}),
            "y": ("y", 1000.0 * np.arange(H), {"bounds": "y_bnds", **metres}),
            "x": ("x", 1000.0 * np.arange(W), metres),
            "lat": (("y", "x"), lat, {"units": "degrees_north"}),
            "lon": (("y", "x"), lon, {"units": "degrees_east"}),
            "height": ((), 2.0, metres),
            "model": ((), "ifs"),
            "land": (("y", "x"), np.arange(H * W).reshape(H, W) % 2 == 0),
            "issued": np.datetime64("2020-01-01", "ns"),
        },
    )


def forecast(frames, path, starts=(-1,)):
    """Write a forecast of two frames, and read it with xarray."""
    places = [start % frames.length for start in starts]
    times = np.stack([frames.times_from(0, place, 3)[1:] for place in places])
    labels = ForecastLabels(frames, np.array(places), times, frames.channels)
    frame = torch.zeros(1, len(frames.values), len(places), len(frames.channels), *frames.grid)
    with open_writer(path, labels) as write:
        write(frame)
        write(frame)
    if path.suffix == ".npz":
        return np.load(path)
    engine = "h5netcdf" if path.suffix == ".nc" else "zarr"
    return xr.open_dataset(path, engine=engine, decode_timedelta=False)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_grids_and_their_coordinates_are_carried(tmp_path, suffix):
    projected().to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    with forecast(read_frames(tmp_path / "in.nc"), tmp_path / f"out{suffix}") as out:
        assert out["rain"].attrs["grid_mapping"] == "crs"
        assert out["crs"].attrs == {"grid_mapping_name": "polar_stereographic", "latitude": 90.0}
        assert out["y"].attrs == {"bounds": "y_bnds", "units": "m"}
        assert "bounds" not in out["time"].attrs
        for name in ("y", "x", "lat", "lon", "y_bnds", "height", "land", "issued"):
            assert np.array_equal(out[name].to_numpy(), projected()[name].to_numpy()), name
        assert str(out["model"].to_numpy()) == "ifs"
    again = read_frames(tmp_path / f"out{suffix}")
    with forecast(again, tmp_path / f"again{suffix}") as out:
        assert {"crs", "y_bnds", "lat"} <= set(out.variables)


@pytest.mark.parametrize("starts", [(-1,), (-1, -2)])
def test_when_the_input_was_forecast_is_not_carried(tmp_path, starts):
    """Of GRIB, the reference time is a scalar, or the axis itself where each frame is one."""
    data = projected()
    data["time"] = np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(1, "h")
    reference = {"standard_name": "forecast_reference_time"}
    data["time"].attrs.update(reference)
    data["reftime"] = (), np.datetime64("2019-12-31", "ns"), reference
    data["step"] = (), 0, {"standard_name": "forecast_period"}
    data = data.set_coords(["reftime", "step"])
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    with forecast(read_frames(tmp_path / "in.nc"), tmp_path / "out.nc", starts) as out:
        said = {name: c.attrs.get("standard_name") for name, c in out.coords.items()}
    assert not {"reftime", "step"} & set(said)
    assert [name for name in said if said[name] == "forecast_reference_time"] == ["start"]
    assert said["time"] == "time"


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_packed_coordinates_are_those_of_the_input(tmp_path, suffix):
    y, x = 0.128212 - 5.6e-5 * np.arange(H), -0.101332 + 5.6e-5 * np.arange(W)
    data = xr.Dataset({"CMI": (("t", "y", "x"), np.ones((T, H, W)))}, {"y": y, "x": x})
    encoding = {
        "y": {"dtype": "int16", "scale_factor": -5.6e-05, "add_offset": 0.128212},
        "x": {"dtype": "int16", "scale_factor": 5.6e-05, "add_offset": -0.101332},
    }
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf", encoding=encoding)
    with forecast(read_frames(tmp_path / "in.nc"), tmp_path / f"out{suffix}") as out:
        assert out["y"].to_numpy() == pytest.approx(y, abs=1e-12)
        assert out["x"].to_numpy() == pytest.approx(x, abs=1e-12)
        assert out["x"].encoding["dtype"].kind == "f"


def odd_attributes(path):
    """A file with attributes as other programs write them."""
    with h5py.File(path, "w") as file:
        file["a"] = np.ones((T, H, W), "f4")
        for place, name in enumerate(DIMS):
            file[name] = np.arange((T, H, W)[place], dtype=float)
            file[name].make_scale(name)
            file["a"].dims[place].attach_scale(file[name])
        file["a"].attrs["empty"] = h5py.Empty("f4")
        file["a"].attrs["flags"] = np.array([1, 2], "i1")
        file["a"].attrs["valid_range"] = "0, 100"
        file["time"].attrs["note"] = np.bytes_(b"\xe9t\xe9")
        file.attrs["raw"] = np.bytes_(b"\xe9t\xe9")
        file.attrs["list"] = np.array(["a", "b"], dtype=h5py.string_dtype())
        file.attrs["yes"] = np.True_


@pytest.mark.filterwarnings("ignore:.*the range that a declares")
@pytest.mark.parametrize("suffix", [".nc", ".zarr", ".npz"])
@pytest.mark.parametrize("starts", [(-1,), (-1, -2)])
def test_odd_attributes_stop_no_forecast(tmp_path, suffix, starts):
    odd_attributes(tmp_path / "in.nc")
    with forecast(read_frames(tmp_path / "in.nc"), tmp_path / f"out{suffix}", starts) as out:
        if suffix == ".npz":
            return
        assert out.attrs["raw"] == "été"
        assert list(out.attrs["list"]) == ["a", "b"]
        assert out["time"].attrs["note"] == "été"
        assert list(out["a"].attrs["flags"]) == [1, 2]
        assert "valid_range" not in out["a"].attrs


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_dictionaries_of_zarr_become_texts(tmp_path, suffix):
    group = zarr.open_group(tmp_path / "in.zarr", mode="w")
    array = group.create_array("a", shape=(T, H, W), dtype="f4", dimension_names=DIMS)
    array.attrs.update({"about": {"source": [1, "b"], "deep": {"x": None}}, "many": [1, "a"]})
    group.attrs["authors"] = [{"name": "A"}]
    with forecast(read_frames(tmp_path / "in.zarr"), tmp_path / f"out{suffix}") as out:
        assert json.loads(out["a"].attrs["about"]) == {"source": '[1, "b"]', "deep": '{"x": null}'}


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_names_with_slashes_are_written_and_found_again(tmp_path, suffix):
    data = xr.Dataset({"s": (("time", "band", "y", "x"), np.ones((T, 2, H, W)))})
    data = data.assign_coords(time=np.arange(T), band=["VV/VH", "VV"])
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    with forecast(read_frames(tmp_path / "in.nc"), tmp_path / f"out{suffix}") as out:
        assert set(out.data_vars) == {"VV_VH", "VV"}
        assert out["VV_VH"].attrs["name_in_source"] == "VV/VH"
    assert read_frames(tmp_path / f"out{suffix}", ["VV/VH"]).names == ("VV/VH",)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float32(1.5), 1.5),
        (np.array([1, 2], "i2"), [1, 2]),
        (b"\xff", "ÿ"),
        ("\udce9", "é"),
        (True, 1),
        (1 << 70, float(1 << 70)),
        ([1, "a"], '[1, "a"]'),
        (["a"], "a"),
        ("", ""),
    ],
)
def test_each_attribute_is_kept_as_near_as_can_be(value, kept):
    assert carried({"a": value}) == {"a": kept}


@pytest.mark.parametrize("value", [None, [], h5py.Empty("f4")])
def test_attributes_of_nothing_are_left_out(value):
    assert carried({"a": value, "_FillValue": 1, "b": 2}) == {"b": 2}
