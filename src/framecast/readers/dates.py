"""Times of labelled files in all the forms that they are found in, as dates or durations."""

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from framecast.readers.recognise import Axis, Holds, meaning_of

_SINCE = re.compile(
    r"\s*(?P<unit>[a-z]+)\s+since\s+(?P<year>-?\d{1,4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}))?)?",
    re.IGNORECASE,
)
_SECONDS = {
    **dict.fromkeys(("nanosecond", "ns"), 1e-9),
    **dict.fromkeys(("microsecond", "us"), 1e-6),
    **dict.fromkeys(("millisecond", "msec", "ms"), 1e-3),
    **dict.fromkeys(("second", "sec", "s"), 1.0),
    **dict.fromkeys(("minute", "min"), 60.0),
    **dict.fromkeys(("hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("day", "d"), 86400.0),
}
_MONTHS = {"month": 1, "mon": 1, "year": 12, "yr": 12, "common_year": 12}
_REAL = {"", "standard", "gregorian", "proleptic_gregorian"}
"""Calendars of real dates; other ones know a year 0."""
MOST = 10_000_000
"""Values of a variable beside the axes that are looked at, to see whether they are dates."""
_NAMES = ("valid_time", "time", "times", "xtime", "datetime", "date")
"""Which of several dates along an axis is its time, in this order."""


def decode_odd_units(raw: xr.Dataset, path: Path) -> xr.Dataset:
    """Decode times that xarray does not: months and years since a date, and since a year 0.

    Months and years are those of the calendar. What cannot be decoded stays plain numbers, with a
    warning.

    Args:
        raw: a file without anything decoded.
        path: for messages.
    """
    for name, variable in list(raw.variables.items()):
        units = variable.attrs.get("units")
        if not isinstance(units, str) or "since" not in units or variable.dtype.kind not in "iuf":
            continue
        dates = _decoded(str(name), variable, path)
        if dates is not None:
            raw = raw.assign({name: dates})
    return raw


def with_dates(dataset: xr.Dataset) -> xr.Dataset:
    """Return a file whose axes of time are dates or durations, wherever it says so.

    Texts of ISO 8601 and numbers that read as YYYYMMDD or YYYYMMDDHH are dates; lead times with
    units are durations. An axis without dates takes those of the one variable of dates along it
    (XTIME, valid_time), or of a reference time and its lead times.
    """
    dataset = dataset.assign_coords(dict(_texts(dataset)))
    dataset = dataset.assign_coords(dict(_digits(dataset)))
    dataset = dataset.assign_coords(dict(_durations(dataset)))
    dataset = dataset.assign_coords(dict(_beside(dataset)))
    return dataset.assign_coords(dict(_since_reference(dataset)))


def axis_of(dataset: xr.Dataset, dim: str) -> Axis:
    """Describe a dimension by what its coordinate says."""
    size = dataset.sizes[dim]
    if dim not in dataset.coords:
        return Axis(dim, size)
    coordinate = dataset[dim]
    attributes = {key: str(value) for key, value in coordinate.attrs.items()}
    return Axis(dim, size, holds(coordinate), attributes)


def holds(coordinate: xr.DataArray) -> Holds:
    """Return the kind of a coordinate; objects that are no texts are dates of other calendars."""
    if is_text(coordinate):
        return "texts"
    if coordinate.dtype.kind in "MO":
        return "dates"
    return "durations" if coordinate.dtype.kind == "m" else "numbers"


def is_text(coordinate: xr.DataArray) -> bool:
    """Whether the values of a coordinate are texts; objects may be dates, too."""
    if coordinate.dtype == object:
        return coordinate.size > 0 and isinstance(coordinate.to_numpy().flat[0], str | bytes)
    return coordinate.dtype.kind in "SUT"


def text_of(value: Any) -> str | None:
    """Return the text that an attribute or a coordinate holds, as its kind of file has it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


_Coordinates = Iterator[tuple[str, tuple[str, np.ndarray, dict[str, Any]]]]


def _decoded(name: str, variable: xr.Variable, path: Path) -> xr.Variable | None:
    """A variable whose times are decoded here; None where xarray can do it."""
    units, calendar = str(variable.attrs["units"]), str(variable.attrs.get("calendar", "")).lower()
    since = _SINCE.match(units)
    unit = since["unit"].lower() if since else ""
    singular = unit.removesuffix("s") if len(unit) > 1 else unit
    stored = ("units", "calendar", "_FillValue", "missing_value")
    kept = {k: v for k, v in variable.attrs.items() if k not in stored}
    if since and singular in _MONTHS and variable.ndim < 2:
        values = _numbers(variable) * _MONTHS[singular]
        return xr.Variable(variable.dims, _months_after(_reference(since), values), kept)
    year_0 = since is not None and int(since["year"]) == 0 and calendar in _REAL
    if since and year_0 and singular in _SECONDS and variable.ndim < 2:
        seconds = _numbers(variable) * _SECONDS[singular]
        dates = _reference(since) + np.round(seconds * 1e6).astype("timedelta64[us]")
        warnings.warn(
            f"{path}: the times {name} count {units}, a year that the calendar of dates does not "
            f"have. Counted back in the Gregorian calendar the first is {dates.flat[0]}",
            stacklevel=2,
        )
        return xr.Variable(variable.dims, dates, kept)
    try:
        xr.decode_cf(xr.Dataset({"times": variable.copy()}), decode_timedelta=False)
    except (ValueError, OverflowError, TypeError) as error:
        warnings.warn(
            f"{path}: the times {name} have the units {units!r} that cannot be decoded "
            f"({type(error).__name__}): they are read as plain numbers. Set the units to one of "
            "days, hours or seconds since a date to have dates",
            stacklevel=2,
        )
        numbers = variable.copy(deep=False)
        numbers.attrs = {k: v for k, v in variable.attrs.items() if k not in ("units", "calendar")}
        numbers.attrs["counted"] = units
        return numbers
    return None


def _numbers(variable: xr.Variable) -> np.ndarray:
    """The values of a variable in float64, with NaN where they are missing."""
    values = variable.to_numpy().astype(float)
    for key in ("_FillValue", "missing_value"):
        if key in variable.attrs:
            values[np.isin(values, variable.attrs[key])] = np.nan
    return values


def _reference(since: re.Match[str]) -> np.datetime64:
    """The date that times are counted from; a month or day 0 is the one before the first."""
    month, day = int(since["month"]), int(since["day"])
    start = np.datetime64(f"{int(since['year']):04}-01-01", "us").astype("datetime64[M]")
    first = (start + np.timedelta64(max(month, 1) - 1, "M")).astype("datetime64[us]")
    date = first + np.timedelta64(day - 1, "D")
    clock = [int(since[part] or 0) for part in ("hour", "minute", "second")]
    return np.datetime64(date + np.timedelta64(clock[0] * 3600 + clock[1] * 60 + clock[2], "s"))


def _months_after(start: np.datetime64, months: np.ndarray) -> np.ndarray:
    """Dates that lie months after another: whole months, then a share of the next one."""
    unknown = np.isnan(months)
    months = np.where(unknown, 0, months)
    whole = np.floor(months)
    first = start.astype("datetime64[M]") + whole.astype(int).astype("timedelta64[M]")
    after = (first + np.timedelta64(1, "M")).astype("datetime64[us]")
    first = first.astype("datetime64[us]")
    within = start - start.astype("datetime64[M]").astype("datetime64[us]")
    share = np.round((months - whole) * (after - first).astype(float))
    dates = first + within + share.astype("timedelta64[us]")
    return np.where(unknown, np.datetime64("NaT"), dates)


def _texts(dataset: xr.Dataset) -> _Coordinates:
    """Coordinates of one dimension that are dates, written as texts."""
    for name, variable in dataset.variables.items():
        if variable.ndim != 1 or variable.dtype.kind not in "OSUT" or variable.size > MOST:
            continue
        if not is_text(xr.DataArray(variable)):
            continue
        dates = [_date(text_of(value) or "") for value in variable.to_numpy().tolist()]
        if dates and None not in dates:
            dim = str(variable.dims[0])
            yield str(name), (dim, np.array(dates, "datetime64[us]"), dict(variable.attrs))


def _date(text: str) -> datetime | None:
    """The date that a text stands for, in UTC; None if it is not one that ISO 8601 knows.

    WRF writes an underscore between day and hour.
    """
    text = re.sub(r"^(\d{4}-\d\d-\d\d)_", r"\1T", text.strip())
    if not re.match(r"\d{4}-\d\d", text):
        return None
    try:
        date = datetime.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError:
        return None
    return date if date.tzinfo is None else date.astimezone(UTC).replace(tzinfo=None)


def _digits(dataset: xr.Dataset) -> _Coordinates:
    """Axes of time whose numbers read as YYYYMMDD or YYYYMMDDHH."""
    for dim in map(str, dataset.dims):
        if dim not in dataset.coords or dataset[dim].dtype.kind not in "iuf":
            continue
        meaning = meaning_of(axis_of(dataset, dim))
        if meaning is not None and meaning[0] not in ("time", "start"):
            continue
        dates = _dates_of_digits(dataset[dim].to_numpy())
        if dates is not None:
            kept = {k: v for k, v in dataset[dim].attrs.items() if k not in ("units", "calendar")}
            yield dim, (dim, dates, kept)


def _dates_of_digits(numbers: np.ndarray) -> np.ndarray | None:
    if not numbers.size or not np.isfinite(numbers).all():
        return None
    days, share = np.divmod(numbers.astype(float), 1)
    hours = np.zeros_like(days)
    if days.min() >= 1700010100 and not share.any():
        days, hours = np.divmod(days, 100)
    if days.min() < 17000101 or days.max() > 22991231 or hours.max() > 23:
        return None
    try:
        texts = [f"{day:08d}" for day in days.astype(int).tolist()]
        dates = np.array([f"{t[:4]}-{t[4:6]}-{t[6:]}" for t in texts], "datetime64[us]")
    except ValueError:
        return None
    seconds = np.round(share * 86400) + 3600 * hours
    return np.asarray(dates + seconds.astype("timedelta64[s]"))


def _durations(dataset: xr.Dataset) -> _Coordinates:
    """Axes of lead times with units, as durations."""
    for dim in map(str, dataset.dims):
        if dim not in dataset.coords or dataset[dim].dtype.kind not in "iuf":
            continue
        attributes = dict(dataset[dim].attrs)
        unit = str(attributes.pop("units", "")).lower()
        stored = str(attributes.pop("dtype", ""))
        singular = unit.removesuffix("s") if len(unit) > 1 else unit
        meaning = meaning_of(axis_of(dataset, dim))
        lead = meaning is not None and meaning[0] == "lead"
        if singular in _SECONDS and (lead or stored.startswith("timedelta64")):
            microseconds = np.round(dataset[dim].to_numpy() * (_SECONDS[singular] * 1e6))
            yield dim, (dim, microseconds.astype("timedelta64[us]"), attributes)


def _beside(dataset: xr.Dataset) -> _Coordinates:
    """Axes without dates, with those that one variable holds along them."""
    for dim in map(str, dataset.dims):
        axis = axis_of(dataset, dim)
        meaning = meaning_of(axis)
        if axis.holds in ("dates", "texts"):
            continue
        if meaning is not None and meaning[0] not in ("time", "lead"):
            continue
        along = {
            str(name): variable
            for name, variable in dataset.variables.items()
            if variable.dims == (dim,)
            and variable.size <= MOST
            and holds(xr.DataArray(variable)) == "dates"
        }
        known = [name for name in _NAMES for along_name in along if along_name.lower() == name]
        chosen = [name for name in along if known and name.lower() == known[0]] or [*along]
        if len(chosen) == 1:
            variable = along[chosen[0]]
            yield dim, (dim, variable.to_numpy(), dict(variable.attrs))


def _since_reference(dataset: xr.Dataset) -> _Coordinates:
    """Lead times of a single start, as dates."""
    starts = [
        variable.to_numpy().reshape(-1)[0]
        for name, variable in dataset.variables.items()
        if variable.size == 1 and variable.dtype.kind == "M" and _is_start(str(name), variable)
    ]
    if len({*starts}) != 1 or np.isnat(starts[0]):
        return
    for dim in map(str, dataset.dims):
        if dim in dataset.coords and dataset[dim].dtype.kind == "m" and dataset.sizes[dim] > 1:
            yield dim, (dim, starts[0] + dataset[dim].to_numpy(), dict(dataset[dim].attrs))


def _is_start(name: str, variable: xr.Variable) -> bool:
    attributes = {key: str(value) for key, value in variable.attrs.items()}
    meaning = meaning_of(Axis(name, 1, "dates", attributes))
    return meaning is not None and meaning[0] in ("start", "time")
