"""What a forecast is labelled with, and its labels in the conventions of NetCDF."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from framecast.forecast.writers.attributes import carried
from framecast.forecast.writers.destination import MARK, MARKED
from framecast.forecast.writers.outputs import Output, Summary, outputs_of
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.times import SHOWN, readable

_REFERENCE = "forecast_reference_time"


@dataclass(frozen=True, eq=False)
class ForecastLabels:
    """Labels of a forecast of K lead times from S starts in N sequences.

    Attributes:
        frames: the input, whose channels, grid and attributes are carried on.
        starts: place of the last known frame of each forecast, [S].
        valid_times: time of each forecast frame, [S,K].
        channels: that are predicted.
        typical: a range of values of each channel, by name, where the input does not show one.
        command: that makes the forecast, for its history.
        members: M, of an ensemble; None for a forecast without members.
        summary: what is written of the members; None for all of them.
        drawn: whether it is one member of an ensemble, though no members were asked for.
    """

    frames: Frames
    starts: np.ndarray
    valid_times: np.ndarray
    channels: tuple[Channel, ...]
    typical: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    command: str = "framecast forecast"
    members: int | None = None
    summary: Summary | None = None
    drawn: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)

    @property
    def steps(self) -> int:
        """K."""
        return len(self.valid_times[0])

    @property
    def single(self) -> bool:
        """Whether there is one start, so that the time axis goes on as in the input."""
        return len(self.starts) == 1

    @property
    def start_name(self) -> str:
        """What the last known times are called: start, unless that names something else."""
        return self._unless_taken("start")

    @property
    def lead_name(self) -> str:
        """What the lead times are called, in the same way."""
        return self._unless_taken("lead_time")

    def _unless_taken(self, name: str) -> str:
        """A name, or a longer one where the input has a dimension or a channel of that name."""
        return name if name not in (*self.frames.dims, *self.names) else f"forecast_{name}"

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of a variable: the input's, or (start, lead_time) for time if several."""
        *sequence, time, row, column = self.frames.dims
        ahead = (time,) if self.single else (self.start_name, self.lead_name)
        return (*sequence, *ahead, row, column)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of `dims`."""
        sequences = self.frames.values.shape[:1] if len(self.frames.dims) == 4 else ()
        ahead = (self.steps,) if self.single else (len(self.starts), self.steps)
        return (*sequences, *ahead, *self.frames.grid)

    @cached_property
    def outputs(self) -> list[Output]:
        """The variables of a file of numbers."""
        return outputs_of(self.channels, self.members, self.summary, self._free)

    def dims_of(self, output: Output) -> tuple[str, ...]:
        """Return the dimensions of a variable."""
        return (*(extra.name for extra in output.extra), *self.dims)

    def shape_of(self, output: Output) -> tuple[int, ...]:
        """Return the sizes of its dimensions."""
        return (*(len(extra.values) for extra in output.extra), *self.shape)

    def _free(self, name: str) -> str:
        """A name for a dimension that the input has not given to anything."""
        taken = {*self.frames.dims, *self.frames.coordinates}
        return name if name not in taken else f"forecast_{name}"

    def describe(self) -> str:
        """Say in a line what was forecast."""
        names, times = ", ".join(self.names), self.valid_times
        starts = "" if self.single else f" from {len(self.starts)} starts"
        first, last = readable(times[0, 0], SHOWN), readable(times[-1, -1], SHOWN)
        members = "" if self.members is None else f", {self.members} members"
        if self.drawn and self.members in (None, 1):
            members = ", one member of an ensemble (--members M for more)"
        return f"{self.steps} frames of {names}{starts}{members}, {first} to {last}"

    def coordinates(self) -> xr.Dataset:
        """Coordinates and attributes of the forecast, without its variables."""
        frames = self.frames
        kept = {
            name: (c.dims, c.values, carried(c.attributes), dict(c.encoding))
            for name, c in frames.coordinates.items()
            if frames.time_dim not in c.dims and not _is_of_the_input(c)
        }
        attributes = carried(frames.attributes)
        extra = {
            each.name: ((each.name,), each.values, each.attributes)
            for output in self.outputs
            for each in output.extra
        }
        dataset = xr.Dataset(coords=kept | self._time_coordinates() | extra, attrs=attributes)
        dataset.attrs["history"] = self._history()
        dataset.attrs[MARKED] = MARK
        return dataset

    def _history(self) -> str:
        """The history of the input, and a line of our own: date, command and version."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{now}: {self.command} (framecast {version('framecast')})"
        before = carried(self.frames.attributes).get("history")
        return f"{before}\n{line}" if before else line

    def _time_coordinates(self) -> dict[str, Any]:
        time = self.frames.time_dim
        axis = self.frames.coordinates.get(time)
        attributes = carried(axis.attributes, "bounds", "climatology") if axis else {}
        if attributes.get("standard_name") == _REFERENCE:
            attributes["standard_name"] = "time"  # of analyses, which are their own start
        encoding = {k: v for k, v in axis.encoding.items() if k != "dtype"} if axis else {}
        starts = self.frames.times[self.starts]
        lead, lead_attributes = self._lead_times(starts)
        start_attributes = {"long_name": "last known time", **attributes}
        start_attributes["standard_name"] = _REFERENCE
        if self.single:
            return {
                time: ((time,), self.valid_times[0], attributes, encoding),
                self.lead_name: ((time,), lead, lead_attributes),
                self.start_name: ((), starts[0], start_attributes, encoding),
            }
        return {
            self.start_name: ((self.start_name,), starts, start_attributes, encoding),
            self.lead_name: ((self.lead_name,), lead, lead_attributes),
            time: ((self.start_name, self.lead_name), self.valid_times, attributes, encoding),
        }

    def _lead_times(self, starts: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
        attributes = {"standard_name": "forecast_period", "long_name": "time since start"}
        ahead = self.valid_times[0] - starts[0]
        if self._leads_differ(starts, ahead):
            far = ", as many months ahead," if self.frames.step and self.frames.step.months else ""
            dates = f"those from other starts{far} are in {self.frames.time_dim}"
            attributes = {"long_name": f"time since the first start; {dates}"}
        if np.issubdtype(ahead.dtype, np.timedelta64):
            return ahead / np.timedelta64(1, "h"), {**attributes, "units": "hours"}
        if ahead.dtype == object:
            hours = np.array([delta.total_seconds() / 3600 for delta in ahead])
            return hours, {**attributes, "units": "hours"}
        return ahead, attributes

    def _leads_differ(self, starts: np.ndarray, ahead: np.ndarray) -> bool:
        """Whether it is longer to a lead time from some starts than from the first.

        It is for months, which differ in length, and where times are not even.
        """
        apart = np.abs(self.valid_times - starts[:, None] - ahead)
        step = self.frames.step
        if step is None or step.difference is None:
            return bool(np.any(apart != apart.flat[0]))
        return bool(np.any(apart > 2 * max(self.frames.tolerance, 1e-6) * step.difference))


def _is_of_the_input(coordinate: Coordinate) -> bool:
    """Whether it says when the input was forecast, or how far ahead, which a forecast has anew."""
    said = str(coordinate.attributes.get("standard_name"))
    return coordinate.dims == () and said in (_REFERENCE, "forecast_period")
