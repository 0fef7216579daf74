"""What a forecast reads: past frames, and what is known ahead of time of those that follow."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.batch import Batch, Conditions, Place, make_conditions
from framecast.frames.frames import Frames
from framecast.frames.times import places_at, readable
from framecast.frames.windows import Windows, fitting_actions

AT_ONCE = 32
"""Steps whose conditions are made at once, which bounds memory."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """The past of B forecasts, and the conditions of their steps.

    Attributes:
        windows: makes batches of the frames.
        places: where each context begins.
        context: frames that are given.
        steps: frames to forecast.
        further: forcings and actions beyond the end of the frames; None for none.

    Raises:
        UserError: if the further frames have other sequences, and when asked for a step whose
            forcings are not known; the last one that is possible is named.
    """

    windows: Windows
    places: Sequence[Place]
    context: int
    steps: int
    further: Frames | None = None

    def __post_init__(self) -> None:
        if self.further is None:
            return
        own, others = len(self.windows.frames.values), len(self.further.values)
        if others not in (1, own):
            raise UserError(
                f"{self.further.source} has {others} sequences, and {self.windows.frames.source} "
                f"{own}: give forcings of one for all of them, or of each"
            )

    @cached_property
    def times(self) -> list[np.ndarray]:
        """Times of each forecast, from its first given frame to its last lead, [context + K]."""
        count = self.context + self.steps
        return [self.windows.frames.times_from(*place, count) for place in self.places]

    def past(self) -> Batch:
        """Return the given frames of all forecasts, and what was known beside them."""
        past = Batch.stack([
            self.windows.make(self.windows.values(place, place.start + self.context), place)
            for place in self.places
        ])  # fmt: skip
        if past.mask is not None:
            read = past.mask[:, :, : len(self.windows.scaling.spec.of_role("prognostic"))]
            self._warn_of_nothing(~read.flatten(1).any(1))
        return past

    def _warn_of_nothing(self, empty: Bool[Tensor, " B"]) -> None:
        """Say that forecasts begin with what is typical, since none of their context is known."""
        if empty.any():
            number = int(empty.nonzero()[0])
            warnings.warn(
                f"{self.windows.frames.source}: of the {self.context} frames up to "
                f"{readable(self.times[number][self.context - 1])} nothing is known, so that the "
                "forecast begins with what is typical of each place: choose another --start, or "
                "more --context",
                stacklevel=2,
            )

    def conditions(self) -> Iterator[Conditions]:
        """Yield the conditions of the context's steps, then of each later step by itself.

        The first have a dimension of time; those of step t after the context have none.
        """
        count = self.context + self.steps - 1
        intervals = self._intervals(count)
        actions = self._actions(count)
        stops = [self.context, *range(self.context + AT_ONCE, count, AT_ONCE), count]
        start = 0
        for stop in sorted(set(stops)):
            part = make_conditions(
                self._forcings(start, stop + 1),
                self.windows.static,
                None if actions is None else actions[:, start:stop],
                None if intervals is None else intervals[:, start:stop],
                len(self.places),
                stop - start,
            )
            if start == 0:
                yield part
            else:
                yield from (part.at(step) for step in range(stop - start))
            start = stop

    def _forcings(self, start: int, stop: int) -> Float[Tensor, "B T F H W"] | None:
        """Forcings at frames start to stop - 1, counted from the first one that is given."""
        scaling, frames = self.windows.scaling, self.windows.frames
        if not scaling.spec.reads_forcings:
            return None
        parts, part = [], slice(start, stop)
        for times, (filled, known) in zip(self.times, self._file_forcings, strict=True):
            parts.append(scaling.forcings(frames, filled[part], known[part], times[part]))
        return torch.stack(parts)

    @cached_property
    def _file_forcings(self) -> list[tuple[Float[Tensor, "T F H W"], Bool[Tensor, "T F H W"]]]:
        """Forcings of the data of each forecast, from its first given frame to its last lead."""
        fill = self.windows.scaling.fill_forcings
        return [fill(self._values(number)) for number in range(len(self.places))]

    def _values(self, number: int) -> Float[Tensor, "T F H W"]:
        """Forcings of a forecast in physical units: the frames' own, then the further ones.

        A frame after the context that holds nothing of a channel is not known yet: files in which
        several variables share an axis of times are filled up so.
        """
        frames, (sequence, start) = self.windows.frames, self.places[number]
        count = self.context + self.steps
        channels = [c.name for c in self.windows.scaling.spec.of_role("forcing")]
        if not channels:
            return torch.zeros(count, 0, *frames.grid)
        stop = min(frames.piece_of(sequence, start).stop, start + count)
        own = frames.values[sequence, start:stop][:, [frames.names.index(n) for n in channels]]
        values = own.new_full((count, *own.shape[1:]), torch.nan)
        values[: len(own)] = own
        self._fill_in(values, channels, number)
        unknown = int(_absent(values).flip(0).int().cumprod(0).sum(0).max())
        known = max(count - unknown, self.context)
        if known < count:
            self._refuse("forcings " + ", ".join(channels), number, known)
        return values

    def _fill_in(
        self, values: Float[Tensor, "T F H W"], channels: Sequence[str], number: int
    ) -> None:
        """Put what the further file knows of the frames after the context where nothing is."""
        if self.further is None:
            return
        order = [self.further.names.index(name) for name in channels]
        sequence = min(self.places[number].sequence, len(self.further.values) - 1)
        absent = _absent(values)
        absent[: self.context] = False
        for row in absent.any(1).nonzero().flatten().tolist():
            for place in self._places(self.further, self.times[number][row : row + 1]):
                found = self.further.values[sequence, place : place + 1][0, order]
                values[row, absent[row]] = found[absent[row]]

    def _places(self, further: Frames, times: np.ndarray) -> list[int]:
        """Where times stand in the further file, up to the first that does not."""
        frames = self.windows.frames
        return places_at(further.times, times, frames.step, frames.tolerance)

    def _actions(self, count: int) -> Float[Tensor, "B T A"] | None:
        if not self.windows.scaling.spec.actions:
            return None
        return torch.stack([self._actions_of(n, count) for n in range(len(self.places))])

    def _actions_of(self, number: int, count: int) -> Float[Tensor, "T A"]:
        """Actions of a forecast: the frames' own, then those of the further file, by time."""
        frames, (sequence, start) = self.windows.frames, self.places[number]
        actions: Any = self.windows.actions
        stop = min(frames.piece_of(sequence, start).stop, start + count)
        parts = [actions[sequence, start:stop]]
        later = self.times[number][stop - start : count]
        if len(later) and self.further is not None:
            further: Any = fitting_actions(self.further, self.windows.scaling.spec)
            place = min(sequence, len(further) - 1)
            parts += [further[place, [row]] for row in self._places(self.further, later)]
        known = torch.cat(parts)
        first_unknown = [*known.isnan().any(1).tolist(), True].index(True)
        if first_unknown < count:
            self._refuse("actions", number, first_unknown + 1)
        return known

    def _intervals(self, count: int) -> Float[Tensor, "B T"] | None:
        """Time since the frame before: the frames' own to their end, and one step after it."""
        given = self.windows.intervals
        if given is None:
            return None
        intervals = torch.ones(len(self.places), count)
        for row, (sequence, start) in zip(intervals, self.places, strict=True):
            stop = min(self.windows.frames.piece_of(sequence, start).stop, start + count)
            row[: stop - start] = given[start:stop]
        return intervals

    def _refuse(self, what: str, number: int, known: int) -> None:
        """Raise a UserError that names the last possible step."""
        times = self.times[number]
        raise UserError(
            f"{self.windows.frames.source}: the {what} are known up to "
            f"{readable(times[known - 1])}. From {readable(times[self.context - 1])} this is "
            f"enough for --steps {max(known - self.context, 0)}, but --steps {self.steps} are "
            "asked for: name a file that holds more with --forcings FILE, or start earlier "
            "with --start"
        )


def _absent(values: Float[Tensor, "T F H W"]) -> Bool[Tensor, "T F"]:
    """Where nothing is known of a channel in a whole frame."""
    return values.isnan().flatten(2).all(2)
