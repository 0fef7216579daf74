"""Weather radar in ODIM's HDF5: composites and images, and the sweeps of one radar."""

import math
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from framecast.base.errors import UserError, nearest
from framecast.readers.stored import stored
from framecast.readers.variable import as_variable


def is_odim(path: Path) -> bool:
    """Whether an HDF5 file says that it follows ODIM."""
    with h5py.File(path) as file:
        return _text(file.attrs.get("Conventions")).startswith("ODIM_H5")


def open_odim(path: Path, group: str | None) -> xr.Dataset:
    """Open a data set of an ODIM file as one time of a series; nothing is decoded, or read.

    Each quantity (DBZH, RATE, ...) is a variable. What was not detected keeps the value that the
    file gives it; what was not measured is missing.

    Args:
        path: the file.
        group: dataset1, dataset2, ...; None for the only one.

    Raises:
        UserError: if there are several and none is chosen, or it has no time.
        Exception: whatever h5py raises.
    """
    with ExitStack() as stack:
        file = stack.enter_context(h5py.File(path))
        chosen = file[_choose(path, file, group)]
        fields = [chosen[name] for name in sorted(chosen) if name.startswith("data")]
        variables: dict[str, Any] = {}
        for field in fields:
            what = _attributes(file, chosen, field, "what")
            data = stored(field["data"]).at_a_time()
            name = _text(what.get("quantity")) or f"data_{len(variables) + 1}"
            variables[name] = as_variable(data, ("time", "y", "x"), _packing(what, data.dtype))
        if not variables:
            raise UserError(f"{path} holds no data of ODIM in {chosen.name}")
        time = _time(path, _attributes(file, chosen, fields[0], "what"))
        where = _attributes(file, chosen, fields[0], "where")
        axes = _axes(where, next(iter(variables.values())).shape)
        coordinates = {"time": ("time", np.array([time], "datetime64[us]")), **axes}
        dataset = xr.Dataset(variables, coordinates, {"Conventions": "ODIM_H5"})
        dataset.set_close(file.close)
        stack.pop_all()  # the file stays open as long as the data set
        return dataset


def _choose(path: Path, file: Any, group: str | None) -> str:
    names = sorted((n for n in file if n.startswith("dataset")), key=lambda n: (len(n), n))
    wanted = None if group is None else group.strip("/")
    if wanted is not None and wanted not in names:
        raise UserError(
            f"{path} has no group {wanted}{nearest(wanted, names)}: it has {', '.join(names)}"
        )
    if not names:
        raise UserError(f"{path} is an ODIM file without a data set")
    if wanted is None and len(names) > 1:
        raise UserError(
            f"{path} holds several data sets of ODIM, such as sweeps: {', '.join(names)}. Choose "
            "one with data.group"
        )
    return wanted or names[0]


def _attributes(file: Any, dataset: Any, field: Any, name: str) -> dict[str, Any]:
    """What is said of a field: by itself, its data set, or the file, the nearest first."""
    said: dict[str, Any] = {}
    for holder in (file, dataset, field):
        if name in holder:
            said |= dict(holder[name].attrs)
    return said


def _packing(what: dict[str, Any], kind: np.dtype[Any]) -> dict[str, Any]:
    gain, offset = float(what.get("gain", 1)), float(what.get("offset", 0))
    packing = {} if (gain, offset) == (1, 0) else {"scale_factor": gain, "add_offset": offset}
    missing = what.get("nodata")
    return packing if missing is None else {**packing, "_FillValue": kind.type(float(missing))}


def _time(path: Path, what: dict[str, Any]) -> datetime:
    """The nominal time; of a sweep, its beginning."""
    for day, hour in (("date", "time"), ("startdate", "starttime")):
        text = _text(what.get(day)) + _text(what.get(hour))
        if len(text) == 14 and text.isdecimal():
            return datetime.strptime(text, "%Y%m%d%H%M%S")
    raise UserError(f"{path} does not say its date and time as ODIM asks for")


def _axes(where: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Distances from the lower left corner along rows (downwards) and columns, in metres."""
    scales = [float(where.get(name, math.nan)) for name in ("yscale", "xscale")]
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        return {}
    _, height, width = shape
    y = (height - 0.5 - np.arange(height)) * scales[0]
    x = (np.arange(width) + 0.5) * scales[1]
    metres = {"units": "m", "long_name": "distance from the lower left corner"}
    return {"y": ("y", y, metres), "x": ("x", x, metres)}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("ascii", "replace").strip("\0 ")
    return str(value).strip() if isinstance(value, str) else ""
