"""Labelled files of each kind as xarray has them, before anything is decoded."""

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import xarray as xr

from framecast.base.errors import UserError
from framecast.readers.geotiff import open_geotiff
from framecast.readers.grib import open_grib
from framecast.readers.groups import check_group, choose_group
from framecast.readers.hdf5 import read_plainly
from framecast.readers.kinds import kind_of
from framecast.readers.odim import is_odim, open_odim

OPTIONS: dict[str, Any] = {"decode_cf": False, "cache": False, "create_default_indexes": False}
"""Nothing is read when a file is opened, so that sizes can be looked at first."""


def open_raw(path: Path, group: str | None) -> xr.Dataset:
    """Open a file without decoding or reading anything.

    Args:
        path: NetCDF 3 or 4 or other HDF5; or a Zarr store, which may be zipped.
        group: where the variables are; None for the only group that holds some.

    Raises:
        UserError: if there is no such group, or several hold variables and none is named.
        Exception: whatever the libraries raise.
    """
    kind = kind_of(path)
    if kind == "zarr":
        return _open_zarr(path, group)
    if kind == "grib":
        return open_grib(path, group)
    if kind == "geotiff":
        return open_geotiff(path)
    engine = _netcdf_engine(path)
    if engine == "scipy":
        check_group(path, group, [""])
        return xr.open_dataset(path, engine=engine, **OPTIONS)
    if is_odim(path):
        return open_odim(path, group)
    place = choose_group(path, group)
    # HDF5 without names of dimensions opens, and is described.
    options = {**OPTIONS, "engine": engine, "phony_dims": "access"}
    labelled = xr.open_dataset(path, group=place or None, **options)
    dataset = read_plainly(labelled, path, place)
    outer = [str(parent) for parent in PurePosixPath(place).parents] if place else []
    return _with_axes(dataset, outer, lambda group: xr.open_dataset(path, group=group, **options))


def _with_axes(
    dataset: xr.Dataset, outer: Iterable[str], open_group: Callable[[str], xr.Dataset]
) -> xr.Dataset:
    """A group together with the coordinates of its dimensions that stand in groups around it."""
    for parent in outer:
        missing = [dim for dim in dataset.dims if dim not in dataset.variables]
        with open_group("/" if parent == "." else parent) as around:
            found = {
                name: around.variables[name].load() for name in missing if name in around.variables
            }
        fitting = {n: v for n, v in found.items() if v.sizes == {n: dataset.sizes[n]}}
        close = dataset.close
        dataset = dataset.assign(fitting)
        dataset.set_close(close)
    return dataset


def _open_zarr(path: Path, group: str | None) -> xr.Dataset:
    from framecast.readers import stores  # for them alone: Zarr takes a while

    store, place = stores.open_store(path, group)
    try:
        opened = xr.open_dataset(
            store,
            group=place or None,
            engine="zarr",
            consolidated=stores.is_consolidated(store, place),
            **OPTIONS,
        )
    except BaseException:
        store.close()
        raise

    def close_all() -> None:
        opened.close()
        store.close()

    dataset = opened.copy()
    dataset.set_close(close_all)
    return dataset


def _netcdf_engine(path: Path) -> str:
    """NetCDF 3 files begin with CDF; NetCDF 4 files are HDF5."""
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] in (b"CDF\x01", b"CDF\x02"):
        return "scipy"
    if start == b"\x89HDF\r\n\x1a\n":
        return "h5netcdf"
    if start[:4] == b"CDF\x05":
        raise UserError(
            f"{path} is a NetCDF file of the kind CDF-5 (64-bit data, as PnetCDF writes it), which "
            f"is not read. Convert it first: nccopy -k nc4 {path.name} {path.stem}_nc4.nc"
        )
    raise UserError(f"{path} is neither NetCDF 3 nor NetCDF 4: its first bytes are {start!r}")
