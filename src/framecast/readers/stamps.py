"""Times in the names of files, such as radar_20190501_1205.png."""

import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from framecast.base.errors import UserError
from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames

_DIGITS = {"Y": 4, "y": 2, "m": 2, "d": 2, "j": 3, "H": 2, "M": 2, "S": 2}
"""Digits of each part of a date."""

_DAYS = ("%Y%m%d", "%Y-%m-%d", "%Y_%m_%d", "%Y.%m.%d")
_YEAR_LAST = tuple(
    f"%{first}{between}%{second}{between}%Y"
    for first, second in ("dm", "md")
    for between in ("", "-", "_", ".")
)
_HOURS = ("%H%M%S", "%H%M", "%H", "%H-%M-%S", "%H_%M_%S", "%H:%M:%S", "%H-%M", "%H_%M", "%H:%M")
GUESSED = (
    *(
        f"{day}{between}{hour}"
        for day in (*_DAYS, *_YEAR_LAST)
        for between in "T_-. "
        for hour in _HOURS
    ),
    *(f"%Y%m%d{hour}" for hour in _HOURS[:3]),
    *_DAYS,
    *_YEAR_LAST,
)
"""Patterns that are looked for where none is given, with no digits beside them."""

NAMED = {"standard_name": "time", "long_name": "time in the name of the file"}
"""Attributes of a time axis that was made of names."""

_EARLIEST, _LATEST = 1850, 2200


@dataclass(frozen=True)
class Stamps:
    """Times that the names of files give.

    Attributes:
        times: by file; none where names have no times.
        pattern: by which they were read.
        asked: whether a pattern was given, so that these times go before those in the file.
        rivals: patterns that all names have, where there are several, so that none was taken.
    """

    times: Mapping[Path, datetime] = field(default_factory=dict)
    pattern: str = ""
    asked: bool = False
    rivals: tuple[str, ...] = ()

    def on(self, frames: Frames, path: Path) -> Frames:
        """Return the frames of a file with the time of its name, if it holds one without a time.

        Raises:
            UserError: if times are asked for, and the file holds more than one frame.
        """
        time = frames.time_dim
        if path not in self.times or (time in frames.coordinates and not self.asked):
            return frames
        if frames.length > 1:
            if not self.asked:
                return frames
            raise UserError(
                f"{path} holds {frames.length} frames, and its name one time: data.times_from is "
                "for files of one frame each"
            )
        stamp = np.array([self.times[path]], "datetime64[us]")
        axis = Coordinate((time,), stamp, NAMED)
        return replace(frames, coordinates={**frames.coordinates, time: axis})


def stamps_of(paths: Sequence[Path], pattern: str | None) -> Stamps:
    """Return the times in the names of files.

    Args:
        paths: the files.
        pattern: how they are written, as in strptime, with numbers alone (%Y %m %d %H %M %S %j %y);
            None to look for one that all names have, in one way only.

    Raises:
        UserError: if a pattern is given that is none, or that a name does not have.
    """
    if pattern is None:
        found = guess_patterns(paths)
        if len(found) != 1:
            return Stamps(rivals=found)
        return Stamps(_times(paths, found[0]), found[0])
    check_pattern(pattern)
    for path in paths:
        if _time(path, pattern) is None:
            raise UserError(f"{path}: its name holds no time as data.times_from has it ({pattern})")
    return Stamps(_times(paths, pattern), pattern, asked=True)


def check_pattern(pattern: str) -> None:
    """Raise a UserError if a pattern does not say which day, or has parts that are not known."""
    parts = re.findall("%(.?)", pattern)
    unknown = [part for part in parts if part not in _DIGITS]
    if unknown:
        raise UserError(
            f"data.times_from {pattern}: %{unknown[0]} is not known; there are "
            + " ".join(f"%{part}" for part in _DIGITS)
        )
    if not {"Y", "y"} & set(parts) or len(parts) > len(set(parts)):
        raise UserError(
            f"data.times_from {pattern} must name the year (%Y, or %y) and other parts once, such "
            "as '%Y%m%d_%H%M'"
        )


def guess_patterns(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the patterns by which every name holds another time, the longest of their kind."""
    fitting = []
    for pattern in GUESSED:
        first = _times(paths[:1], pattern)
        if first and len(set(_times(paths, pattern).values())) == len(paths):
            fitting.append(pattern)
    return tuple(p for p in fitting if not any(p != q and p in q for q in fitting))


def say_guessed(part: Frames, stamps: Stamps, source: str) -> None:
    """Warn where times were guessed from the names of files, or could be in two ways.

    Args:
        part: frames of one of the files.
        stamps: of all of them.
        source: what the message calls them.
    """
    axis = part.coordinates.get(part.time_dim)
    if axis is None and stamps.rivals:
        warnings.warn(
            f"{source}: frames are counted in the order of the numbers in the names of the files, "
            f"which may be times: set data.times_from to {' or '.join(stamps.rivals)}",
            stacklevel=2,
        )
    if stamps.asked or axis is None or axis.attributes != NAMED:
        return
    times = sorted(stamps.times.values())
    warnings.warn(
        f"{source}: the times are those in the names of the files, read as {stamps.pattern}: "
        f"{times[0]} to {times[-1]}. Set data.times_from to this, or to another pattern",
        stacklevel=2,
    )


def _times(paths: Sequence[Path], pattern: str) -> dict[Path, datetime]:
    found = {path: _time(path, pattern) for path in paths}
    return {path: time for path, time in found.items() if time is not None}


def _time(path: Path, pattern: str) -> datetime | None:
    """The time in a name, where it holds just one."""
    expression = "".join(
        rf"\d{{{_DIGITS[part[1]]}}}" if part.startswith("%") else re.escape(part)
        for part in re.findall("%.|[^%]+", pattern)
    )
    before = r"(?<!\d)" if pattern.startswith("%") else ""
    texts = set(re.findall(rf"{before}{expression}(?!\d)", path.name))
    if len(texts) != 1:
        return None
    with suppress(ValueError):
        time = datetime.strptime(texts.pop(), pattern)
        return time if _EARLIEST <= time.year <= _LATEST else None
    return None
