"""Coordinates of a labelled file that frames keep: axes, grids, projections, names of sequences."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from framecast.base.errors import UserError
from framecast.frames.channels import Coordinate
from framecast.frames.times import check_ascending
from framecast.readers.catalogue import Catalogue
from framecast.readers.dates import is_text
from framecast.readers.labelled import values_of
from framecast.readers.recognise import Roles

_DATES = ("units", "calendar", "dtype")
"""How dates are stored; other coordinates are stored as what they are."""


def dims_of(roles: Roles) -> tuple[str, ...]:
    """Return the dimensions of frames: (sequence,) time, row, column.

    Several dimensions of sequences become one, `sequence`.
    """
    sequence = roles.sequences if len(roles.sequences) < 2 else ("sequence",)
    return (*sequence, *roles.shared[-3:])


def coordinates_of(dataset: xr.Dataset, chosen: Catalogue, path: Path) -> dict[str, Coordinate]:
    """Return the coordinates over the dimensions of frames.

    What a dimension of one holds, that is read as nothing, is kept as a coordinate without
    dimensions, such as the height of a surface.

    Raises:
        UserError: if the times are neither numbers nor dates, or a coordinate cannot be read.
    """
    roles = chosen.shared
    _check_times(dataset, roles.time, path)
    dropped = {dim: 0 for each in chosen.roles.values() for dim in each.dropped}
    dataset = dataset.isel(dropped)
    names = [n for n, c in dataset.coords.items() if set(c.dims) <= set(roles.shared)]
    names += _belonging(dataset, names, chosen)
    return {str(name): read_coordinate(dataset[name], dataset, roles, path) for name in names}


def plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes without NumPy types, so that any format can carry them on."""
    return {
        str(key): value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in attributes.items()
    }


def _belonging(dataset: xr.Dataset, names: Sequence[Any], chosen: Catalogue) -> list[str]:
    """Variables that kept ones name: bounds of cells, and mappings of the grid."""
    found = []
    for name in names:
        said = {**dataset[name].encoding, **dataset[name].attrs}
        found += [str(said[key]) for key in ("bounds", "climatology") if key in said]
    for variable in chosen.roles:
        said = {**dataset[variable].encoding, **dataset[variable].attrs}
        found += re.findall(r"\w+", str(said.get("grid_mapping", "")))
    known = {*map(str, names), *chosen.roles}
    return [n for n in dict.fromkeys(found) if n in dataset.variables and n not in known]


def read_coordinate(
    coordinate: xr.DataArray, dataset: xr.Dataset, roles: Roles, path: Path
) -> Coordinate:
    """Read a coordinate as one of frames: over several dimensions of sequences, over `sequence`.

    Raises:
        UserError: if it cannot be read.
    """
    dims, values = tuple(map(str, coordinate.dims)), values_of(coordinate, path)
    several = [dim for dim in dims if dim in roles.sequences]
    if len(roles.sequences) > 1 and several:
        dims, values = _flattened(dims, values, dataset.sizes, roles)
    dates = coordinate.dtype.kind in "MO" and not is_text(coordinate)
    encoding = {k: v for k, v in coordinate.encoding.items() if dates and k in _DATES}
    return Coordinate(dims, values, plain(coordinate.attrs), encoding)


def _flattened(
    dims: tuple[str, ...], values: np.ndarray, sizes: Mapping[Any, int], roles: Roles
) -> tuple[tuple[str, ...], np.ndarray]:
    """A coordinate over some dimensions of sequences as one over the sequences in their order."""
    rest = tuple(dim for dim in dims if dim not in roles.sequences)
    own = tuple(dim for dim in roles.sequences if dim in dims)
    values = values.transpose([dims.index(dim) for dim in (*own, *rest)])
    places = [slice(None) if dim in own else None for dim in roles.sequences]
    full = tuple(sizes[dim] for dim in roles.sequences)
    tail = values.shape[len(own) :]
    values = np.broadcast_to(values[(*places, ...)], (*full, *tail))
    return ("sequence", *rest), values.reshape(math.prod(full), *tail)


def _check_times(dataset: xr.Dataset, time: str, path: Path) -> None:
    """Refuse times that are neither numbers nor dates, or do not ascend."""
    axis = dataset.coords.get(time)
    if axis is None:
        return
    if axis.dtype.kind in "iufmM" or (axis.dtype == object and not is_text(axis)):
        try:
            check_ascending(values_of(axis, path), time)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        return
    first = values_of(axis, path).flat[0]
    raise UserError(
        f"{path}: the times {time} are {axis.dtype}, the first {str(first)!r}; needed are numbers, "
        "or dates as ISO 8601 writes them, such as 2019-01-01T06:00"
    )
