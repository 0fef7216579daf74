"""Fields that follow from times and places."""

from dataclasses import replace

import cftime
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.frames.derived import derive_forcings, derive_static
from framecast.frames.formulas import SOLAR_CONSTANT, insolation, time_of_day, time_of_year
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.places import area_weights, degrees, grid_spacing, has_areas


def frames_on(lat, lon, dims=("time", "lat", "lon"), times=None):
    time = (
        np.array(["2024-06-21T00", "2024-06-21T06"], "datetime64[ns]") if times is None else times
    )
    over = [("lat",), ("lon",)] if np.ndim(lat) == 1 else [("lat", "lon")] * 2
    shape = (len(lat), len(lon)) if np.ndim(lat) == 1 else np.shape(lat)
    coordinates = {
        "time": Coordinate(("time",), time),
        "lat": Coordinate(over[0], np.asarray(lat, float), {"units": "degrees_north"}),
        "lon": Coordinate(over[1], np.asarray(lon, float), {"units": "degrees_east"}),
    }
    return Frames(torch.zeros(1, len(time), 1, *shape), (Channel("a"),), dims, coordinates)


def test_the_day_and_the_year_pass_in_any_calendar():
    assert time_of_day(np.array(["2024-02-03T06:30"], "datetime64[ns]"))[0] == 6.5 / 24
    assert time_of_day(np.array([cftime.Datetime360Day(2000, 2, 30, 18)]))[0] == 0.75
    assert time_of_year(np.array(["2024-01-01"], "datetime64[ns]"))[0] == 0
    assert time_of_year(np.array(["2024-03-01"], "datetime64[ns]"))[0] == pytest.approx(60 / 366)
    assert time_of_year(np.array(["2023-03-01"], "datetime64[ns]"))[0] == pytest.approx(59 / 365)
    assert time_of_year(np.array([cftime.Datetime360Day(2000, 4, 1)]))[0] == 0.25
    assert time_of_year(np.array([cftime.DatetimeNoLeap(2000, 3, 1)]))[0] == pytest.approx(59 / 365)


@given(day=st.integers(0, 364), hour=st.integers(0, 23))
def test_both_kinds_of_times_agree(day, hour):
    plain = np.datetime64("2023-01-01", "ns") + np.timedelta64(day, "D") + np.timedelta64(hour, "h")
    date = (
        cftime.DatetimeGregorian(2023, 1, 1, hour)
        + cftime.datetime.__sub__(
            cftime.DatetimeGregorian(2023, 1, 2), cftime.DatetimeGregorian(2023, 1, 1)
        )
        * day
    )
    for share in (time_of_day, time_of_year):
        assert share(np.array([plain]))[0] == pytest.approx(share(np.array([date]))[0], abs=1e-12)


def test_the_mean_of_the_sunlight_is_a_quarter_of_the_solar_constant():
    """The earth's disk is a quarter of its surface; the mean of (d0/d)² is 1.00014."""
    times = np.datetime64("2023-01-01", "ns") + np.arange(0, 365 * 24, 31) * np.timedelta64(1, "h")
    latitude = np.rad2deg(np.arcsin((np.arange(90) + 0.5) / 45 - 1))[:, None]  # of equal area
    longitude = np.arange(0.0, 360.0, 10.0)[None]
    light = insolation(times, *np.broadcast_arrays(latitude, longitude))
    assert light.mean() == pytest.approx(SOLAR_CONSTANT / 4 * 1.00014, rel=2e-3)
    assert light.min() == 0


@pytest.mark.parametrize(
    ("time", "latitude", "expected"),
    [
        # Equinox at the equator, noon: S (d0/d)²; solstice at the pole: S (d0/d)² sin 23.44°.
        ("2024-03-20T12:07", 0.0, 1361 * 1.0080),
        ("2024-06-20T12:00", 90.0, 1361 * 0.9675 * np.sin(np.deg2rad(23.44))),
        ("2024-12-21T12:00", 80.0, 0.0),
    ],
)
def test_sunlight_at_known_hours(time, latitude, expected):
    light = insolation(np.array([time], "datetime64[ns]"), np.array([[latitude]]), np.zeros((1, 1)))
    assert light.item() == pytest.approx(expected, rel=5e-3, abs=1e-9)


def test_forcings_are_laid_out_by_name_and_over_the_grid():
    frames = frames_on([10, 20, 30], [0, 90])
    fields = derive_forcings(["insolation", "time_of_day"], frames, frames.times)
    assert fields.shape == (2, 3, 3, 2)
    assert fields[1, 1].eq(1).all()  # six o'clock: sine 1
    assert fields[1, 2].abs().max() < 1e-6
    assert fields[:, 0].min() >= 0
    assert derive_forcings([], frames, frames.times).shape == (2, 0, 3, 2)


def test_places_are_found_by_units_on_rectangular_and_curvilinear_grids():
    lat, lon = np.meshgrid([10.0, 20.0, 30.0], [0.0, 90.0], indexing="ij")
    flat, curved = frames_on([10, 20, 30], [0, 90]), frames_on(lat, lon)
    for frames in (flat, curved):
        np.testing.assert_allclose(degrees(frames, "latitude"), lat)
        fields = derive_static(["latitude", "longitude"], frames)
        np.testing.assert_allclose(fields[0], np.sin(np.deg2rad(lat)), rtol=1e-6)
        np.testing.assert_allclose(fields[3], np.cos(np.deg2rad(lon)), atol=1e-6)


def test_cells_have_their_sizes():
    frames = frames_on([59.0, 60.0, 61.0], np.arange(0, 8, 2))
    rows, columns = grid_spacing(frames)
    np.testing.assert_allclose(rows, 111.2, rtol=1e-3)
    np.testing.assert_allclose(columns[1], 2 * 111.2 * 0.5, rtol=1e-3)
    weights = area_weights(frames_on([30.0, 60.0, 90.0], [0, 1]))
    torch.testing.assert_close(
        weights[:, 0] / weights[0, 0], torch.tensor([1.0, 3**-0.5, 0.0]), atol=1e-6, rtol=0
    )
    assert weights.mean() == pytest.approx(1)


def test_even_latitudes_weigh_as_their_cosine_exactly():
    weights = area_weights(frames_on(np.arange(-60, 61, 1.5, dtype=np.float32), [0, 1, 2]))
    cosines = np.cos(np.deg2rad(np.arange(-60, 61, 1.5)))
    np.testing.assert_allclose(weights[:, 0], cosines / cosines.mean(), rtol=1e-7)


def test_uneven_rows_and_columns_weigh_by_the_land_that_they_stand_for():
    """The area between two latitudes goes with the difference of their sines."""
    lat = np.concatenate([np.arange(-60, 0, 2.0), np.arange(0, 61, 0.5)])
    lon = np.concatenate([np.arange(350, 361, 1.0), np.arange(363, 390, 3.0)])
    weights = area_weights(frames_on(lat, lon % 360))[1:-1, 1:-1]
    edges = np.sin(np.deg2rad((lat[1:] + lat[:-1]) / 2))
    widths = np.diff((lon[1:] + lon[:-1]) / 2)
    areas = np.diff(edges)[:, None] * widths
    np.testing.assert_allclose(weights / weights.mean(), areas / areas.mean(), rtol=2e-3)


@pytest.mark.parametrize("turned", [False, True])
def test_cells_of_a_curved_grid_weigh_by_their_area(turned):
    """A polar stereographic grid: its scale is 2 / (1 + sin φ), and all of its cells are alike."""
    x, y = np.meshgrid(np.arange(-20, 21) / 40, np.arange(-16, 17) / 40)
    lat = 90 - 2 * np.rad2deg(np.arctan(np.hypot(x, y)))
    lon = np.rad2deg(np.arctan2(y, x))
    if turned:
        lat, lon = lat.T, lon.T
    weights = area_weights(frames_on(lat, lon))
    areas = (1 + np.sin(np.deg2rad(lat))) ** 2
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(
        weights[inner] / weights[inner].mean(), areas[inner] / areas[inner].mean(), rtol=4e-3
    )


def test_a_curved_grid_of_even_latitudes_weighs_as_a_plain_one():
    lat, lon = np.meshgrid(np.arange(20.0, 70), np.arange(150.0, 210) % 360 - 180, indexing="ij")
    curved, flat = area_weights(frames_on(lat, lon)), area_weights(frames_on(lat[:, 0], lon[0]))
    torch.testing.assert_close(curved, flat, rtol=3e-4, atol=0)


def test_points_without_a_place_count_for_nothing_and_no_area_is_an_error():
    lat, lon = np.meshgrid(np.arange(20.0, 30), np.arange(10.0), indexing="ij")
    lat[:3, :3] = np.nan
    weights = area_weights(frames_on(lat, lon))
    assert weights[:3, :3].eq(0).all()
    assert weights[4:, 4:].gt(0).all()
    with pytest.raises(UserError, match="cells without an area"):
        area_weights(frames_on(lat * 0 + 45, lon * 0))
    frames = frames_on(lat, lon)
    bare = replace(frames, coordinates={n: c for n, c in frames.coordinates.items() if n != "lon"})
    assert has_areas(frames)
    assert not has_areas(bare)
    with pytest.raises(UserError, match="no longitude"):
        area_weights(bare)


def test_what_cannot_be_derived_is_named():
    bare = Frames(torch.zeros(1, 3, 1, 2, 2), (Channel("a"),), source="x.npy")
    for derive, message in (
        (
            lambda: derive_forcings(["time_of_day"], bare, bare.times),
            "derived from dates, but the time",
        ),
        (lambda: derive_static(["latitude"], bare), "x.npy has no latitude: .* degrees_north"),
        (lambda: derive_static(["grid_spacing"], bare), "coordinates y and x in m or km"),
    ):
        with pytest.raises(UserError, match=message):
            derive()
