"""GeoTIFF: pictures with coordinates, a band a variable, read through rasterio."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.base.limits import check_memory


def open_geotiff(path: Path) -> xr.Dataset:
    """Read a GeoTIFF as one time of a series, not yet decoded.

    Bands become variables, with the names that they have in the file, or band_1, band_2, ...

    Raises:
        UserError: if rasterio is missing, the grid is rotated, or it does not fit into memory.
        Exception: whatever rasterio raises.
    """
    rasterio = need("rasterio", "geotiff", path)
    with rasterio.open(path) as file:
        size = sum(np.dtype(kind).itemsize for kind in file.dtypes) * math.prod(file.shape)
        check_memory(2 * size, f"{path}: {file.count} bands", "Cut it first (gdal_translate)")
        if file.transform.b or file.transform.d:
            raise UserError(f"{path} has a rotated grid: turn it first (gdalwarp IN OUT)")
        names = _names(file)
        (row, y), (column, x) = _axes(file)
        bands = {
            name: (("time", row, column), file.read(place)[None], _attributes(file, place))
            for place, name in enumerate(names, 1)
        }
        dataset = xr.Dataset(bands, {row: y, column: x})
        return dataset.assign_coords(_grid_mapping(file))


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
