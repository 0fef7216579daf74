"""Dates of frames whose times are plain numbers, or counted: data.time_units."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from framecast.base.errors import UserError
from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames

_COUNT = re.compile(r"\s*(?P<count>\d+(?:\.\d+)?)?\s*(?P<units>[A-Za-z]+\s+since\s+.*)")


def check_time_units(text: str) -> None:
    """Raise a ValueError for what is not such as 'hours since 1996-01-05' or '5 minutes since'."""
    _dates(np.zeros(1), text)


def with_time_units(frames: Frames, text: str | None) -> Frames:
    """Return frames with dates in place of numbers; those that have dates stay, with a line.

    Args:
        frames: whose times are numbers, or that have none and are counted from 0.
        text: what a number counts, in CF's words, perhaps with how many of them: '6 hours since
            1996-01-05'. None leaves the numbers.

    Raises:
        UserError: if a date would lie beyond the calendar.
    """
    times = frames.times
    if text is None:
        return frames
    if times.dtype.kind not in "iuf":
        warnings.warn(f"{frames.source} has dates: data.time_units is not needed", stacklevel=2)
        return frames
    try:
        dates = _dates(times.astype(np.float64), text)
    except ValueError as error:
        raise UserError(f"{frames.source}: {error}") from error
    known = frames.coordinates.get(frames.time_dim)
    axis = Coordinate((frames.time_dim,), dates, {} if known is None else known.attributes)
    axis = replace(axis, attributes={k: v for k, v in axis.attributes.items() if k != "units"})
    return replace(frames, coordinates={**frames.coordinates, frames.time_dim: axis})


def _dates(numbers: np.ndarray, text: str) -> np.ndarray:
    import xarray as xr  # for dates that are counted alone: it takes a while

    from framecast.readers.dates import decode_odd_units

    found = _COUNT.fullmatch(text)
    wrong = f"time_units {text!r} must be such as 'hours since 1996-01-05' or '5 minutes since ...'"
    if found is None:
        raise ValueError(wrong)
    numbers = numbers * float(found["count"] or 1)
    raw = xr.Dataset({"times": ("frame", numbers, {"units": found["units"]})})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be decoded is no date below
        try:
            raw = decode_odd_units(raw, Path("data.time_units"))
            dates = xr.decode_cf(raw)["times"].to_numpy()
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{wrong}: {error}") from error
    if dates.dtype.kind not in "MO":
        raise ValueError(wrong)
    return np.asarray(dates)
