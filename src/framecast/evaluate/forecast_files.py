"""Forecasts that stand in files, ours or anybody's: their starts, lead times and members."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.competitor import Stretch
from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames
from framecast.frames.times import readable

_MEMBERS = ("member", "realization", "number", "ensemble", "ensemble_member")
"""Names of members, where no standard name says it."""
_STARTS = ("start", "init_time", "initial_time", "forecast_reference_time", "reftime", "init")

_OURS = ("start", "forecast_start")
"""What our own files call it; a time of reference beside it may be that of their input."""


@dataclass(frozen=True, eq=False)
class ForecastFile:
    """A file of forecasts, read as frames: a sequence for each start and member.

    Attributes:
        label: what tables call it.
        frames: as they were read.
    """

    label: str
    frames: Frames

    @cached_property
    def starts(self) -> np.ndarray:
        """The times from which it forecasts [S], ascending.

        Where the file does not say, it is the time a step before its first frame.
        """
        return np.unique(self._start_of_each)

    @cached_property
    def leads(self) -> np.ndarray:
        """Times from the start to each frame [K]: durations, or numbers."""
        times = self.frames.times
        if self._counts_leads:
            dated = self._start_of_each.dtype == object  # of a calendar, which adds these alone
            return times.astype("m8[us]").astype(object) if dated else times
        return np.asarray(times - self._start_of_each[0])

    def held_times(self, start: Any) -> np.ndarray | None:
        """Return the dates that the file itself gives to the frames of a start [K], if it does."""
        over = (self.frames.dims[0], self.frames.time_dim)
        dated = [
            c.values
            for c in self.frames.coordinates.values()
            if c.dims == over and c.values.dtype.kind == self.starts.dtype.kind in "MO"
        ]
        if len(dated) != 1:
            return None
        held = dated[0][np.flatnonzero(self._start_of_each == start)[0]]
        return held if np.all(held == held) else None

    def times_from(self, start: Any) -> np.ndarray:
        """Return the times of the frames of a start [K]."""
        held = self.held_times(start)
        return np.array([start + lead for lead in self.leads]) if held is None else held

    @cached_property
    def ahead(self) -> Int[np.ndarray, " K"]:
        """Places of the frames that are forecasts: those after the start.

        The frame at lead time 0 is what the forecast began with.

        Raises:
            UserError: if there are none.
        """
        places = np.flatnonzero(self.leads > self.leads[0] - self.leads[0])
        if not len(places):
            raise UserError(
                f"{self.frames.source} has no frame after its start, {readable(self.starts[0])}"
            )
        return places

    @cached_property
    def table(self) -> Int[np.ndarray, "S M"]:
        """The sequence of each start and member.

        Raises:
            UserError: if starts have different numbers of members.
        """
        rows = [np.flatnonzero(self._start_of_each == start) for start in self.starts]
        counts = {len(row) for row in rows}
        if len(counts) > 1:
            raise UserError(
                f"{self.frames.source}: its starts have {min(counts)} to {max(counts)} members: "
                "score those with the same number"
            )
        return np.stack(rows)

    @property
    def members(self) -> int:
        """M."""
        return len(self.table[0])

    @cached_property
    def _over_sequences(self) -> dict[str, Coordinate]:
        if len(self.frames.dims) < 4:
            return {}
        dim = self.frames.dims[0]
        return {n: c for n, c in self.frames.coordinates.items() if c.dims == (dim,)}

    @cached_property
    def _start(self) -> Coordinate | None:
        """The coordinate of starts, over the sequences or of all of them."""
        alone = {n: c for n, c in self.frames.coordinates.items() if c.dims == ()}
        ours = {name: alone[name] for name in _OURS if name in alone}
        for name, coordinate in {**self._over_sequences, **ours, **alone}.items():
            said = str(coordinate.attributes.get("standard_name", ""))
            if said == "forecast_reference_time" or name.lower() in _STARTS:
                return coordinate
        dated = [c for c in self._over_sequences.values() if c.values.dtype.kind in "MO"]
        return dated[0] if len(dated) == 1 else None

    @property
    def _counts_leads(self) -> bool:
        """Whether the time axis holds lead times rather than dates."""
        durations = self.frames.times.dtype.kind == "m"
        return durations or (self._start is not None and self._start.dims != ())

    @cached_property
    def _start_of_each(self) -> np.ndarray:
        """The start of each sequence [N]."""
        count = len(self.frames.values)
        if self._start is not None:
            return np.broadcast_to(self._start.values, (count,))
        self._check_members()
        times, step = self.frames.times, self.frames.step
        if times.dtype.kind == "m" or step is None or step.difference is None:
            raise UserError(
                f"{self.frames.source} does not say when its forecasts start: a coordinate with "
                "standard_name forecast_reference_time is needed"
            )
        return np.broadcast_to(times[0] - step.difference, (count,))

    def _check_members(self) -> None:
        """Refuse sequences of which nothing says that they are members of one forecast."""
        if len(self.frames.dims) < 4:
            return
        names = {self.frames.dims[0], *self._over_sequences}
        said = {str(c.attributes.get("standard_name", "")) for c in self._over_sequences.values()}
        if not names & {*_MEMBERS} and "realization" not in said:
            raise UserError(
                f"{self.frames.source} has {len(self.frames.values)} sequences over "
                f"{self.frames.dims[0]}, which are neither starts nor members: say which with a "
                "coordinate start of dates, or call the dimension member"
            )


class Filed:
    """Forecasts of a file at the windows of a truth that is aligned with them: a `Competitor`.

    Args:
        file: of forecasts.
        starts: of the windows, places among the starts of the file.
        leads: of the windows, places among its frames.
    """

    def __init__(self, file: ForecastFile, starts: np.ndarray, leads: np.ndarray) -> None:
        self.file, self.starts, self.leads = file, starts, leads

    def predict(self, stretch: Stretch, state: None) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Look the frames up."""
        windows = [
            [self._frames(int(sequence), place.start, stretch.steps) for sequence in row]
            for place in stretch.places
            for row in [self.file.table[self.starts[place.sequence]]]
        ]
        return torch.stack([torch.stack(members) for members in windows], dim=1), None

    def missing(self, start: int, first: int, count: int) -> Bool[Tensor, "T C H W"]:
        """Whether values are NaN, of any member, in frames from one on of a window."""
        sequences = self.file.table[self.starts[start]].tolist()
        each = [self._frames(sequence, first, count).isnan() for sequence in sequences]
        return torch.stack(each).any(0)

    def _frames(self, sequence: int, first: int, count: int) -> Float[Tensor, "T C H W"]:
        places = self.leads[first : first + count]
        low, high = int(places.min()), int(places.max())
        return self.file.frames.values[sequence, low : high + 1][places - low]


def label_of(path: Path, others: set[str]) -> str:
    """Return a short name of a file that none of the others has: its name, or its path."""
    name = path.name.removesuffix(".zip").rsplit(".", 1)[0]
    return name if name not in others else str(path)
