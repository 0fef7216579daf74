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
from framecast.forecast.writers.attributes import carried
from framecast.forecast.writers.destination import MARK
from framecast.forecast.writers.labels import ForecastLabels
from framecast.frames.channels import NAMED, Channel

Write = Callable[[Tensor], None]

_NOT_CARRIED = ("valid_range", "valid_min", "valid_max", "actual_range")
"""Attributes that speak of the values of the input, not of their meaning."""


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
        for channel in labels.channels:
            variable = file.create_variable(
                _name(channel), labels.dims, "f4", chunks=_chunks(labels), fillvalue=np.nan
            )
            variable.attrs.update(_attributes(channel))
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
            _name(channel),
            shape=labels.shape,
            chunks=_chunks(labels),
            dtype="f4",
            fill_value=np.nan,
            dimension_names=labels.dims,
            attributes=_attributes(channel),
        )
        for channel in labels.channels
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
    numbers = math.prod(labels.shape) * 4 + labels.steps * len(labels.starts) * 512
    return len(labels.channels) * (numbers + (1 << 16)) + (1 << 16)


def _frame_writer(variables: list[Any], labels: ForecastLabels) -> Write:
    lead = 0

    def write(frame: Tensor) -> None:
        nonlocal lead
        for variable, values in zip(variables, frame.numpy().swapaxes(0, 2), strict=True):
            values = values.swapaxes(0, 1)  # [N,S,H,W]
            if labels.single:
                values = values[:, 0]
            if len(labels.frames.dims) == 3:
                values = values[0]
            variable[(*[slice(None)] * (values.ndim - 2), lead)] = values
        lead += 1

    return write


@contextmanager
def npz_writer(path: Path, labels: ForecastLabels) -> Iterator[Write]:
    """Write a `.npz` with `frames`, `channels`, `times` and `starts`.

    `frames` is [T,C,H,W] for one start and sequence, which `read_arrays` reads back, and
    [T,N,S,C,H,W] otherwise: time first, so that frames can be written as they come.
    """
    n, (h, w), c = len(labels.frames.values), labels.frames.grid, len(labels.channels)
    plain = labels.single and n == 1
    shape = (labels.steps, c, h, w) if plain else (labels.steps, n, len(labels.starts), c, h, w)
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


def _chunks(labels: ForecastLabels) -> tuple[int, ...]:
    """One frame of all sequences: what is written at a time."""
    ahead = labels.dims.index(labels.frames.time_dim if labels.single else labels.lead_name)
    return tuple(1 if i == ahead else size for i, size in enumerate(labels.shape))


def _name(channel: Channel) -> str:
    """What a variable is called: a slash would make a group of what is before it."""
    return channel.name.replace("/", "_")


def _attributes(channel: Channel) -> dict[str, Any]:
    attributes = carried(channel.attributes, *_NOT_CARRIED)
    return attributes if _name(channel) == channel.name else {**attributes, NAMED: channel.name}
