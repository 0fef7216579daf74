"""Forecasts as numbers: NetCDF, Zarr and NumPy, one frame at a time."""

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
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
from framecast.forecast.writers.labels import ForecastLabels
from framecast.forecast.writers.outputs import Output

Write = Callable[[Tensor], None]


@contextmanager
def netcdf_writer(path: Path, labels: ForecastLabels) -> Iterator[Write]:
    """Write NetCDF 4, float32, with the labels of the input carried on.

    HDF5 crashes where the disk is full when it closes a file. So it first writes to memory what
    comes before the frames, and then finds all the space taken that the frames will need.
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
            dims, chunks = labels.dims_of(output), _chunks(labels, output)
            variable = file.create_variable(
                output.name, dims, "f4", chunks=chunks, fillvalue=np.nan
            )
            variable.attrs.update(output.attributes)
            variables.append(variable)
        yield _frame_writer(variables, labels)


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
            chunks=_chunks(labels, output),
            dtype="f4",
            fill_value=np.nan,
            dimension_names=labels.dims_of(output),
            attributes=output.attributes,
        )
        for output in labels.outputs
    ]
    yield _frame_writer(variables, labels)
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
    """Bytes of all frames in a file, and at most of what HDF5 keeps to find them."""
    found = labels.steps * len(labels.starts) * 512
    sizes = [4 * math.prod(labels.shape_of(output)) for output in labels.outputs]
    return sum(size + found + (1 << 16) for size in sizes) + (1 << 16)


def _frame_writer(variables: list[Any], labels: ForecastLabels) -> Write:
    lead = 0

    def write(frame: Tensor) -> None:
        nonlocal lead
        for variable, output in zip(variables, labels.outputs, strict=True):
            values = output.values(frame)  # [*extra,N,S,H,W]
            if labels.single:
                values = values[..., 0, :, :]
            if len(labels.frames.dims) == 3:
                values = values.squeeze(len(output.extra))
            variable[(*[slice(None)] * (values.ndim - 2), lead)] = values
        lead += 1

    return write


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
            yield lambda frame: _write_bytes(entry, frame)
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
    entry.write(frame.numpy().astype("<f4").tobytes())


def _plain_times(times: np.ndarray) -> np.ndarray:
    """Calendar objects have no NumPy type: they are written as text."""
    return times.astype(str) if times.dtype == object else times


def _chunks(labels: ForecastLabels, output: Output) -> tuple[int, ...]:
    """One frame of all sequences: what is written at a time."""
    lead = labels.frames.time_dim if labels.single else labels.lead_name
    sizes = zip(labels.dims_of(output), labels.shape_of(output), strict=True)
    return tuple(1 if dim == lead else size for dim, size in sizes)
