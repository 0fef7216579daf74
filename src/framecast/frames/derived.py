"""Fields that follow from times and places: forcings that need no file, and static fields."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.places import Axis, degrees, grid_spacing

SOLAR_CONSTANT = 1361.0
"""W m⁻²: total solar irradiance at the mean distance of the earth."""

Angles = Float64[np.ndarray, "T"]


def time_of_day(times: np.ndarray) -> Angles:
    """Return the share of the day that has passed at each time (UTC), in [0, 1).

    Args:
        times: [T], datetime64 or cftime objects of any calendar.
    """
    if np.issubdtype(times.dtype, np.datetime64):
        return np.asarray((times - times.astype("datetime64[D]")) / np.timedelta64(1, "D"))
    return np.array([
        (t.hour + (t.minute + (t.second + t.microsecond / 1e6) / 60) / 60) / 24 for t in times
    ])  # fmt: skip


def time_of_year(times: np.ndarray) -> Angles:
    """Return the share of the year that has passed at each time, in [0, 1).

    A year has as many days as its calendar gives it, leap days included.

    Args:
        times: [T], datetime64 or cftime objects of any calendar.
    """
    if np.issubdtype(times.dtype, np.datetime64):
        first = times.astype("datetime64[Y]")
        after = (first + 1).astype("datetime64[ns]")
        first = first.astype("datetime64[ns]")
        return np.asarray((times.astype("datetime64[ns]") - first) / (after - first))
    shares = []
    for time in times:
        first = time.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        year = first.replace(year=first.year + 1) - first
        shares.append((time - first) / year)
    return np.array(shares)


def insolation(
    times: np.ndarray, latitude: Float[np.ndarray, "H W"], longitude: Float[np.ndarray, "H W"]
) -> Float64[np.ndarray, "T H W"]:
    """Return the sunlight that falls on the top of the atmosphere, in W m⁻², at least 0.

    S · (d₀/d)² · max(0, sin φ sin δ + cos φ cos δ cos h), with declination δ, distance d and
    equation of time from the Fourier series of Spencer (1971), good to 0.0006 rad, 0.01 % and
    about half a minute.

    Args:
        times: [T], datetime64 or cftime objects, UTC.
        latitude: degrees north.
        longitude: degrees east.
    """
    day = 2 * np.pi * time_of_year(times)
    declination = (
        0.006918
        - 0.399912 * np.cos(day)
        + 0.070257 * np.sin(day)
        - 0.006758 * np.cos(2 * day)
        + 0.000907 * np.sin(2 * day)
        - 0.002697 * np.cos(3 * day)
        + 0.00148 * np.sin(3 * day)
    )
    nearness = (
        1.00011
        + 0.034221 * np.cos(day)
        + 0.00128 * np.sin(day)
        + 0.000719 * np.cos(2 * day)
        + 0.000077 * np.sin(2 * day)
    )
    equation = (
        0.000075
        + 0.001868 * np.cos(day)
        - 0.032077 * np.sin(day)
        - 0.014615 * np.cos(2 * day)
        - 0.040849 * np.sin(2 * day)
    )
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    hour = (2 * np.pi * (time_of_day(times) - 0.5) + equation)[:, None, None] + lam
    delta = declination[:, None, None]
    height = np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.cos(hour)
    light: np.ndarray = SOLAR_CONSTANT * nearness[:, None, None] * np.maximum(height, 0)
    return light


def _wave(name: str, share: Callable[[np.ndarray], Angles]) -> Callable[..., np.ndarray]:
    """Sine and cosine of a share of a period, [T,2,1,1]."""

    def fields(frames: Frames, times: np.ndarray) -> np.ndarray:
        _check_dates(name, frames, times)
        angle = 2 * np.pi * share(times)
        return np.stack([np.sin(angle), np.cos(angle)], 1)[:, :, None, None]

    return fields


def _insolation(frames: Frames, times: np.ndarray) -> np.ndarray:
    """Sunlight as a share of the solar constant, [T,1,H,W]."""
    _check_dates("insolation", frames, times)
    light = insolation(times, degrees(frames, "latitude"), degrees(frames, "longitude"))
    return light[:, None] / SOLAR_CONSTANT


def _circle(axis: Axis) -> Callable[[Frames], np.ndarray]:
    def fields(frames: Frames) -> np.ndarray:
        angle = np.deg2rad(degrees(frames, axis))
        return np.stack([np.sin(angle), np.cos(angle)])

    return fields


def _spacing(frames: Frames) -> np.ndarray:
    return np.log(grid_spacing(frames) / 100)


FORCINGS: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "time_of_day": (
        _wave("time_of_day", time_of_day),
        ("sine of time of day", "cosine of time of day"),
    ),
    "time_of_year": (
        _wave("time_of_year", time_of_year),
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
