"""What a forecast reads: past frames, and what is known ahead of time of those that follow."""

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
        return Batch.stack([
            self.windows.make(self.windows.values(place, place.start + self.context), place)
            for place in self.places
        ])  # fmt: skip

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
        """Forcings of a forecast in physical units: the frames' own, then the further ones."""
        frames, (sequence, start) = self.windows.frames, self.places[number]
        count = self.context + self.steps
        channels = [c.name for c in self.windows.scaling.spec.of_role("forcing")]
        if not channels:
            return torch.zeros(count, 0, *frames.grid)
        stop = min(frames.piece_of(sequence, start).stop, start + count)
        own = frames.values[sequence, start:stop][:, [frames.names.index(n) for n in channels]]
        if len(own) == count:
            return own
        later = self._further(channels, self.times[number][len(own) :], sequence)
        if len(own) + len(later) < count:
            self._refuse("forcings " + ", ".join(channels), number, len(own) + len(later))
        return torch.cat([own, *later])

    def _further(
        self, channels: Sequence[str], times: np.ndarray, sequence: int
    ) -> list[Float[Tensor, "1 F H W"]]:
        """Forcings at later times, from the further file, as far as it has them."""
        if self.further is None:
            return []
        order = [self.further.names.index(name) for name in channels]
        sequence = min(sequence, len(self.further.values) - 1)
        return [
            self.further.values[sequence, place : place + 1][:, order]
            for place in self._places(self.further, times)
        ]

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
        """Time since the frame before: as given in the context, and one step ahead of it."""
        given = self.windows.intervals
        if given is None:
            return None
        parts = [given[place.start : place.start + self.context] for place in self.places]
        return torch.cat([torch.stack(parts), torch.ones(len(parts), count - self.context)], dim=1)

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
