"""Small files of the kinds that weather services and satellites give out, for the tests."""

import h5py
import numpy as np
import pytest

FRAMES = np.arange(6 * 4 * 5, dtype=np.float32).reshape(6, 4, 5)


def radar(path, minute=0, sweeps=1):
    """A composite as ODIM stores it, in bytes, with what was not measured."""
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_3")
        what = file.create_group("what").attrs
        what["object"], what["date"] = np.bytes_("COMP"), np.bytes_("20200101")
        what["time"] = np.bytes_(f"00{minute:02}00")
        where = file.create_group("where").attrs
        where["xscale"], where["yscale"] = 1000.0, 2000.0
        for sweep in range(1, sweeps + 1):
            group = file.create_group(f"dataset{sweep}/data1")
            values = np.full((4, 5), minute, np.uint8)
            values[0, 0] = 255
            group["data"] = values
            described = group.create_group("what").attrs
            described["quantity"] = np.bytes_("DBZH")
            described["gain"], described["offset"] = 0.5, -32.0
            described["nodata"], described["undetect"] = 255.0, 0.0
    return path


def geotiff(path, values, **further):
    rasterio = pytest.importorskip("rasterio")
    from affine import Affine

    bands = np.atleast_3d(values.T).T
    settings = {"crs": "EPSG:4326", "transform": Affine(0.5, 0, 10, 0, -0.25, 60)} | further
    with rasterio.open(
        path, "w", "GTiff", *bands.shape[:0:-1], len(bands), dtype=bands.dtype, **settings
    ) as file:
        file.write(bands)
    return path


GRID = {
    "Ni": 5,
    "Nj": 4,
    "latitudeOfFirstGridPointInDegrees": 60,
    "latitudeOfLastGridPointInDegrees": 30,
    "longitudeOfFirstGridPointInDegrees": 0,
    "longitudeOfLastGridPointInDegrees": 40,
    "iDirectionIncrementInDegrees": 10,
    "jDirectionIncrementInDegrees": 10,
    "bitsPerValue": 24,
}


def grib(path, edition=2, levels=("surface",)):
    """Six messages of each kind of level, six hours apart."""
    eccodes = pytest.importorskip("eccodes")
    with path.open("wb") as file:
        for place in range(6):
            for level in levels:
                message = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
                name = {"shortName": "sp" if level == "surface" else "t", "typeOfLevel": level}
                when = {"dataDate": 20200101 + place // 4, "dataTime": place % 4 * 600}
                for key, value in (GRID | when | name).items():
                    eccodes.codes_set(message, key, value)
                eccodes.codes_set_values(message, FRAMES[place].astype(float).ravel())
                eccodes.codes_write(message, file)
                eccodes.codes_release(message)
    return path
