"""Coasts lie where the latitudes and longitudes of a grid put them."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from framecast.frames.channels import Coordinate
from framecast.frames.frames import Channel, Frames
from framecast.report.page.coasts import _land, coasts, vectors

ROWS, COLUMNS = 24, 40


def frames_on(latitude: np.ndarray, longitude: np.ndarray) -> Frames:
    """Frames whose latitudes and longitudes are of rows and columns, or of each point."""
    dims = [("y", "x")] * 2 if latitude.ndim == 2 else [("y",), ("x",)]
    size = latitude.shape if latitude.ndim == 2 else (len(latitude), len(longitude))
    return Frames(
        values=torch.zeros(1, 2, 1, *size),
        channels=(Channel("t"),),
        dims=("time", "y", "x"),
        coordinates={
            "lat": Coordinate(dims[0], latitude, {"units": "degrees_north"}),
            "lon": Coordinate(dims[1], longitude, {"units": "degrees_east"}),
        },
    )


def points(lines: list[list[float]]) -> np.ndarray:
    """Row and column of all points, counted from the centre of the first cell."""
    return np.concatenate([np.reshape(line, (-1, 2))[:, ::-1] for line in lines]) - 0.5


def at(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A field over the grid between its cells, which goes on beyond the outermost."""
    low = np.clip(np.floor(places).astype(int), 0, np.array(field.shape[:2]) - 2)
    r, c = (places - low).T[..., None]
    i, j = low.T
    first = field[i, j] * (1 - c) + field[i, j + 1] * c
    return first * (1 - r) + (field[i + 1, j] * (1 - c) + field[i + 1, j + 1] * c) * r


def land_points() -> np.ndarray:
    """The corners of all outlines, as vectors."""
    return np.concatenate([vectors(*ring.T) for ring in _land()])


def rotated(south: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of each point of a grid that is turned against the meridians."""
    y, x = np.mgrid[:ROWS, :COLUMNS] * step
    angle = np.deg2rad(30)
    north = south + np.cos(angle) * y + np.sin(angle) * x
    return north, 5 + (np.cos(angle) * x - np.sin(angle) * y) / np.cos(np.deg2rad(north))


@pytest.mark.parametrize("up", [True, False])
def test_along_latitudes_and_longitudes(up):
    latitude, longitude = (
        np.linspace(35, 60, ROWS)[:: 1 if up else -1],
        np.linspace(-12, 30, COLUMNS),
    )
    found = points(coasts(frames_on(latitude, longitude), 1))
    own = vectors(*np.meshgrid(latitude, longitude, indexing="ij"))
    corners = land_points()
    distance = np.linalg.norm(at(own, found)[:, None] - corners[None], axis=-1)
    assert len(found) > 200
    # Each corner of an outline inside the grid is there, to a hundredth of a cell or so.
    inside = (own.reshape(-1, 3) @ corners.T).max(0) > np.cos(np.deg2rad(0.6))
    assert inside.sum() > 100
    assert np.rad2deg(distance.min(0)[inside]).max() < 0.5


def test_on_a_rotated_grid_each_point_is_on_a_coast():
    latitude, longitude = rotated(36, 0.8)
    found = points(coasts(frames_on(latitude, longitude), 1))
    places = at(vectors(latitude, longitude), found)
    assert len(found) > 100
    assert np.rad2deg(_distance_to_land(places)).max() < 0.03


def test_around_the_earth_no_line_crosses_the_map():
    latitude, longitude = np.linspace(88, -88, 45), np.arange(0, 360, 4.0)
    lines = coasts(frames_on(latitude, longitude), 1)
    steps = [np.abs(np.diff(np.reshape(line, (-1, 2)), axis=0)).max() for line in lines]
    assert max(steps) < 20
    assert points(lines)[:, 1].min() < 0.5
    assert points(lines)[:, 1].max() > 88.5


def test_of_coarser_cells():
    latitude, longitude = np.linspace(35, 60, ROWS), np.linspace(-12, 30, COLUMNS)
    fine = points(coasts(frames_on(latitude, longitude), 1))
    coarse = points(coasts(frames_on(latitude, longitude), 2))
    places = at(vectors(*np.meshgrid(latitude, longitude, indexing="ij")), 2 * coarse + 0.5)
    assert len(coarse) < len(fine)
    assert np.rad2deg(_distance_to_land(places)).max() < 0.1


def test_there_are_none_on_the_sea_without_places_or_in_one_row():
    sea = frames_on(np.linspace(-40, -30, ROWS), np.linspace(-130, -110, COLUMNS))
    assert coasts(sea, 1) == []
    row = frames_on(np.linspace(40, 41, 1), np.linspace(-12, 30, COLUMNS))
    assert coasts(row, 1) == []
    sea.coordinates.clear()
    assert coasts(sea, 1) == []


def test_places_that_make_no_sense_do_not_stop_a_page():
    longitude = np.linspace(-12, 30, COLUMNS)
    longitude[3:6] = 100
    coasts(frames_on(np.full(ROWS, 50.0), longitude), 1)


def _distance_to_land(places: np.ndarray) -> np.ndarray:
    """Distance of each place to the nearest step of an outline, straight in degrees as drawn."""
    lines = []
    for ring in _land():
        share = np.linspace(0, 1, 60)[:, None, None]
        lines.append(vectors(*(ring[:-1] + share * (ring[1:] - ring[:-1])).reshape(-1, 2).T))
    return KDTree(np.concatenate(lines)).query(places)[0]
