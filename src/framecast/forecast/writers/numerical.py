"""Forecasts as numbers: NetCDF, Zarr and NumPy, from frames that come one at a time."""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import zarr
from torch import Tensor
from zarr.errors import UnstableSpecificationWarning, ZarrUserWarning

from framecast.base.disk import reserve
from framecast.forecast.writers.destination import MARK
from framecast.forecast.writers.gathered import Write, block_writer, chunks_of, counted
from framecast.forecast.writers.labels import ForecastLabels


@contextmanager
def netcdf_writer(path: Path, labels: ForecastLabels) -> Iterator[Write]:
    """Write NetCDF 4, float32, with the labels of the input carried on.

    HDF5 crashes where the disk is full when it closes a file. So it first writes to memory what
    comes before the frames, and then finds all the space taken that the frames will need. Values
    lie one after the other, without chunks, so that every part of them is read at the same cost;
    nothing fills their place beforehand.
    """
    start = labels.coordinates().to_netcdf(engine="h5netcdf")
    path.write_bytes(start)
    reserve(path, len(start) + _netcdf_size(labels))
    with h5netcdf.File(path, "a") as file:
        for dim, size in zip(labels.dims, labels.shape, strict=True):
            if dim not in file.dimensions:
                file.dimensions[dim] = size
        variables = []
        for output in labels.outputs:
            dims = labels.dims_of(output)
            variable = file.create_variable(
                output.name, dims, "f4", fillvalue=np.nan, fill_time="never"
            )
            variable.attrs.update(output.attributes)
            variables.append(variable)
        with block_writer(variables, labels) as write:
            yield write


@contextmanager
def zarr_writer(path: Path, labels: ForecastLabels) -> Iterator[Write]:
    """Write a Zarr store, float32, with the labels of the input carried on."""
    with _quiet():
        labels.coordinates().to_zarr(path, consolidated=False)
    group = zarr.open_group(path, mode="a", use_consolidated=False)
    variables = [
        group.create_array(
            output.name,
            shape=labels.shape_of(output),
            chunks=chunks_of(labels, output),
            dtype="f4",
            fill_value=np.nan,
            dimension_names=labels.dims_of(output),
            attributes=output.attributes,
        )
        for output in labels.outputs
    ]
    with block_writer(variables, labels) as write:
        yield write
    with _quiet():
        zarr.consolidate_metadata(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of Zarr that texts and consolidated metadata have no standard yet.

    xarray reads both, and warns where the latter is missing.
    """
    with warnings.catch_warnings():
        for category in (ZarrUserWarning, UnstableSpecificationWarning):
            warnings.simplefilter("ignore", category)
        yield


def _netcdf_size(labels: ForecastLabels) -> int:
    """Bytes of all frames in a file, and at most of what HDF5 says of each variable."""
    sizes = [4 * math.prod(labels.shape_of(output)) for output in labels.outputs]
    return sum(size + (1 << 16) for size in sizes) + (1 << 16)


@contextmanager
def npz_writer(path: Path, labels: ForecastLabels) -> Iterator[Write]:
    """Write a `.npz` with `frames`, `channels`, `times` and `starts`.

    `frames` is [T,C,H,W] for one start and sequence, which `read_arrays` reads back, and
    [T,N,S,C,H,W] otherwise, [T,M,N,S,C,H,W] with members: time first, so that frames can be
    written as they come.
    """
    n, (h, w), c = len(labels.frames.values), labels.frames.grid, len(labels.channels)
    plain = labels.single and n == 1 and labels.members is None
    members = () if labels.members is None else (labels.members,)
    every = (labels.steps, *members, n, len(labels.starts), c, h, w)
    shape = (labels.steps, c, h, w) if plain else every
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("frames.npy", "w", force_zip64=True) as entry:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(entry, header)
            with counted(lambda frame: _write_bytes(entry, frame), labels.steps) as write:
                yield write
        small = {
            "channels": np.array(labels.names),
            "times": _plain_times(labels.valid_times),
            "starts": _plain_times(labels.frames.times[labels.starts]),
        }
        for name, array in small.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        archive.comment = MARK.encode()


def _write_bytes(entry: Any, frame: Tensor) -> None:
    entry.write(np.ascontiguousarray(frame.numpy(), "<f4").data)


def _plain_times(times: np.ndarray) -> np.ndarray:
    """Calendar objects have no NumPy type: they are written as text."""
    return times.astype(str) if times.dtype == object else times
