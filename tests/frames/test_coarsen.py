"""A coarser grid: means of blocks, beside plain loops in NumPy."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.coarsen import cell_sizes, coarsen
from framecast.frames.frames import Frames, StaticFields
from framecast.frames.lazy import LazyValues
from framecast.readers.open import read_frames

EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}


def globe(latitudes, longitudes, values=None, **further):
    """Frames on latitudes and longitudes; random where no values are given."""
    lat, lon = np.asarray(latitudes, float), np.asarray(longitudes, float)
    if values is None:
        values = torch.randn(1, 3, 2, len(lat), len(lon))
    return Frames(
        values=values,
        channels=(Channel("a"), Channel("b"))[: values.shape[2]],
        dims=("time", "lat", "lon"),
        coordinates={
            "lat": Coordinate(("lat",), lat, {**NORTH}),
            "lon": Coordinate(("lon",), lon, {**EAST}),
            **further,
        },
    )


def plane(values, **further):
    return Frames(values, (Channel("a"),), ("time", "y", "x"), **further)


def by_hand(field, weights, count):
    """The mean of the known cells of each block [H,W], in plain loops."""
    height, width = field.shape
    means = np.full((height // count, width // count), np.nan)
    for row in range(height // count):
        for column in range(width // count):
            known = [
                (float(field[i, j]), weights[i])
                for i in range(row * count, (row + 1) * count)
                for j in range(column * count, (column + 1) * count)
                if not np.isnan(field[i, j])
            ]
            if 2 * len(known) >= count**2:
                total = sum(weight for _, weight in known)
                means[row, column] = sum(v * weight for v, weight in known) / total
    return means


@given(
    count=st.integers(2, 4),
    height=st.integers(1, 4),
    width=st.integers(1, 3),
    gaps=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
def test_values_are_means_of_blocks_by_area(count, height, width, gaps, seed):
    """On even latitudes the area of a cell goes with the cosine of its latitude."""
    rng = np.random.default_rng(seed)
    rows, columns = height * count, width * count
    step = 180 / rows
    latitudes = -90 + step / 2 + step * np.arange(rows)
    field = rng.normal(size=(1, 2, 2, rows, columns)).astype("f4")
    field[rng.random(field.shape) < gaps] = np.nan
    static = StaticFields(torch.from_numpy(field[0, 0]), (Channel("s"), Channel("t")))
    frames = globe(latitudes, np.arange(columns) * 7.0, torch.from_numpy(field))
    coarse = coarsen(Frames(**{**vars(frames), "static": static}), count)
    weights = np.cos(np.deg2rad(latitudes))
    for time in range(2):
        for channel in range(2):
            expected = by_hand(field[0, time, channel], weights, count)
            made = coarse.values[0, time, channel].numpy()
            np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(coarse.static.values, coarse.values[0, 0])


def test_without_latitudes_cells_count_alike():
    field = torch.arange(24.0).view(1, 1, 1, 4, 6)
    coarse = coarsen(plane(field), 2)
    assert coarse.values[0, 0, 0].tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]


def test_a_row_on_a_pole_has_the_area_of_its_cap():
    """Half a step of latitude; the cosine of 90° would be nothing."""
    latitudes = [90.0, 60, 30, 0, -30, -60]
    values = torch.arange(6.0).view(1, 1, 1, 6, 1).repeat(1, 1, 1, 1, 2)
    coarse = coarsen(globe(latitudes, [0, 10], values), 2)
    cap, ring = 1 - np.sin(np.deg2rad(75)), np.sin(np.deg2rad(75)) - np.sin(np.deg2rad(45))
    assert coarse.values[0, 0, 0, 0, 0].item() == pytest.approx(ring / (cap + ring))


def test_the_mean_over_the_globe_is_kept():
    """What blocks weigh by area, the area of blocks weighs to the same mean."""
    latitudes = np.linspace(-87.1875, 87.1875, 32)
    frames = globe(latitudes, np.arange(64) * 5.625)
    coarse = coarsen(frames, 2)
    ends = np.deg2rad(np.linspace(-90, 90, 17))
    fine, rough = np.cos(np.deg2rad(latitudes)), np.diff(np.sin(ends))
    for frame, means in zip(frames.values[0, :, 0], coarse.values[0, :, 0], strict=True):
        before = np.average(frame.double().mean(1), weights=fine)
        assert np.average(means.double().mean(1), weights=rough) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("known", [0, 1, 2, 3, 4])
def test_a_block_is_known_where_half_of_its_cells_are(known):
    cells = torch.full((4,), torch.nan)
    cells[:known] = 5.0
    mean = coarsen(plane(cells.view(1, 1, 1, 2, 2)), 2).values.item()
    assert mean == 5 if known >= 2 else np.isnan(mean)


def test_what_is_left_out_of_one_channel_is_read_of_the_other():
    values = torch.ones(1, 1, 2, 2, 2)
    values[:, :, 0] = torch.nan
    assert coarsen(globe([1, 2], [1, 2], values), 2).values[0, 0, 1].item() == 1


def test_coordinates_are_the_middles_of_blocks():
    coarse = coarsen(globe(np.linspace(87.1875, -87.1875, 32), np.arange(64) * 5.625), 2)
    assert coarse.coordinates["lat"].values.tolist() == np.linspace(84.375, -84.375, 16).tolist()
    assert coarse.coordinates["lon"].values.tolist() == (2.8125 + 11.25 * np.arange(32)).tolist()
    assert coarse.coordinates["lat"].attributes == NORTH
    assert cell_sizes(coarse) == (11.25, 11.25)


@pytest.mark.parametrize(
    ("longitudes", "expected"),
    [
        ([340, 350, 0, 10, 20, 30], [345, 5, 25]),
        ([350, 0, 10, 20, 30, 40], [355, 15, 35]),
        ([355, 5, 15, 25, 35, 45], [360, 20, 40]),
        ([175, -175, -165, -155, -145, -135], [180, -160, -140]),
    ],
)
def test_longitudes_are_averaged_across_the_seam(longitudes, expected):
    longitudes = np.array(longitudes, float)
    ends = np.stack([longitudes - 5, longitudes + 5], 1)
    ends = (ends + 360) % 360 if longitudes.min() >= 0 else (ends + 180) % 360 - 180
    frames = globe([0, 10], longitudes, lon_bnds=Coordinate(("lon", "edge"), ends))
    frames.coordinates["lon"].attributes.update(bounds="lon_bnds")
    coarse = coarsen(frames, 2)
    made = coarse.coordinates["lon"].values
    assert made.tolist() == expected
    bounds = coarse.coordinates["lon_bnds"].values
    assert ((bounds - made[:, None]) % 360).tolist() == [[350, 10]] * 3


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("descending", [False, True])
def test_bounds_are_those_of_the_block_in_their_order(turned, descending):
    latitudes = np.array([10.0, 20, 30, 40])[:: -1 if descending else 1]
    ends = np.stack([latitudes - 5, latitudes + 5], 1)[:, :: -1 if turned else 1]
    frames = Frames(
        torch.randn(1, 1, 1, 4, 2), (Channel("a"),), ("time", "lat", "x"),
        coordinates={
            "lat": Coordinate(("lat",), latitudes, {**NORTH, "bounds": "edges"}),
            "edges": Coordinate(("lat", "nv"), ends),
        },
    )  # fmt: skip
    made = coarsen(frames, 2).coordinates["edges"].values
    expected = np.array([[5, 25], [25, 45]])[:: -1 if descending else 1]
    assert made.tolist() == expected[:, :: -1 if turned else 1].tolist()


def test_coordinates_of_each_point_and_those_that_have_no_mean():
    y, x = np.mgrid[0:4, 0:4]
    coordinates = {
        "lat": Coordinate(("y", "x"), 40.0 + y, {**NORTH, "bounds": "corners"}),
        "lon": Coordinate(("y", "x"), (358.5 + x) % 360, EAST),
        "corners": Coordinate(("y", "x", "corner"), np.zeros((4, 4, 4))),
        "name": Coordinate(("x",), np.array(list("abcd"))),
        "place": Coordinate(("x",), np.arange(4)),
        "crs": Coordinate((), np.array(0)),
    }
    frames = plane(torch.ones(1, 1, 1, 4, 4), coordinates=coordinates)
    coarse = coarsen(frames, 2).coordinates
    assert coarse["lat"].values.tolist() == [[40.5, 40.5], [42.5, 42.5]]
    assert coarse["lat"].attributes == NORTH
    assert (coarse["lon"].values % 360).tolist() == [[359, 1], [359, 1]]
    assert coarse["place"].values.tolist() == [0.5, 2.5]
    assert set(coarse) == {"lat", "lon", "place", "crs"}


def test_blocks_that_do_not_divide_the_grid_are_refused_with_a_remedy():
    frames = plane(torch.ones(1, 1, 1, 7, 9))
    with pytest.raises(UserError, match=r"7 rows and 9 columns.*row: \[0, 5\], column: \[0, 7\]"):
        coarsen(frames, 2)


def test_latitudes_in_no_order_are_refused():
    with pytest.raises(UserError, match="neither ascend nor descend"):
        coarsen(globe([10, 30, 20, 40], [0, 10]), 2)


def stored(path, latitudes, longitudes, frames=5):
    rng = np.random.default_rng(0)
    shape = (frames, len(latitudes), len(longitudes))
    data = xr.Dataset(
        {
            "a": (("time", "lat", "lon"), rng.normal(size=shape).astype("f4")),
            "s": (("lat", "lon"), rng.normal(size=shape[1:]).astype("f4")),
        },
        {"lat": ("lat", latitudes, NORTH), "lon": ("lon", longitudes, EAST)},
    )
    data.to_netcdf(path, engine="h5netcdf")


def test_a_region_is_cut_before_and_large_files_are_read_by_windows(tmp_path):
    stored(tmp_path / "x.nc", np.arange(-35.0, 36, 10), np.arange(0.0, 360, 30))
    settings = {"region": {"lat": [-20, 20], "lon": [-60, 30]}, "coarsen": 2, "static": ["s"]}
    held = read_frames(tmp_path / "x.nc", ["a"], **settings)
    lazy = read_frames(tmp_path / "x.nc", ["a"], **settings, lazy=True)
    assert held.coordinates["lat"].values.tolist() == [-10, 10]
    assert held.coordinates["lon"].values.tolist() == [-45, 15]
    assert isinstance(lazy.values, LazyValues)
    assert torch.equal(lazy.values[0, 1:4], held.values[0, 1:4])
    assert torch.equal(lazy.static.values, held.static.values)
    with xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as file:
        field = file["a"].values[2, 2:6][:, [10, 11, 0, 1]]
        still = file["s"].values[2:6][:, [10, 11, 0, 1]]
    weights = np.cos(np.deg2rad([-15.0, -5, 5, 15]))
    np.testing.assert_allclose(held.values[0, 2, 0], by_hand(field, weights, 2), rtol=1e-5)
    np.testing.assert_allclose(held.static.values[0], by_hand(still, weights, 2), rtol=1e-5)
    assert lazy.fingerprint() != read_frames(tmp_path / "x.nc", ["a"], lazy=True).fingerprint()


def test_the_chunks_of_the_file_are_known(tmp_path):
    stored(tmp_path / "x.nc", np.arange(-35.0, 36, 10), np.arange(0.0, 360, 30), frames=20)
    with xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as file:
        file.to_zarr(tmp_path / "x.zarr", zarr_format=2, encoding={"a": {"chunks": (6, 8, 12)}})
    lazy = read_frames(tmp_path / "x.zarr", ["a"], coarsen=4, lazy=True)
    assert lazy.values.chunks.starts.tolist() == [0, 6, 12, 18]


def test_arrays_without_labels(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("f4")
    np.save(tmp_path / "x.npy", values)
    coarse = read_frames(tmp_path / "x.npy", coarsen=2).values
    expected = values.reshape(3, 2, 2, 3, 2).mean((2, 4))
    np.testing.assert_allclose(coarse[0, :, 0], expected, rtol=1e-5)
