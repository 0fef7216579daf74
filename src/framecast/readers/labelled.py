"""Labelled files as other programs wrote them: opened through xarray, odd attributes mended."""

import warnings
import zipfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.readers.dates import decode_odd_units, text_of, with_dates
from framecast.readers.guard import guarded
from framecast.readers.kinds import kind_of
from framecast.readers.raw import open_raw
from framecast.readers.stored import check_chunk

_FACTORS = ("scale_factor", "add_offset")
_MARKS = ("_FillValue", "missing_value")
_KINDS = defaultdict(lambda: "NetCDF", zarr="Zarr", grib="GRIB", geotiff="GeoTIFF")
_ZARR_2 = (".zgroup", ".zarray", ".zmetadata")


def open_labelled(path: Path, group: str | None = None) -> xr.Dataset:
    """Open a NetCDF 3 or 4 file or a Zarr store: coordinates are read, variables are not.

    Times become dates or durations, in whatever form they are (`readers.dates`), and texts that
    stand for numbers in the attributes that say how values are packed become numbers.

    Args:
        path: file or store.
        group: where the variables are; None for the only group that holds some.

    Raises:
        UserError: if it cannot be opened, there is no such group, or a chunk or a coordinate does
            not fit into memory.
    """
    kind = _KINDS[kind_of(path)]
    hint = "it may be truncated, or in another format than its name says"
    with guarded(path, f"cannot be read as {kind}", hint), ExitStack() as stack:
        raw = stack.enter_context(open_raw(path, group))
        for name, variable in raw.variables.items():
            _check_sizes(path, str(name), variable, coordinate=name in raw.dims)
            _mend_attributes(path, str(name), variable)
            if kind == "Zarr" and _is_default_fill(path, variable):
                del variable.attrs["_FillValue"]
        dataset = xr.decode_cf(decode_odd_units(raw, path), decode_timedelta=False)
        for variable in dataset.variables.values():
            _unpack_range(variable)
        dataset = with_dates(dataset)
        dataset.set_close(raw.close)
        stack.pop_all()  # open until the data set is closed
        return dataset


def close_labelled(dataset: xr.Dataset, path: Path) -> None:
    """Close what `open_labelled` returned.

    Raises:
        UserError: if the library that reads it finds something wrong with it only now.
    """
    with guarded(path, "cannot be closed", "it may be damaged"):
        dataset.close()


def values_of(variable: xr.DataArray, source: Path | str) -> np.ndarray:
    """Read all values of a variable, or of a part of one.

    Raises:
        UserError: if they cannot be read, or do not fit into memory.
    """
    sizes = f"{variable.name} {list(variable.shape)}"
    check_memory(variable.nbytes, f"{source}: {sizes}", "Choose other variables, or cut it first")
    with guarded(source, f"opens, but {sizes} cannot be read", "the file may be damaged"):
        values: np.ndarray = variable.to_numpy()
        return values


def _check_sizes(path: Path, name: str, variable: xr.Variable, coordinate: bool) -> None:
    """Refuse what must be in memory at once, and is larger: a chunk, or a coordinate."""
    chunk = variable.encoding.get("chunks") or variable.encoding.get("chunksizes")
    if chunk:
        check_chunk(path, name, variable.dtype, chunk)
    if coordinate:
        what = f"{path}: the coordinate {name} {list(variable.shape)}"
        check_memory(3 * variable.nbytes, what, "It may be damaged: cut the file first")


def _mend_attributes(path: Path, name: str, variable: xr.Variable) -> None:
    """Make numbers of the texts that say how numbers are packed, and which are missing."""
    if variable.dtype.kind not in "iuf":
        return
    texts = {key: text_of(variable.attrs.get(key)) for key in (*_FACTORS, *_MARKS)}
    for key, text in texts.items():
        if text is None:
            continue
        number = _number(text, np.dtype(float) if key in _FACTORS else variable.dtype)
        said = f"{path}: {key} of {name} is the text {text!r}"
        if number is not None:
            variable.attrs[key] = number
        elif key in _FACTORS:
            raise UserError(
                f"{said}, and must be a number: set it (ncatted -a {key},{name},o,d,NUMBER FILE)"
            )
        else:
            del variable.attrs[key]
            warnings.warn(
                f"{said}, which is none of its values: it is ignored. Name what stands for a "
                "missing value with data.missing",
                stacklevel=2,
            )


def _is_default_fill(path: Path, variable: xr.Variable) -> bool:
    """Whether a fill value is the 0 that Zarr 2 gives to all arrays, where zeros are values."""
    fill = variable.attrs.get("_FillValue")
    if not isinstance(fill, int | float | np.number | np.bool_) or fill != 0:
        return False
    if path.is_dir():
        return any((path / name).exists() for name in _ZARR_2)
    with zipfile.ZipFile(path) as file:
        return any(name.endswith(_ZARR_2) for name in file.namelist())


def _fits(packed: np.ndarray, variable: xr.Variable) -> bool:
    """Whether numbers are within what the stored type of a variable can hold."""
    stored = np.dtype(variable.encoding.get("dtype", float))
    if stored.kind not in "iu":
        return True
    limits = np.iinfo(stored)
    return bool(np.all((packed >= limits.min - 0.5) & (packed <= limits.max + 0.5)))


def _unpack_range(variable: xr.Variable) -> None:
    """Unpack the range that packed values declare: whole numbers are of the packed kind.

    Zarr's have no type: they are packed where the packed values could not reach them else.
    """
    factors = [variable.encoding.get(key) for key in _FACTORS]
    if factors == [None, None]:
        return
    scale, offset = (
        float(usual if factor is None else factor)
        for factor, usual in zip(factors, (1, 0), strict=True)
    )
    for key in ("valid_range", "valid_min", "valid_max"):
        declared = variable.attrs.get(key)
        ends = np.asarray(declared)
        typed = isinstance(declared, np.ndarray | np.generic)
        if ends.dtype.kind in "iu" and (typed or not _fits((ends - offset) / scale, variable)):
            variable.attrs[key] = np.sort(ends * scale + offset, axis=None).tolist()
            variable.attrs[key] = variable.attrs[key] if ends.ndim else variable.attrs[key][0]
    if scale < 0:
        turned = {"valid_min": "valid_max", "valid_max": "valid_min"}
        ends_by_key = {turned[key]: variable.attrs.pop(key, None) for key in turned}
        variable.attrs.update({k: end for k, end in ends_by_key.items() if end is not None})


def _number(text: str, dtype: np.dtype[Any]) -> Any:
    """The number of a type that a text stands for; None if it is none."""
    try:
        number = float(text)
        whole = dtype.kind in "iu"
        return None if whole and number != int(number) else dtype.type(number)
    except (ValueError, OverflowError):
        return None
