"""Formulas of what follows from times and places, in NumPy alone.

Every exported model that reads such fields has a copy of this file beside it.
"""

import numpy as np

EARTH_RADIUS = 6371.0
"""km: mean radius of the earth."""
SOLAR_CONSTANT = 1361.0
"""W m⁻²: total solar irradiance at the mean distance of the earth."""


def time_of_day(times: np.ndarray) -> np.ndarray:
    """Return the share of the day that has passed at each time (UTC), in [0, 1).

    Args:
        times: [T], datetime64 or cftime objects of any calendar.
    """
    if np.issubdtype(times.dtype, np.datetime64):
        return np.asarray((times - times.astype("datetime64[D]")) / np.timedelta64(1, "D"))
    return np.array([
        (t.hour + (t.minute + (t.second + t.microsecond / 1e6) / 60) / 60) / 24 for t in times
    ])  # fmt: skip


def time_of_year(times: np.ndarray) -> np.ndarray:
    """Return the share of the year that has passed at each time, in [0, 1).

    A year has as many days as its calendar gives it, leap days included.

    Args:
        times: [T], datetime64 or cftime objects of any calendar.
    """
    if np.issubdtype(times.dtype, np.datetime64):
        first = times.astype("datetime64[Y]")
        after = (first + np.timedelta64(1, "Y")).astype("datetime64[ns]")
        first = first.astype("datetime64[ns]")
        return np.asarray((times.astype("datetime64[ns]") - first) / (after - first))
    shares = []
    for time in times:
        first = time.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        year = first.replace(year=first.year + 1) - first
        shares.append((time - first) / year)
    return np.array(shares)


def insolation(times: np.ndarray, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the sunlight that falls on the top of the atmosphere, in W m⁻², at least 0.

    S · (d₀/d)² · max(0, sin φ sin δ + cos φ cos δ cos h), with declination δ, distance d and
    equation of time from the Fourier series of Spencer (1971), good to 0.0006 rad, 0.01 % and
    about half a minute.

    Args:
        times: [T], datetime64 or cftime objects, UTC.
        latitude: degrees north, [H,W].
        longitude: degrees east, [H,W].

    Returns:
        [T,H,W].
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


def forcing_fields(
    name: str, times: np.ndarray, latitude: np.ndarray | None, longitude: np.ndarray | None
) -> np.ndarray:
    """Return the channels of a forcing at each time, [T,F,H,W], or [T,F,1,1] without places.

    Args:
        name: time_of_day, time_of_year or insolation.
        times: [T], datetime64 or cftime objects, UTC.
        latitude: degrees north, [H,W], for insolation.
        longitude: degrees east, [H,W], for insolation.
    """
    if name == "insolation":
        assert latitude is not None
        assert longitude is not None
        return insolation(times, latitude, longitude)[:, None] / SOLAR_CONSTANT
    share = time_of_day(times) if name == "time_of_day" else time_of_year(times)
    angle = 2 * np.pi * share
    return np.stack([np.sin(angle), np.cos(angle)], 1)[:, :, None, None]


def static_fields(name: str, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the channels of a field that follows from places, [S,H,W].

    Args:
        name: latitude, longitude or grid_spacing.
        latitude: degrees north, [H,W].
        longitude: degrees east, [H,W].
    """
    if name == "grid_spacing":
        return spacing_channels(sphere_spacing(latitude, longitude))
    angle = np.deg2rad(latitude if name == "latitude" else longitude)
    return np.stack([np.sin(angle), np.cos(angle)])


def spacing_channels(spacing: np.ndarray) -> np.ndarray:
    """Return the channels that a network reads of distances in km, [2,H,W]."""
    channels: np.ndarray = np.log(spacing / 100)
    return channels


def sphere_spacing(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the distance of neighbouring rows and of neighbouring columns in km, [2,H,W].

    Args:
        latitude: degrees north, [H,W].
        longitude: degrees east, [H,W].
    """
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    both = np.stack([_distance(phi, lam, axis=axis) for axis in (0, 1)])
    return np.asarray(np.maximum(both, 1e-3))


def _distance(phi: np.ndarray, lam: np.ndarray, axis: int) -> np.ndarray:
    """Distance along the sphere between neighbours on an axis, one value at each point."""
    if phi.shape[axis] < 2:
        return np.zeros(phi.shape)
    north = np.gradient(phi, axis=axis)
    east = np.gradient(np.unwrap(lam, axis=axis), axis=axis) * np.cos(phi)
    return np.asarray(EARTH_RADIUS * np.hypot(north, east))
