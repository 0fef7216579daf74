"""Fields that follow from times and places: forcings that need no file, and static fields."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.channels import Channel
from framecast.frames.formulas import forcing_fields, spacing_channels, static_fields
from framecast.frames.frames import Frames
from framecast.frames.places import Axis, degrees, grid_spacing


def _wave(name: str) -> Callable[..., np.ndarray]:
    """Sine and cosine of a share of a period, [T,2,1,1]."""

    def fields(frames: Frames, times: np.ndarray) -> np.ndarray:
        _check_dates(name, frames, times)
        return forcing_fields(name, times, None, None)

    return fields


def _insolation(frames: Frames, times: np.ndarray) -> np.ndarray:
    """Sunlight as a share of the solar constant, [T,1,H,W]."""
    _check_dates("insolation", frames, times)
    places = degrees(frames, "latitude"), degrees(frames, "longitude")
    return forcing_fields("insolation", times, *places)


def _circle(axis: Axis) -> Callable[[Frames], np.ndarray]:
    def fields(frames: Frames) -> np.ndarray:
        angle = degrees(frames, axis)
        return static_fields(axis, angle, angle)

    return fields


def _spacing(frames: Frames) -> np.ndarray:
    return spacing_channels(grid_spacing(frames))


FORCINGS: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "time_of_day": (
        _wave("time_of_day"),
        ("sine of time of day", "cosine of time of day"),
    ),
    "time_of_year": (
        _wave("time_of_year"),
        ("sine of time of year", "cosine of time of year"),
    ),
    "insolation": (_insolation, ("insolation",)),
}
"""What is derived from the times, and the names of its channels; all lie within about [-1, 1]."""

STATIC: dict[str, tuple[Callable[[Frames], np.ndarray], tuple[str, ...]]] = {
    "latitude": (_circle("latitude"), ("sine of latitude", "cosine of latitude")),
    "longitude": (_circle("longitude"), ("sine of longitude", "cosine of longitude")),
    "grid_spacing": (_spacing, ("log of spacing of rows", "log of spacing of columns")),
}
"""What is derived from the coordinates, and the names of its channels."""


def derived_forcing_channels(names: Sequence[str]) -> tuple[Channel, ...]:
    """Return the channels of derived forcings."""
    return tuple(Channel(c, role="forcing") for name in names for c in FORCINGS[name][1])


def derived_static_channels(names: Sequence[str]) -> tuple[Channel, ...]:
    """Return the channels of derived static fields."""
    return tuple(Channel(c, role="static") for name in names for c in STATIC[name][1])


def derive_forcings(
    names: Sequence[str], frames: Frames, times: np.ndarray
) -> Float[Tensor, "T F H W"]:
    """Derive forcings at any times, those after the last frame included.

    Args:
        names: keys of FORCINGS.
        frames: whose coordinates say where the grid lies.
        times: [T].

    Raises:
        UserError: if the times are no dates, or latitude or longitude is not known.
    """
    fields = [np.asarray(FORCINGS[name][0](frames, times), np.float32) for name in names]
    whole = [np.broadcast_to(f, (len(times), f.shape[1], *frames.grid)) for f in fields]
    if not whole:
        return torch.zeros(len(times), 0, *frames.grid)
    return torch.from_numpy(np.concatenate(whole, 1))


def derive_static(names: Sequence[str], frames: Frames) -> Float[Tensor, "S H W"]:
    """Derive static fields from the coordinates.

    Args:
        names: keys of STATIC.
        frames: whose coordinates say where the grid lies.

    Raises:
        UserError: if a coordinate that is needed is not known.
    """
    fields = [np.asarray(STATIC[name][0](frames), np.float32) for name in names]
    return torch.from_numpy(np.concatenate(fields)) if fields else torch.zeros(0, *frames.grid)


def _check_dates(name: str, frames: Frames, times: np.ndarray) -> None:
    if not (np.issubdtype(times.dtype, np.datetime64) or times.dtype == object):
        raise UserError(
            f"{frames.source}: {name} is derived from dates, but the time axis "
            f"{frames.time_dim} has none ({_first(times)} ...): give it units such as "
            "'hours since 2020-01-01'"
        )


def _first(times: np.ndarray) -> Any:
    return times[0] if len(times) else "no time"
