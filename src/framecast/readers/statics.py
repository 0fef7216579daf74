"""Static fields of labelled files: those over rows and columns that are the same at all times."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from framecast.base.errors import UserError
from framecast.frames.channels import Channel
from framecast.frames.frames import StaticFields
from framecast.readers.catalogue import catalogue
from framecast.readers.contents import is_unlabelled
from framecast.readers.coordinates import plain
from framecast.readers.labelled import close_labelled, open_labelled, values_of
from framecast.readers.recognise import Roles
from framecast.readers.selection import Selection

_BLOCK = 64
"""Frames of a field that are compared with its first one at a time."""


def read_static(
    dataset: xr.Dataset, selection: Selection, roles: Roles, path: Path
) -> StaticFields | None:
    """Read the fields that are asked for; None if none are.

    One that has times is read at the first, where all others are the same.

    Raises:
        UserError: if one has other dimensions, or changes in time.
    """
    if not selection.static:
        return None
    fields = [_read(dataset, name, roles, path) for name in selection.static]
    channels = tuple(Channel(n, plain(dataset[n].attrs), "static") for n in selection.static)
    return StaticFields(selection.numbers(np.stack(fields)), channels)


def static_names(path: Path, selection: Selection, still: Sequence[str] = ()) -> tuple[str, ...]:
    """Name the fields of a labelled file that can be static ones, and are known everywhere.

    They are over rows and columns alone. Latitudes and longitudes of each point, and codes of
    categories, are none of them; nor is there any where what the file holds is not clear.

    Args:
        path: a file of the kinds `LABELLED`.
        selection: what is read of it.
        still: channels that seem not to change in time, which are looked at too.

    Raises:
        UserError: if the file cannot be read.
    """
    if is_unlabelled(path, selection.group):
        return ()
    dataset = open_labelled(path, selection.group)
    whole = Selection(dims=selection.dims, group=selection.group)
    try:
        roles = catalogue(dataset, whole, path).shared
        names = [str(n) for n in dataset.data_vars if _is_field(dataset[n], roles)]
        names += [name for name in still if name in dataset.data_vars]
        return tuple(name for name in names if _is_known(dataset, name, roles, path))
    except UserError:  # nothing of it can be named without the variables that are asked for
        return ()
    finally:
        close_labelled(dataset, path)


def _is_field(variable: xr.DataArray, roles: Roles) -> bool:
    """Whether it is over rows and columns alone; a frame of a file of one frame has its time."""
    dims = {dim for dim, size in variable.sizes.items() if size > 1 or dim == roles.time}
    placed = str(variable.attrs.get("units", "")).lower().startswith("degree")
    coded = "flag_values" in variable.attrs
    return (
        dims == set(roles.shared[-2:])
        and variable.dtype.kind in "iufb"
        and not placed
        and not coded
    )


def _is_known(dataset: xr.Dataset, name: str, roles: Roles, path: Path) -> bool:
    try:
        return bool(np.isfinite(_read(dataset, name, roles, path)).all())
    except UserError:  # it changes after all, or has dimensions of its own
        return False


def _read(dataset: xr.Dataset, name: str, roles: Roles, path: Path) -> np.ndarray:
    variable, space = dataset[name], roles.shared[-2:]
    extra = [d for d, n in variable.sizes.items() if d not in (*space, roles.time) and n > 1]
    if extra or not set(space) <= set(variable.dims):
        raise UserError(
            f"{path}: data.static {name} has dimensions {list(variable.dims)}; a static field "
            f"has {list(space)} alone"
        )
    single = {d: 0 for d in variable.dims if d not in (*space, roles.time)}
    variable = variable.isel(single, drop=True)
    if roles.time not in variable.dims:
        return values_of(variable.transpose(*space), path)
    variable = variable.transpose(roles.time, *space)
    first = values_of(variable[0], path)
    for start in range(1, len(variable), _BLOCK):
        block = values_of(variable[start : start + _BLOCK], path)
        same = (block == first) | (np.isnan(block) & np.isnan(first))
        if not same.all():
            time = start + int(np.argmin(same.all((1, 2))))
            raise UserError(
                f"{path}: data.static {name} changes in time, first at frame {time}, where a "
                "static field is the same at all times: what is known ahead of time is named with "
                "data.forcings"
            )
    return first
