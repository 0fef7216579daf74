"""Files of one frame without a dimension of time, whose time stands beside it or in their name."""

from pathlib import Path

import xarray as xr

from framecast.base.errors import UserError
from framecast.readers.dates import holds
from framecast.readers.labelled import values_of
from framecast.readers.selection import Selection
from framecast.readers.stored import StoredArray
from framecast.readers.variable import as_variable

_FIRST = ("time", "valid_time")
"""Names, or standard names, that decide where a file has several dates."""


def with_moment(dataset: xr.Dataset, selection: Selection, path: Path) -> xr.Dataset:
    """Give a single frame a dimension of time: of its one date, or without a date if it is stamped.

    Args:
        dataset: in which no variable has a dimension of time.
        selection: says whether the name of the file holds its time.
        path: of the file, for messages.

    Returns:
        The data set as it is, where nothing says at what time the frame is.

    Raises:
        UserError: if the file has several dates and none is that of the frame.
    """
    name = _moment(dataset, selection, path)
    if name is None:
        return dataset
    axis = dataset[name].expand_dims(name) if name in dataset.coords else None
    bare = dataset.drop_vars(name, errors="ignore")
    wanted = selection.variables or tuple(map(str, dataset.data_vars))
    asked = {*wanted, *selection.diagnostic, *selection.forcings} - {*selection.static}
    fields = {
        n: as_variable(_at_a_time(field, path), (name, *map(str, field.dims)), field.attrs)
        for n, field in bare.data_vars.items()
        if field.ndim > 1 and n in asked
    }
    dated = bare.assign(fields)
    return dated if axis is None else dated.assign_coords({name: axis})


def _at_a_time(field: xr.DataArray, path: Path) -> StoredArray:
    read = StoredArray(field.shape, field.dtype, lambda part: values_of(field[part], path))
    return read.at_a_time()


def _moment(dataset: xr.Dataset, selection: Selection, path: Path) -> str | None:
    """The name of the date of a file; None where it has none and is not stamped either."""
    alone = [n for n, c in dataset.coords.items() if c.ndim == 0 and holds(c) == "dates"]
    names = [str(name) for name in alone if dataset[name].notnull()]
    first = [n for n in names if {n, dataset[n].attrs.get("standard_name")} & {*_FIRST}]
    if len(names) > 1 and len(first) != 1:
        raise UserError(
            f"{path} holds a frame without a dimension of time, and several dates: "
            f"{', '.join(names)}. Leave one of them, or name it time"
        )
    if names:
        return (first or names)[0]
    return "time" if selection.stamped and "time" not in dataset.variables else None
