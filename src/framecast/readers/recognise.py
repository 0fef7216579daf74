"""What the dimensions of a labelled grid mean: decided by evidence, or refused.

Evidence counts in this order: what the user says (data.dims), CF standard names, the axis
attribute, units, the kind of the coordinate, and last the name. Nothing here sees a file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from framecast.base.errors import UserError

Holds = Literal["dates", "durations", "numbers", "texts", "nothing"]
"""What the coordinate of a dimension holds; nothing where it has none."""

Meaning = Literal[
    "time", "lead", "start", "row", "column", "sequence", "level", "channel", "versions"
]
"""What a dimension may mean: time; time since the start of a forecast; the start of a forecast;
rows and columns of the grid; independent sequences, such as members; vertical levels; other
channels, such as bands; or versions of one series, of which each time has one (expver of ERA5)."""

GIVEN = ("time", "row", "column", "sequence", "channel")
"""What data.dims can say of a dimension."""


@dataclass(frozen=True)
class Axis:
    """What is known of a dimension.

    Attributes:
        name: of the dimension.
        size: its length.
        holds: the kind of its coordinate.
        attributes: of its coordinate: standard_name, axis, units, positive.
    """

    name: str
    size: int
    holds: Holds = "nothing"
    attributes: Mapping[str, str] = field(default_factory=dict)

    def said(self, attribute: str) -> str:
        """Return an attribute in small letters; empty where it is not there."""
        return str(self.attributes.get(attribute, "")).strip().lower()


@dataclass(frozen=True)
class Roles:
    """What each dimension of a variable is read as.

    Attributes:
        time: the dimension of time.
        row: of rows.
        column: of columns.
        sequences: those over independent sequences.
        channels: those over channels.
        versions: the one over versions that are merged; None if there is none.
        dropped: those of length one that are read as nothing.
        seen: by dimension, what its meaning was seen by.
    """

    time: str
    row: str
    column: str
    sequences: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    versions: str | None = None
    dropped: tuple[str, ...] = ()
    seen: Mapping[str, str] = field(default_factory=dict)

    @property
    def evidence(self) -> dict[str, str]:
        """By dimension, what it is read as, and what this was seen by, in words."""
        read = {self.time: "time", self.row: "rows", self.column: "columns"}
        read |= dict.fromkeys(self.sequences, "sequences")
        read |= dict.fromkeys(self.channels, "channels")
        read |= {} if self.versions is None else {self.versions: "versions, merged"}
        read |= dict.fromkeys(self.dropped, "dropped, for it is one long")
        return {
            dim: f"{meaning} ({self.seen[dim]})" if dim in self.seen else meaning
            for dim, meaning in read.items()
        }

    @property
    def dims(self) -> tuple[str, ...]:
        """All that are read, in the order in which they are read."""
        versions = () if self.versions is None else (self.versions,)
        return (*self.sequences, self.time, *versions, *self.channels, self.row, self.column)

    @property
    def shared(self) -> tuple[str, ...]:
        """Those that all channels of one file share."""
        return (*self.sequences, self.time, self.row, self.column)


class NoGridError(Exception):
    """A variable is no series of grids: it has no time, or no two dimensions of space."""


class UnclearError(UserError):
    """A variable is a series of grids, but what one of its dimensions means is unclear."""


_STANDARD_NAMES: dict[str, Meaning] = {
    "time": "time",
    "forecast_period": "lead",
    "forecast_reference_time": "start",
    "realization": "sequence",
    "latitude": "row",
    "grid_latitude": "row",
    "projection_y_coordinate": "row",
    "projection_y_angular_coordinate": "row",
    "longitude": "column",
    "grid_longitude": "column",
    "projection_x_coordinate": "column",
    "projection_x_angular_coordinate": "column",
    "model_level_number": "level",
    "air_pressure": "level",
    "height": "level",
    "altitude": "level",
    "depth": "level",
    "geopotential_height": "level",
    "air_potential_temperature": "level",
    "height_above_mean_sea_level": "level",
    "height_above_reference_ellipsoid": "level",
    "radiation_wavelength": "channel",
    "radiation_frequency": "channel",
    "sensor_band_identifier": "channel",
    "sensor_band_central_radiation_wavelength": "channel",
}
_VERTICAL_STANDARD_NAME = re.compile(r"(atmosphere|ocean)_.*coordinate.*")
_AXES: dict[str, Meaning] = {"t": "time", "z": "level", "y": "row", "x": "column", "e": "sequence"}
_DEGREES: dict[str, Meaning] = {"n": "row", "north": "row", "e": "column", "east": "column"}
_PRESSURES = {"pa", "hpa", "kpa", "mb", "mbar", "millibar", "millibars", "bar", "dbar", "decibar"}

_NAMES: dict[Meaning, str] = {
    "versions": r"expver",
    "start": r"(forecast_|model_)?(init|initiali[sz]ation|initial|reference|ref|start|base"
    r"|issue|analysis)(_?(time|date)s?)?|forecast_date|hdate",
    "lead": r"step|lead|lead_?(time|hour|day|month)s?|forecast_(period|hour|lead|lead_time)"
    r"|f?hours?_ahead|fhour|prediction_timedelta|timedelta|horizon",
    "time": r"t|n?time|nt|n?times|valid_?(time|date)|frames?|n_?frames|dates?|date_?time"
    r"|time_?(step|index|stamp|counter|of_day)?s?|time\d+|xtime|months?|years?|days?|hours?",
    "sequence": r"(n_?)?(ens|ensemble|member|reali[sz]ation|number|trajector(y|ie)|sequence"
    r"|sample|run|case|event|episode|clip|simulation|batch|perturbation|scenario|seed)s?"
    r"(_?(members?|id|ids|number|index|label))?|day_?of_?year",
    "row": r"[nrg]?lats?|(grid_)?latitudes?|lat_.*|y|y[ctuvhqf]|y\d|y_.*|.*_y|grid_y[tu]?"
    r"|yt_.*|yu_.*|ny|dimy|south_north(_stag)?|j|jj|nj|jlat|n?rows?|eta_.*|northings?|lines?",
    "column": r"[nrg]?lons?|(grid_)?longitudes?|lon_.*|x|x[ctuvhqf]|x\d|x_.*|.*_x|grid_x[tu]?"
    r"|xt_.*|xu_.*|nx|dimx|west_east(_stag)?|i|ii|ni|ilon|n?col(umn)?s?|xi_.*|eastings?|pixels?",
    "level": r"(n|i|p|z|o|st_?|model_?|pressure_?|soil_?|nav_?|hybrid_?|sigma_?|vertical_?)?"
    r"lev(el)?s?(_?\d+)?|p|plev\d*|(air_)?pressure|isobaric.*|height.*|altitudes?|alt|depth.*"
    r"|z|z[tuw](_.*)?|nz|z_.*|sigma.*|hybrid|s_(rho|w)|[st]_ocean|sw_ocean|st_ocean"
    r"|bottom_top(_stag)?|soil_layers?(_stag)?|n?layers?|elevation|generalvertical.*",
    "channel": r"(n_?)?(band|variable|var|channel|chan|field|component|species|categor(y|ie)"
    r"|cat|class|classe|wavelength|frequency|wavenumber|tile|feature)s?(_?(id|name|index))?",
}
_SPACE: tuple[Meaning, Meaning] = ("row", "column")
_PICTURES = (("height", "width"), ("h", "w"))
"""Names of rows and columns that say so only together: a height alone is a vertical level."""


def meaning_of(axis: Axis) -> tuple[Meaning, str] | None:
    """Return what a dimension means and what this is seen by; None if nothing says so."""
    if axis.holds == "dates" and re.fullmatch(_NAMES["start"], axis.name.lower()):
        return "start", "its dates and its name"
    standard = axis.said("standard_name")
    if standard in _STANDARD_NAMES:
        return _STANDARD_NAMES[standard], f"standard name {standard}"
    if _VERTICAL_STANDARD_NAME.fullmatch(standard):
        return "level", f"standard name {standard}"
    if axis.said("axis") in _AXES:
        return _AXES[axis.said("axis")], f"axis {axis.attributes['axis']}"
    return _by_units(axis) or _by_kind(axis) or _by_name(axis)


def recognise(variable: str, axes: Sequence[Axis], given: Mapping[str, str] | None = None) -> Roles:
    """Decide what each dimension of a variable is read as.

    Args:
        variable: its name, for messages.
        axes: its dimensions, in the order of the file.
        given: what the user says, the name of a dimension for some of `GIVEN`.

    Raises:
        NoGridError: if it has no time, or no two dimensions of space.
        UnclearError: if a dimension could mean several things.
    """
    known = _meanings(axes, given or {})
    sizes = {axis.name: axis.size for axis in axes}
    time = _time(variable, known, sizes, given or {})
    _forecasts(known, time)
    row, column = _space(variable, known, sizes, time)
    rest = [name for name in sizes if name not in (time, row, column)]
    dropped = tuple(
        name for name in rest if sizes[name] == 1 and name not in (given or {}).values()
    )
    rest = [name for name in rest if name not in dropped]
    for name in rest:
        if name not in known or known[name][0] in ("time", "lead", "row", "column"):
            raise _unclear(variable, name, sizes[name])
    versions = _named(known, rest, "versions")
    if len(versions) > 1:
        raise _unclear(variable, versions[1], sizes[versions[1]])
    return Roles(
        time=time,
        row=row,
        column=column,
        sequences=_named(known, rest, "sequence", "start"),
        channels=_named(known, rest, "level", "channel"),
        versions=next(iter(versions), None),
        dropped=dropped,
        seen={name: why for name, (_, why) in known.items()},
    )


_Known = dict[str, tuple[Meaning, str]]


def _meanings(axes: Sequence[Axis], given: Mapping[str, str]) -> _Known:
    """What is known of each dimension, by name; what the user says comes first."""
    found = {axis.name: meaning for axis in axes if (meaning := meaning_of(axis)) is not None}
    by_name = {axis.name.lower(): axis for axis in axes}
    for row, column in _PICTURES:
        if row in by_name and column in by_name and not _is_vertical(by_name[row]):
            found[by_name[row].name] = ("row", f"its name beside {column}")
            found[by_name[column].name] = ("column", f"its name beside {row}")
    names = [axis.name for axis in axes]
    said = {dim: meaning for meaning, dim in given.items() if dim in names}
    single = {meaning for meaning in said.values() if meaning in ("time", "row", "column")}
    kept = {name: (meaning, why) for name, (meaning, why) in found.items() if meaning not in single}
    return kept | {dim: (_as_meaning(meaning), "data.dims") for dim, meaning in said.items()}


def _as_meaning(given: str) -> Meaning:
    return next(m for m in ("time", "row", "column", "sequence", "channel") if m == given)


def _time(variable: str, known: _Known, sizes: Mapping[str, int], given: Mapping[str, str]) -> str:
    """The dimension of time: the lead where each start has several, else dates or a name."""
    if given.get("time") in sizes:
        return given["time"]
    for kinds in (("lead",), ("time",), ("start",)):
        names = _named(known, sizes, *kinds)
        long = [name for name in names if sizes[name] > 1]
        if len(long) > 1:
            raise UnclearError(
                f"{variable} has several dimensions of time, {' and '.join(long)}: name the one "
                "that frames follow one another in with data.dims.time, and what the other is "
                "with data.dims.sequence or data.dims.channel"
            )
        if long:
            return long[0]
    short = _named(known, sizes, "time") or _named(known, sizes, "lead", "start")
    if short:
        return short[0]
    raise NoGridError(f"{variable} has no dimension of time")


def _forecasts(known: _Known, time: str) -> None:
    """Read each start of a forecast as a sequence, where the time is the lead."""
    if known.get(time, ("time", ""))[0] != "lead":
        return
    for name, (meaning, why) in list(known.items()):
        if meaning == "time":
            known[name] = ("start", f"{why}, beside the lead {time}")


def _space(variable: str, known: _Known, sizes: Mapping[str, int], time: str) -> tuple[str, str]:
    """Rows and columns: what is known as such, else what is left of the dimensions."""
    row = _single(variable, known, sizes, "row")
    column = _single(variable, known, sizes, "column")
    missing = (row is None) + (column is None)
    if missing:
        long = [name for name in sizes if sizes[name] > 1 and name != time]
        free = [name for name in long if name not in known]
        if len(free) < missing:  # a vertical section, or a grid of one row
            free = [n for n in long if n not in known or known[n][0] == "level"]
        if len(free) < missing:
            free = [n for n in sizes if n != time and (n not in known or n in free)]
        if len(free) < missing:
            raise NoGridError(f"{variable} has no two dimensions of space")
        if len(free) > missing:
            raise _unclear(variable, free[0], sizes[free[0]], free)
        row, column = row or free[0], column or free[-1]
    places = row or "", column or ""
    for name, meaning in zip(places, _SPACE, strict=True):
        known.setdefault(name, (meaning, "its place"))
    return places


def _single(variable: str, known: _Known, sizes: Mapping[str, int], meaning: Meaning) -> str | None:
    names = _named(known, sizes, meaning)
    long = [name for name in names if sizes[name] > 1]
    if len(long) > 1:
        raise UnclearError(
            f"{variable} has several dimensions that look like {meaning}s, {' and '.join(long)}: "
            f"name the right one with data.dims.{meaning}, and what the other is with "
            "data.dims.sequence or data.dims.channel"
        )
    return next(iter(long or names), None)


def _named(known: _Known, names: Iterable[str], *meanings: Meaning) -> tuple[str, ...]:
    return tuple(name for name in names if name in known and known[name][0] in meanings)


def _unclear(variable: str, name: str, size: int, several: Sequence[str] = ()) -> UnclearError:
    if several:
        return UnclearError(
            f"{variable} has the dimensions {', '.join(several)} beside time, and nothing says "
            "which of them are rows and columns: name them with data.dims.row and "
            "data.dims.column, and the others with data.dims.sequence, data.dims.channel or "
            "data.select"
        )
    return UnclearError(
        f"what the dimension {name} of {variable} ({size} long) means cannot be told. Say it: "
        f"data.dims.sequence {name} where each place along it is a sequence of its own, such as a "
        f"member; data.dims.channel {name} where each is a channel, such as a level or a band; "
        f"data.select '{{{name}: 0}}' for one of them; or data.variables for others"
    )


def _is_vertical(axis: Axis) -> bool:
    """Whether anything but its name says that a dimension is vertical."""
    vertical = meaning_of(axis)
    return vertical is not None and vertical[0] == "level" and vertical[1] != "its name"


def _by_units(axis: Axis) -> tuple[Meaning, str] | None:
    units = axis.said("units")
    degrees = re.fullmatch(r"degrees?_?(n|north|e|east)", units)
    if degrees:
        return _DEGREES[degrees[1]], f"units {units}"
    if units in _PRESSURES:
        return "level", f"units {units}"
    if axis.said("positive") in ("up", "down"):
        return "level", f"positive {axis.said('positive')}"
    return ("time", f"units {units}") if re.search(r"\bsince\b", units) else None


def _by_kind(axis: Axis) -> tuple[Meaning, str] | None:
    if axis.holds == "dates":
        return "time", "its dates"
    return ("lead", "its durations") if axis.holds == "durations" else None


def _by_name(axis: Axis) -> tuple[Meaning, str] | None:
    name = axis.name.lower()
    for meaning, pattern in _NAMES.items():
        if re.fullmatch(pattern, name):
            return meaning, "its name"
    return None
