"""Parts of a labelled file that are chosen by the values of a coordinate: data.select."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from framecast.base.errors import UserError
from framecast.readers.catalogue import label_of


def select(dataset: xr.Dataset, chosen: Mapping[str, Any], path: Path) -> xr.Dataset:
    """Return what is chosen of a file.

    Args:
        dataset: the file.
        chosen: by dimension, a value of its coordinate or several; places from 0 where it has
            none. A dimension that is one value already, a coordinate without dimensions, may be
            chosen by that value.
        path: for messages.

    Raises:
        UserError: if there is no such dimension, or no such value.
    """
    for dim, wanted in chosen.items():
        values = wanted if isinstance(wanted, list | tuple) else [wanted]
        there = _values(dataset, dim, path)
        places = [_place(there, value, dim, path) for value in values]
        if dim in dataset.dims:
            dataset = dataset.isel({dim: places})
    return dataset


def _values(dataset: xr.Dataset, dim: str, path: Path) -> list[Any]:
    """The values that can be chosen of a dimension."""
    if dim in dataset.coords and dataset[dim].ndim < 2:
        values = np.atleast_1d(dataset[dim].to_numpy())
        return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]
    if dim in dataset.dims:
        return list(range(dataset.sizes[dim]))
    raise UserError(
        f"{path} has no dimension {dim}, of which data.select chooses; it has "
        f"{', '.join(map(str, dataset.dims))}"
    )


def _place(there: list[Any], value: Any, dim: str, path: Path) -> int:
    for place, known in enumerate(there):
        if known == value or (isinstance(known, float | int) and _alike(known, value)):
            return place
        if isinstance(known, str) and known.strip() == str(value):
            return place
    listed = ", ".join(map(label_of, there[:20])) + (", ..." if len(there) > 20 else "")
    raise UserError(f"{path}: {dim} has no value {value}, which data.select asks for: {listed}")


def _alike(known: Any, value: Any) -> bool:
    """Whether two numbers are one, but for rounding to float32."""
    try:
        return bool(np.isclose(float(known), float(value), rtol=1e-6, atol=0))
    except (TypeError, ValueError):
        return False
