"""Coordinates of a coarser grid: means over blocks of cells, and the bounds of the blocks."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames
from framecast.frames.places import find_axis


def coarse_coordinates(frames: Frames, count: int) -> dict[str, Coordinate]:
    """Return the coordinates of blocks of cells.

    Numbers become means; longitudes within a block are first counted on from its first one, so that
    359 and 1 have the mean 360. Bounds of cells along rows or columns become those of the block.
    Texts over the grid, and the corners of cells of a curvilinear grid, have no mean and are left
    out.

    Args:
        frames: on the fine grid, which blocks divide.
        count: cells along a side of a block.
    """
    space = set(frames.dims[-2:])
    edges = {str(c.attributes.get("bounds")) for c in frames.coordinates.values()}
    coarse: dict[str, Coordinate] = {}
    for name, fine in frames.coordinates.items():
        if not set(fine.dims) & space:
            coarse[name] = fine
        elif name not in edges and fine.values.dtype.kind in "iuf":
            coarse |= dict(_coarse(frames, name, fine, count))
    return coarse


def _coarse(
    frames: Frames, name: str, fine: Coordinate, count: int
) -> Iterator[tuple[str, Coordinate]]:
    """A coordinate over the grid, then its bounds."""
    around = fine is find_axis(frames, "longitude")
    values = np.asarray(fine.values, np.float64)
    for axis, dim in enumerate(fine.dims):
        if dim in frames.dims[-2:]:
            values = _blocks(values, axis, count, around).mean(axis + 1)
    attributes = dict(fine.attributes)
    edges = frames.coordinates.get(str(attributes.get("bounds")))
    if edges is not None and values.ndim == 1 and edges.values.shape[1:] == (2,):
        bounds = _bounds(np.asarray(edges.values, np.float64), fine, count, around)
        yield str(attributes["bounds"]), replace(edges, values=_as(edges, bounds), encoding={})
    else:
        attributes.pop("bounds", None)
    yield name, replace(fine, values=_as(fine, values), attributes=attributes, encoding={})


def _blocks(values: np.ndarray, axis: int, count: int, around: bool) -> np.ndarray:
    """Values with an axis of the cells of a block behind the one that is cut into blocks."""
    shape = values.shape
    blocks = values.reshape(*shape[:axis], -1, count, *shape[axis + 1 :])
    return np.unwrap(blocks, period=360, axis=axis + 1) if around else blocks


def _bounds(
    edges: Float64[np.ndarray, "S 2"], fine: Coordinate, count: int, around: bool
) -> Float64[np.ndarray, "s 2"]:
    """The outer bounds of each block, in the order in which those of the cells are."""
    centres = np.asarray(fine.values, np.float64)
    if around:
        moved = _blocks(centres, 0, count, around).reshape(-1)
        edges = moved[:, None] + (edges - centres[:, None] + 180) % 360 - 180
    ascend = bool(np.all(edges[:, 0] <= edges[:, 1]))
    blocks = edges.reshape(-1, 2 * count)
    ends = [blocks.min(1), blocks.max(1)]
    return np.stack(ends if ascend else ends[::-1], axis=1)


def _as(fine: Coordinate, values: np.ndarray) -> np.ndarray:
    """Numbers as exact as those of the fine coordinate; whole ones may have means that are not."""
    return values.astype(fine.values.dtype) if fine.values.dtype.kind == "f" else values
