"""What the values of a file are: packed, boolean, complex, filled, or standing for missing ones."""

import h5netcdf
import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.frames.sentinels import find_sentinel
from framecast.readers.open import read_frames

SHAPE = (12, 4, 5)
DIMS = ("time", "y", "x")


def field():
    return np.random.default_rng(0).uniform(0, 1, SHAPE)


def packed(path, scale, offset=0.0, **attributes):
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip(DIMS, SHAPE, strict=True))
        variable = file.create_variable("a", DIMS, "i2", fillvalue=np.int16(-3000))
        variable[:] = np.round((field() - offset) / scale).astype("i2")
        variable.attrs.update({"scale_factor": scale, "add_offset": offset, **attributes})
        file.create_variable("time", ("time",), "f8")[:] = np.arange(12.0)
    return path


@pytest.mark.parametrize(
    ("scale", "offset", "attributes", "expected"),
    [
        (1e-4, 0.0, {"valid_range": np.array([0, 10000], "i2")}, (0, 1)),
        (1e-4, 0.5, {"valid_range": np.array([-5000, 5000], "i2")}, (0, 1)),
        (-1e-4, 1.0, {"valid_range": np.array([0, 10000], "i2")}, (0, 1)),
        (1e-4, 0.0, {"valid_min": np.int16(0), "valid_max": np.int16(20000)}, (0, 2)),
        (-1e-4, 2.0, {"valid_min": np.int16(0), "valid_max": np.int16(20000)}, (0, 2)),
        (1e-4, 0.0, {"valid_range": np.array([0.0, 1.0])}, (0, 1)),
    ],
)
def test_a_packed_range_is_unpacked_with_the_values(tmp_path, scale, offset, attributes, expected):
    frames = read_frames(packed(tmp_path / "x.nc", scale, offset, **attributes))
    assert frames.channels[0].valid_range == pytest.approx(expected)
    assert torch.allclose(frames.values[0, :, 0], torch.from_numpy(field()).float(), atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "scale", "declared", "expected"),
    [
        ("u1", 1 / 255, [0, 1], (0, 1)),
        ("i2", 1e-4, [0, 10000], (0, 1)),
        ("i2", 1e-4, [0.0, 10000.0], (0, 10000)),
    ],
)
def test_a_range_in_zarr_is_packed_where_its_values_could_not_reach_it(
    tmp_path, dtype, scale, declared, expected
):
    path = zarr_store(
        tmp_path / "x.zarr", 3, dtype, 0, scale_factor=scale, add_offset=0.0, valid_range=declared
    )
    assert read_frames(path).channels[0].valid_range == pytest.approx(expected)


def test_the_range_of_values_that_are_not_packed_stays(tmp_path):
    data = xr.Dataset({"a": (DIMS, field(), {"valid_range": np.array([0, 100])})})
    data.to_netcdf(tmp_path / "x.nc")
    assert read_frames(tmp_path / "x.nc").channels[0].valid_range == (0, 100)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_a_boolean_variable_is_a_channel_of_0_and_1(tmp_path, suffix):
    data = xr.Dataset({"burnt": (DIMS, field() > 0.6)})
    path = tmp_path / f"x.{suffix}"
    data.to_netcdf(path) if suffix == "nc" else data.to_zarr(path, consolidated=False)
    values = read_frames(path).values
    assert torch.equal(values[0, :, 0], torch.from_numpy(field() > 0.6).float())


@pytest.mark.parametrize("kind", ["zarr", "npy"])
def test_complex_numbers_are_refused(tmp_path, kind):
    path, wave = tmp_path / f"x.{kind}", (field() * (1 + 1j)).astype("c8")
    if kind == "npy":
        np.save(path, wave)
    else:
        xr.Dataset({"psi": (DIMS, wave), "a": (DIMS, field())}).to_zarr(path, consolidated=False)
        assert read_frames(path, ["a"]).names == ("a",)
    with pytest.raises(UserError, match="complex"):
        read_frames(path)


def zarr_store(path, version, dtype, fill, **attributes):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    names = {} if version == 2 else {"dimension_names": DIMS}
    array = group.create_array("a", shape=SHAPE, dtype=dtype, fill_value=fill, **names)
    array[:] = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 5
    if version == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = list(DIMS)
    array.attrs.update(attributes)
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_zeros_of_zarr_are_values(tmp_path, version, dtype):
    values = read_frames(zarr_store(tmp_path / "x.zarr", version, dtype, 0)).values
    assert (values == 0).sum() == np.prod(SHAPE) / 5


def test_other_fill_values_of_zarr_2_are_missing(tmp_path):
    values = read_frames(zarr_store(tmp_path / "x.zarr", 2, "i2", 4)).values
    assert values.isnan().sum() == np.prod(SHAPE) / 5
    assert (read_frames(tmp_path / "x.zarr", missing=[0.0]).values == 0).sum() == 0


def with_sentinel(path, value):
    values = field().astype("f4")
    values[:, :2, :2] = value
    xr.Dataset({"precip": (DIMS, values)}, {"time": np.arange(12)}).to_netcdf(path)
    return path


@pytest.mark.parametrize("value", [-9999.0, -999.0, 1e20, -99.0, 9.96921e36, 32767.0, -1e30])
def test_training_warns_of_values_that_seem_to_stand_for_missing_ones(tmp_path, value):
    path = str(with_sentinel(tmp_path / "x.nc", value))
    with pytest.warns(UserWarning, match="far from all other values") as warned:
        DataConfig(path=path).open().splits()
    said = str(warned[0].message)
    assert f"20 % of precip is {np.float32(value):g}," in said
    assert "data.missing" in said
    declared = DataConfig(path=path, missing=[value]).open().splits().train
    assert declared.values.isnan().any()


def test_values_like_others_are_no_sentinels():
    values = torch.from_numpy(field().ravel())
    assert find_sentinel(values) is None
    assert find_sentinel(torch.cat([values, torch.tensor([50.0])]).double()) is None  # only once
    assert find_sentinel(torch.cat([torch.zeros(99), values.float()])) is None
    found = find_sentinel(torch.cat([values, torch.full((60,), -9.0, dtype=torch.float64)]))
    assert found == (-9, 0.2)
