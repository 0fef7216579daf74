"""Regions: parts of the grid for which scores are kept too, as `north=lat>20`."""

import operator
import re
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.places import degrees
from framecast.metrics.weights import EVERYWHERE

_CONDITION = re.compile(r"(lat|lon|row|column)\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FORM = (
    "write --region NAME=CONDITION,... with conditions on lat, lon, row or column, such as "
    "--region 'box=lat>20,lat<60,lon>-30,lon<40'"
)


def find_regions(texts: Sequence[str], frames: Frames) -> dict[str, Bool[Tensor, "H W"]]:
    """Return where each region is, by name.

    Args:
        texts: NAME=CONDITION, several conditions joined by commas, all of which must hold. A
            condition compares lat or lon, in degrees, or row or column, counted from 0, with a
            number. Longitudes go round the earth: both ends are given, and the region goes
            eastwards from the lower bound to the upper one.
        frames: that have the grid.

    Raises:
        UserError: if a text cannot be read, a name is there twice, the grid has no such coordinate,
            or nothing lies in a region.
    """
    regions: dict[str, Tensor] = {}
    for text in texts:
        name, equals, conditions = text.partition("=")
        name = name.strip()
        if not equals or not re.fullmatch(r"[\w.-]+", name):
            raise UserError(f"--region {text} has no name: {_FORM}")
        if name in regions or name == EVERYWHERE:
            why = "is that of the whole grid" if name == EVERYWHERE else "is given twice"
            raise UserError(f"--region {text}: the name {name} {why}: choose another")
        inside = _inside(text, conditions, frames)
        if not inside.any():
            raise UserError(
                f"--region {text}: no cell of {frames.source} lies there. {_extent(frames)}"
            )
        regions[name] = torch.from_numpy(inside)
    return regions


def _inside(text: str, conditions: str, frames: Frames) -> np.ndarray:
    inside = np.ones(frames.grid, bool)
    longitudes: list[tuple[str, float]] = []
    for part in conditions.split(","):
        found = _CONDITION.fullmatch(part.strip())
        if found is None:
            raise UserError(
                f"--region {text}: {part.strip() or 'nothing'} is no condition: {_FORM}"
            )
        axis, sign, number = found[1], found[2], float(found[3])
        if axis == "lon":
            longitudes.append((sign, number))
            continue
        inside &= _COMPARE[sign](_values(axis, frames), number)
    return inside & _between(text, longitudes, frames) if longitudes else inside


def _values(axis: str, frames: Frames) -> np.ndarray:
    if axis == "lat":
        return degrees(frames, "latitude")
    rows, columns = np.indices(frames.grid)
    return rows if axis == "row" else columns


def _between(text: str, bounds: Sequence[tuple[str, float]], frames: Frames) -> np.ndarray:
    """Where longitudes lie eastwards of a lower bound and westwards of an upper one."""
    lower = [bound for bound in bounds if bound[0] in (">", ">=")]
    upper = [bound for bound in bounds if bound[0] in ("<", "<=")]
    if (len(lower), len(upper)) != (1, 1):
        raise UserError(
            f"--region {text}: longitudes go round the earth, so that one bound alone says "
            "nothing: give one lower and one upper bound, such as lon>-30,lon<40"
        )
    (above, west), (below, east) = lower[0], upper[0]
    width = (east - west) % 360 or 360
    offset = (degrees(frames, "longitude") - west) % 360
    inside = _COMPARE[below](offset, width)
    inside &= (offset > 0) | (above == ">=")
    if below == "<=" and width < 360:
        return np.asarray(inside)
    return np.asarray(inside & (offset < width))


def _extent(frames: Frames) -> str:
    parts = [f"It has {frames.grid[0]} rows and {frames.grid[1]} columns"]
    for name, axis in (("latitudes", "latitude"), ("longitudes", "longitude")):
        try:
            values = degrees(frames, axis)  # type: ignore[arg-type]
        except UserError:
            continue
        parts.append(f"{name} {values.min():g} to {values.max():g}")
    return ", ".join(parts)
