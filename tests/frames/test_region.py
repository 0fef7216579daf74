"""A part of the grid is read: between coordinates, or between places."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.frames import Frames, StaticFields
from framecast.frames.lazy import LazyValues
from framecast.frames.region import cut_region
from framecast.readers.open import read_frames

EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}


def globe(longitudes, **further):
    """Values that say where they are: latitude × 1000 + longitude counted to 360."""
    lon, latitudes = np.asarray(longitudes), np.linspace(75, -75, 11)
    values = latitudes[:, None] * 1000.0 + (lon % 360)[None]
    return Frames(
        values=torch.from_numpy(values).float().expand(1, 3, 1, -1, -1).clone(),
        channels=(Channel("a"),),
        dims=("time", "lat", "lon"),
        coordinates={
            "lat": Coordinate(("lat",), latitudes, NORTH),
            "lon": Coordinate(("lon",), lon, EAST),
            **further,
        },
    )


def test_latitudes_and_longitudes():
    part = cut_region(globe(np.arange(0, 360, 10.0)), {"lat": [-20, 50], "longitude": [30, 70]})
    assert part.grid == (5, 5)
    assert part.coordinates["lat"].values.tolist() == [45, 30, 15, 0, -15]
    assert part.coordinates["lon"].values.tolist() == [30, 40, 50, 60, 70]
    assert part.values[0, 0, 0, 0].tolist() == [45030, 45040, 45050, 45060, 45070]


@pytest.mark.parametrize(
    ("grid", "region", "expected"),
    [
        (np.arange(0, 360, 10.0), [-20, 10], [-20, -10, 0, 10]),
        (np.arange(0, 360, 10.0), [340, 10], [-20, -10, 0, 10]),
        (np.arange(0, 360, 10.0), [-90, -70], [270, 280, 290]),
        (np.arange(-180, 180, 10.0), [170, -160], [170, 180, 190, 200]),
        (np.arange(-180, 180, 10.0), [170, 200], [170, 180, 190, 200]),
        (np.arange(-180, 180, 10.0), [350, 370], [-10, 0, 10]),
        (np.arange(0, 360, 10.0), [0, 360], np.arange(0, 360, 10.0)),
        (np.arange(0, 360, 10.0), [-180, 180], np.arange(0, 360, 10.0)),
    ],
)
def test_longitudes_in_any_way_of_counting(grid, region, expected):
    """Those across the edge of the file are put together, and ascend."""
    ends = np.stack([grid - 5, grid + 5], axis=1)
    frames = globe(grid, lon_bnds=Coordinate(("lon", "edge"), ends))
    frames.coordinates["lon"].attributes["bounds"] = "lon_bnds"
    part = cut_region(frames, {"longitude": region})
    axis = part.coordinates["lon"].values
    assert axis.tolist() == list(expected)
    assert part.coordinates["lon_bnds"].values.mean(1).tolist() == list(expected)
    assert torch.equal(part.values[0, 0, 0, 5], torch.from_numpy(axis % 360).float())


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 14), st.integers(0, 14))
def test_rows_and_columns_are_counted_with_both_ends(top, bottom, left, right):
    frames = Frames(torch.randn(2, 3, 1, 10, 15), (Channel("a"),), ("n", "time", "y", "x"))
    frames = Frames(
        frames.values, frames.channels, frames.dims,
        static=StaticFields(torch.randn(1, 10, 15), (Channel("s", role="static"),)),
    )  # fmt: skip
    (top, bottom), (left, right) = sorted((top, bottom)), sorted((left, right))
    part = cut_region(frames, {"row": [top, bottom], "column": [left, right]})
    place = (slice(top, bottom + 1), slice(left, right + 1))
    assert torch.equal(part.values, frames.values[..., *place])
    assert torch.equal(part.static.values, frames.static.values[:, *place])


def test_a_curvilinear_grid_gives_the_rectangle_that_holds_the_region():
    y, x = np.mgrid[0:12, 0:12]
    lat, lon = 40 + 0.5 * y + 0.3 * x, 10 - 0.3 * y + 0.5 * x
    coordinates = {
        "lat": Coordinate(("y", "x"), lat, NORTH),
        "lon": Coordinate(("y", "x"), lon, EAST),
    }
    frames = Frames(torch.from_numpy(lat).float()[None, None, None], (Channel("a"),),
                    coordinates=coordinates)  # fmt: skip
    part = cut_region(frames, {"latitude": [43, 44], "longitude": [10, 12]})
    inside = (lat >= 43) & (lat <= 44) & (lon >= 10) & (lon <= 12)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert part.grid == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    kept = part.coordinates
    within = (kept["lat"].values >= 43) & (kept["lat"].values <= 44)
    within &= (kept["lon"].values >= 10) & (kept["lon"].values <= 12)
    assert within.sum() == inside.sum()


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ({"lat": [80, 90]}, "lat goes from -75 to 75, and no point lies"),
        ({"height": [0, 1]}, "no coordinate height over its rows or columns.*lat, lon, row"),
        ({"row": [3, 11]}, "two of its 11 rows, 0 to 10"),
        ({"lat": [0, 20], "row": [0, 2]}, "no point lies in all of"),
    ],
)
def test_a_region_that_is_not_there_is_refused(region, words):
    with pytest.raises(UserError, match=words):
        cut_region(globe(np.arange(0, 360, 10.0)), region)


def test_both_edges_of_a_grid_that_ends_are_no_region():
    with pytest.raises(UserError, match="both edges of the grid"):
        cut_region(globe(np.arange(0, 50, 10.0)), {"lon": [35, 15]})


def test_only_the_region_is_read_of_a_large_file(tmp_path):
    """The reader of labelled files leaves the rest of the grid on the disk."""
    rng = np.random.default_rng(0)
    data = xr.Dataset(
        {"a": (("time", "lat", "lon"), rng.normal(size=(5, 8, 12)).astype("f4"))},
        {"lat": ("lat", np.arange(8.0), NORTH), "lon": ("lon", np.arange(0.0, 360, 30), EAST)},
    )
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    region = {"lat": [2, 4], "lon": [-60, 30]}
    lazy = read_frames(tmp_path / "x.nc", region=region, lazy=True)
    assert isinstance(lazy.values, LazyValues)
    assert lazy.values.reader.shape == (1, 5, 1, 3, 4)
    expected = data["a"].values[1:4, 2:5][..., [10, 11, 0, 1]]
    assert np.array_equal(lazy.values[0, 1:4][:, 0].numpy(), expected)
    assert np.array_equal(read_frames(tmp_path / "x.nc", region=region).values[0, 1:4, 0], expected)
