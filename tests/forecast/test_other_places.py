"""What a run knows of places holds where its training frames lay, and nowhere else."""

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.forecast import forecast_file
from framecast.forecast.order import EnsembleOrder
from framecast.frames.places import agree, corners
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import load_checkpoint
from small import untrained_run

LAND = [0, 45, 90]


def globe(path, west=0, north=True, land=True):
    """Temperatures of a globe of 8×8 points, whose land is at the same place whatever is asked."""
    longitudes = np.arange(west, west + 360, 45)
    values = np.random.default_rng(0).normal(280, 5, (20, 8, 8)).astype("float32")
    values = np.roll(values, -west // 45, 2)
    if land:
        values[:, :, np.isin(longitudes % 360, LAND)] = np.nan
    data = xr.Dataset(
        {"t": (("time", "lat", "lon"), values, {"units": "K"})},
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(6, "h"),
            "lat": ("lat", np.linspace(70, -70, 8), {"units": "degrees_north"}),
            "lon": ("lon", longitudes, {"units": "degrees_east"}),
        },
    )
    data = data if north else data.isel(lat=slice(None, None, -1))
    data.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture
def run(tmp_path):
    return untrained_run(tmp_path / "run", globe(tmp_path / "east.nc"), padding="circular")


def longitudes_without_values(path):
    data = xr.open_dataset(path, engine="h5netcdf")["t"]
    return sorted(data["lon"].values[data.isnull().all(("time", "lat")).values.ravel()] % 360)


def test_land_stays_where_it_is_whichever_way_longitudes_are_counted(tmp_path, run):
    forecast_file(run, tmp_path / "east.nc", 2, tmp_path / "a.nc")
    assert longitudes_without_values(tmp_path / "a.nc") == LAND
    west = globe(tmp_path / "west.nc", west=-180)
    with pytest.warns(UserWarning, match=r"does not lie where .* longitude -180 to 135, not 0 to"):
        forecast_file(run, west, 2, tmp_path / "b.nc")
    assert longitudes_without_values(tmp_path / "b.nc") == LAND


def test_what_is_typical_of_a_place_fills_no_other(tmp_path, run):
    scaling = load_checkpoint(run).scaling
    frames = read_frames(tmp_path / "east.nc")
    assert torch.equal(scaling.typical(frames), scaling.typical())
    assert scaling.typical().any()
    assert not scaling.typical(read_frames(globe(tmp_path / "west.nc", west=-180))).any()


def test_members_are_of_the_same_places(tmp_path, run):
    """Rows are turned to the way of each run: in one file they would lie upside down."""
    south = globe(tmp_path / "south.nc", north=False)
    other = untrained_run(tmp_path / "other", south, padding="circular")
    order = EnsembleOrder(runs=(other,))
    with pytest.raises(UserError, match="no members of one ensemble: they read other parts"):
        forecast_file(run, tmp_path / "east.nc", 2, tmp_path / "f.nc", ensemble=order)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ({"longitude": (0.0, 315.0)}, {"longitude": (-360.0, -45.0)}, True),
        ({"longitude": (350.0, 10.0)}, {"longitude": (-10.0, 10.00001)}, True),
        ({"longitude": (0.0, 315.0)}, {"longitude": (-180.0, 135.0)}, False),
        ({"latitude": (10.0, 20.0)}, {"latitude": (20.0, 10.0)}, False),
        ({"x": (0.0, 315.0)}, {"x": (-360.0, -45.0)}, False),
        ({"x": (0.0, 7.0)}, {"longitude": (1.0, 8.0)}, True),  # nobody can tell
        ({}, {"x": (1.0, 8.0)}, True),
    ],
)
def test_grids_agree_by_their_corners(ours, theirs, same):
    assert agree(ours, theirs) is same


def test_frames_without_coordinates_have_no_corners(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 4, 4), np.float32))
    assert corners(read_frames(tmp_path / "a.npy")) == {}
    assert corners(read_frames(globe(tmp_path / "b.nc"))) == {
        "latitude": (70.0, -70.0),
        "longitude": (0.0, 315.0),
    }


def test_a_forecast_has_the_attributes_of_its_input(tmp_path, run):
    with xr.open_dataset(tmp_path / "east.nc", engine="h5netcdf") as data:
        data["t"].attrs |= {"standard_name": "air_temperature", "grid_mapping": "crs2"}
        del data["t"].attrs["units"]
        data.assign(crs2=0).to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    forecast_file(run, tmp_path / "in.nc", 2, tmp_path / "f.nc")
    made = xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf", decode_coords=False)["t"]
    assert made.attrs["standard_name"] == "air_temperature"
    assert made.attrs["grid_mapping"] == "crs2"
    assert made.attrs["units"] == "K"  # of the training
