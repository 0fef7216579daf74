"""Forecasts to files, frame by frame as they come, whole or not at all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from framecast.base.claim import claim
from framecast.base.errors import UserError
from framecast.base.whole import PathLike, whole
from framecast.forecast.writers.animation import animation_writer
from framecast.forecast.writers.destination import check_apart, check_destination, check_outside
from framecast.forecast.writers.labels import ForecastLabels
from framecast.forecast.writers.numerical import netcdf_writer, npz_writer, zarr_writer
from framecast.forecast.writers.outputs import Summary

__all__ = [
    "WRITERS",
    "ForecastLabels",
    "Summary",
    "check_outside",
    "claim_destination",
    "open_writer",
]

WRITERS = {
    ".nc": netcdf_writer,
    ".zarr": zarr_writer,
    ".npz": npz_writer,
    ".gif": animation_writer,
    ".mp4": animation_writer,
}


@contextmanager
def claim_destination(
    out: PathLike, inputs: Sequence[PathLike] = (), overwrite: bool = False
) -> Iterator[Path]:
    """Claim the place of a forecast before any work; yield it, links followed.

    Args:
        out: the file to write, whose kind follows from its suffix.
        inputs: what is read meanwhile.
        overwrite: whether a file of this kind may be replaced that framecast did not write.

    Raises:
        UserError: if the suffix is none of WRITERS, something stands there that must stay (see
            `check_destination`), it is one of the inputs, or another process is writing it.
    """
    suffix = Path(out).suffix
    if suffix not in WRITERS:
        raise UserError(f"--out {out}: cannot write {suffix!r}; choose {', '.join(WRITERS)}")
    with claim(out) as place:
        if place.suffix != suffix:
            raise UserError(f"--out {out} leads to {place}, which is not called {suffix}")
        check_apart(place, inputs)
        check_destination(place, overwrite)
        yield place


@contextmanager
def open_writer(
    path: Path, labels: ForecastLabels, overwrite: bool = False
) -> Iterator[Callable[[Tensor], None]]:
    """Open a file for a forecast; its kind follows from its suffix.

    Yields:
        A function that takes the next frame, [M,N,S,C,H,W], in physical units.

    Raises:
        UserError: as `claim_destination`; or if the disk is full.
    """
    with (
        claim_destination(path, overwrite=overwrite) as place,
        whole(place, replaces_folder=True) as partial,
        WRITERS[place.suffix](partial, labels) as write,
    ):
        yield write
