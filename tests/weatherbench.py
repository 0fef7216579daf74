"""Small files in the layouts of WeatherBench, with values that say where and when they are."""

import numpy as np
import xarray as xr

LATITUDES = np.linspace(-87.1875, 87.1875, 32)
LONGITUDES = np.arange(64) * 5.625
LEVELS = [50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000]


def hours_of(year, days=2):
    """The first hours of a year and its last ones."""
    first = np.datetime64(f"{year}-01-01T00", "ns") + np.arange(24 * days) * np.timedelta64(1, "h")
    last = np.datetime64(f"{year + 1}-01-01T00", "ns") - np.arange(24, 0, -1) * np.timedelta64(
        1, "h"
    )
    return first, last


def geopotential(times, latitudes=LATITUDES, longitudes=LONGITUDES, level=500):
    """Waves around a globe that drift with time, in m² s⁻², [T,H,W]."""
    hours = (times - np.datetime64("1979-01-01")) / np.timedelta64(1, "h")
    lat, lon = np.deg2rad(latitudes)[:, None], np.deg2rad(longitudes)
    waves = np.cos(3 * lon - hours[:, None, None] / 40) * np.cos(lat) ** 2
    return (54000 - 8000 * np.sin(lat) ** 2 + 1500 * waves + level - 500).astype("f4")


def write_year(folder, year, times=None, levels=False, name=None):
    """Write a file of a year, as WeatherBench publishes it: z(time, lat, lon), or with levels."""
    times = hours_of(year)[0] if times is None else times
    coordinates = {
        "lat": ("lat", LATITUDES, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": ("lon", LONGITUDES, {"standard_name": "longitude", "units": "degrees_east"}),
        "time": ("time", times, {"long_name": "time"}),
    }
    about = {"units": "m**2 s**-2", "long_name": "Geopotential", "standard_name": "geopotential"}
    if levels:
        values = np.stack([geopotential(times, level=level) for level in LEVELS], 1)
        dims = ("time", "level", "lat", "lon")
        coordinates["level"] = ("level", np.array(LEVELS, "i4"), {"units": "millibars"})
    else:
        values, dims = geopotential(times), ("time", "lat", "lon")
        coordinates["level"] = ((), np.int32(500), {"units": "millibars"})
    data = xr.Dataset({"z": (dims, values, about)}, coordinates, {"Conventions": "CF-1.6"})
    stem = name or ("geopotential" if levels else "geopotential_500hPa")
    folder.mkdir(parents=True, exist_ok=True)
    encoding = {"time": {"units": "hours since 1900-01-01", "dtype": "i4"}}
    path = folder / f"{stem}_{year}_5.625deg.nc"
    data.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def write_constants(folder):
    """Write the file of constants: fields over (lat, lon), of which some are coordinates."""
    dims, height = ("lat", "lon"), np.cos(np.deg2rad(LATITUDES))[:, None] * LONGITUDES
    data = xr.Dataset(
        {
            "orography": (dims, height.astype("f4"), {"units": "m"}),
            "lsm": (dims, (height > 100).astype("f4"), {"units": "(0 - 1)"}),
            "slt": (dims, np.ones((32, 64), "f4"), {"units": "~"}),
            "lat2d": (dims, LATITUDES[:, None] + 0 * LONGITUDES),
            "lon2d": (dims, LONGITUDES + 0 * LATITUDES[:, None]),
        },
        {"lat": ("lat", LATITUDES), "lon": ("lon", LONGITUDES)},
    )
    folder.mkdir(parents=True, exist_ok=True)
    data.to_netcdf(folder / "constants_5.625deg.nc", engine="h5netcdf")
    return height


def write_store(path, times, descending=False, longitude_first=True, levels=(500, 850), chunk=10):
    """Write a store as WeatherBench 2 publishes it: Zarr 2, consolidated, long names."""
    latitudes = LATITUDES[:: -1 if descending else 1]
    values = np.stack([geopotential(times, latitudes, level=level) for level in levels], 1)
    space = ("longitude", "latitude") if longitude_first else ("latitude", "longitude")
    cube = xr.DataArray(values, dims=("time", "level", "latitude", "longitude"))
    surface = xr.DataArray(geopotential(times[:1], latitudes)[0], dims=("latitude", "longitude"))
    about = {"units": "m**2 s**-2", "long_name": "Geopotential", "standard_name": "geopotential"}
    data = xr.Dataset(
        {
            "geopotential": cube.transpose("time", "level", *space).assign_attrs(about),
            "2m_temperature": cube[:, 0].transpose("time", *space).assign_attrs(units="K"),
            "geopotential_at_surface": surface.transpose(*space).assign_attrs(units="m**2 s**-2"),
        },
        {
            "time": ("time", times),
            "level": ("level", np.array(levels, "i8")),
            "latitude": ("latitude", latitudes, {"units": "degrees_north"}),
            "longitude": ("longitude", LONGITUDES, {"units": "degrees_east"}),
        },
    )
    encoding = {
        "geopotential": {
            "chunks": (chunk, len(levels), *cube.transpose("time", "level", *space).shape[2:])
        },
        "time": {"units": "hours since 1959-01-01", "dtype": "i8"},
    }
    data.to_zarr(path, zarr_format=2, consolidated=True, encoding=encoding)
    return path
