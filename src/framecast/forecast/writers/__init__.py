"""Forecasts to files, frame by frame as they come, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import whole
from framecast.forecast.writers.animation import animation_writer
from framecast.forecast.writers.labels import ForecastLabels
from framecast.forecast.writers.numerical import netcdf_writer, npz_writer, zarr_writer

__all__ = ["WRITERS", "ForecastLabels", "open_writer"]

WRITERS = {
    ".nc": netcdf_writer,
    ".zarr": zarr_writer,
    ".npz": npz_writer,
    ".gif": animation_writer,
    ".mp4": animation_writer,
}


@contextmanager
def open_writer(path: Path, labels: ForecastLabels) -> Iterator[Callable[[Tensor], None]]:
    """Open a file for a forecast; its kind follows from its suffix.

    Yields:
        A function that takes the next frame, [N,S,C,H,W], in physical units.

    Raises:
        UserError: if the suffix is none of WRITERS.
    """
    if path.suffix not in WRITERS:
        raise UserError(f"--out {path}: cannot write {path.suffix!r}; choose {', '.join(WRITERS)}")
    with whole(path) as partial, WRITERS[path.suffix](partial, labels) as write:
        yield write
