"""GeoTIFF: pictures with coordinates, a band a variable, read through rasterio."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.readers.stored import StoredArray, Stretches
from framecast.readers.variable import as_variable


def open_geotiff(path: Path) -> xr.Dataset:
    """Open a GeoTIFF as one time of a series; nothing is decoded, and no value is read.

    Bands become variables, with the names that they have in the file, or band_1, band_2, ...

    Raises:
        UserError: if rasterio is missing, or the grid is rotated.
        Exception: whatever rasterio raises.
    """
    rasterio = need("rasterio", "geotiff", path)
    with ExitStack() as stack:
        file = stack.enter_context(rasterio.open(path))
        if file.transform.b or file.transform.d:
            raise UserError(f"{path} has a rotated grid: turn it first (gdalwarp IN OUT)")
        names = _names(file)
        (row, y), (column, x) = _axes(file)
        bands = {
            name: as_variable(_band(file, place), ("time", row, column), _attributes(file, place))
            for place, name in enumerate(names, 1)
        }
        dataset = xr.Dataset(bands, {row: y, column: x}).assign_coords(_grid_mapping(file))
        dataset.set_close(file.close)
        stack.pop_all()  # the file stays open as long as the data set
        return dataset


def _band(file: Any, place: int) -> StoredArray:
    kind, block = np.dtype(file.dtypes[place - 1]), file.block_shapes[place - 1]
    return StoredArray(file.shape, kind, partial(_window, file, place), block).at_a_time()


def _window(file: Any, place: int, part: Stretches) -> np.ndarray:
    """Some rows and columns of a band."""
    window: np.ndarray = file.read(place, window=tuple((s.start, s.stop) for s in part))
    return window


def _names(file: Any) -> list[str]:
    given = [str(text or "").strip() for text in file.descriptions]
    if len(set(given)) == len(given) and all(given):
        return given
    return [f"band_{place}" for place in range(1, file.count + 1)]


def _axes(file: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """Rows and columns: their names, and the coordinates of the centres of the cells."""
    height, width = file.shape
    y = file.transform.f + file.transform.e * (np.arange(height) + 0.5)
    x = file.transform.c + file.transform.a * (np.arange(width) + 0.5)
    if file.crs is not None and file.crs.is_geographic:
        north = {"units": "degrees_north", "standard_name": "latitude"}
        east = {"units": "degrees_east", "standard_name": "longitude"}
        return ("lat", ("lat", y, north)), ("lon", ("lon", x, east))
    units = {} if file.crs is None else {"units": _short(file.crs.linear_units)}
    up = {"standard_name": "projection_y_coordinate", **units}
    right = {"standard_name": "projection_x_coordinate", **units}
    return ("y", ("y", y, up)), ("x", ("x", x, right))


def _short(units: str) -> str:
    return "m" if units in ("metre", "meter") else units


def _attributes(file: Any, place: int) -> dict[str, Any]:
    """Units and packing of a band, as NetCDF would say them."""
    kind = np.dtype(file.dtypes[place - 1])
    missing, units = file.nodatavals[place - 1], file.units[place - 1]
    scale, offset = file.scales[place - 1], file.offsets[place - 1]
    known = {"units": units} if units else {}
    packing = {} if (scale, offset) == (1, 0) else {"scale_factor": scale, "add_offset": offset}
    fill = {} if missing is None else {"_FillValue": kind.type(missing)}
    return {**known, **packing, **fill, **({} if file.crs is None else {"grid_mapping": "crs"})}


def _grid_mapping(file: Any) -> dict[str, Any]:
    if file.crs is None:
        return {}
    return {"crs": ((), 0, {"crs_wkt": file.crs.to_wkt()})}
