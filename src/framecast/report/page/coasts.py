"""Coasts among the cells of a grid, whatever its latitudes and longitudes look like."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy.spatial import KDTree

from framecast.frames.frames import Frames
from framecast.frames.places import AXES, degrees, find_axis
from framecast.report.page.grid import coarser

BEYOND = 1.0
"""Cells by which coasts are drawn beyond the centres of the outermost cells."""

Places = Float64[np.ndarray, "n 2"]
Vectors = Float64[np.ndarray, "n 3"]


def coasts(frames: Frames, coarse: int) -> list[list[float]]:
    """Return lines along coasts, each as column, row, column, row, ... of its points.

    The centre of the first cell is at 0.5, 0.5. The grid may lie along latitudes and longitudes, or
    be rotated, projected or curvilinear.

    Args:
        frames: with latitudes and longitudes of rows and columns, or of each point. There are no
            lines without them, and none where the grid is one row or one column.
        coarse: rows and columns that make one of the grid that is drawn.
    """
    if any(find_axis(frames, axis) is None for axis in AXES):
        return []
    every = vectors(*(degrees(frames, axis) for axis in AXES))
    centres = np.moveaxis(coarser(np.moveaxis(every, -1, 0), coarse), 0, -1)
    if min(centres.shape[:2]) < 2 or not np.isfinite(centres).all():
        return []
    grid = _Grid.of(centres / np.linalg.norm(centres, axis=-1, keepdims=True))
    found = (grid.place(line) for ring in _land() for line in _near(ring, grid))
    return [
        [round(float(value), 2) for value in part[:, ::-1].ravel()]
        for places in found
        for part in _apart(places, grid)
    ]


def vectors(latitude: np.ndarray, longitude: np.ndarray) -> Float64[np.ndarray, "*any 3"]:
    """Return places in degrees as vectors of length 1 from the centre of the earth."""
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


@dataclass(frozen=True, eq=False)
class _Grid:
    """The centres of cells, and the steps from one to the next along rows and columns."""

    centres: Float64[np.ndarray, "H W 3"]
    steps: Float64[np.ndarray, "2 H W 3"]
    tree: KDTree

    @classmethod
    def of(cls, centres: Float64[np.ndarray, "H W 3"]) -> "_Grid":
        steps = np.stack([np.gradient(centres, axis=axis) for axis in (0, 1)])
        return cls(centres, steps, KDTree(centres.reshape(-1, 3)))

    @property
    def size(self) -> float:
        """The longest step."""
        return float(np.linalg.norm(self.steps, axis=-1).max())

    def place(self, points: Vectors) -> Places:
        """Return row and column of points; NaN beyond the grid.

        The nearest centre and the steps there say it: an error of second order in half a cell.
        """
        height, width = self.centres.shape[:2]
        row, column = np.divmod(self.tree.query(points)[1], width)
        off = points - self.centres[row, column]
        steps = self.steps[:, row, column]
        products = np.einsum("anv,bnv->nab", steps, steps)
        along = np.einsum("anv,nv->na", steps, off)
        moved = np.einsum("nab,nb->na", np.linalg.pinv(products), along)
        places = np.stack([row, column], -1) + moved
        room = np.array([height, width]) - 1 + BEYOND
        inside = (np.abs(moved) <= BEYOND) & (places >= -BEYOND) & (places <= room)
        return np.where(inside.all(1, keepdims=True), places + 0.5, np.nan)


@cache
def _land() -> tuple[Places, ...]:
    """Latitudes and longitudes of rings around land."""
    land: dict[str, Any] = json.loads(files(__package__).joinpath("land.json").read_text())
    rings = [np.reshape(ring, (-1, 2)).cumsum(0) * land["degrees"] for ring in land["rings"]]
    return tuple(np.ascontiguousarray(ring[:, ::-1], np.float64) for ring in rings)


def _near(ring: Places, grid: _Grid) -> Iterator[Vectors]:
    """The stretches of a ring that may lie in the grid, with a point in each cell they cross."""
    ends = np.stack([ring[:-1], ring[1:]], 1)
    length = np.linalg.norm(vectors(*ends[:, 1].T) - vectors(*ends[:, 0].T), axis=-1)
    far = grid.tree.query(vectors(*ends.mean(1).T))[0]
    near = (far < length / 2 + 2 * grid.size) & ~_cut(ends)
    for stretch in np.split(np.arange(len(ends)), np.flatnonzero(np.diff(near)) + 1):
        if len(stretch) and near[stretch[0]]:
            counts = np.ceil(length[stretch] / grid.size).astype(int).clip(1)
            at = np.cumsum([0, *counts])
            fine = np.arange(at[-1] + 1)
            corners = ring[[*stretch, stretch[-1] + 1]]
            yield vectors(*(np.interp(fine, at, corner) for corner in corners.T))


def _cut(ends: Float64[np.ndarray, "n 2 2"]) -> Bool[np.ndarray, " n"]:
    """Where a step runs along the edge of the map from which the rings are: there is no coast."""
    edge = (np.abs(ends[..., 1]) > 179.9) | (ends[..., 0] < -89.9)
    return np.asarray(edge.all(1))


def _apart(places: Places, grid: _Grid) -> Iterator[Places]:
    """The parts of a line in the grid, which ends at one side and goes on at the other."""
    width = grid.centres.shape[1]
    jumps = np.abs(np.diff(places[:, 1])) > max(2.0, width / 2)
    gone = np.isnan(places[:, 0])
    breaks = np.flatnonzero(jumps | (gone[1:] != gone[:-1])) + 1
    yield from (
        part for part in np.split(places, breaks) if len(part) > 1 and np.isfinite(part[0, 0])
    )
