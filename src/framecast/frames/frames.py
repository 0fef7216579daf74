"""Frames: sequences of grids with everything that is known about them, validated once."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.channels import Channel, Coordinate, Role
from framecast.frames.labels import Labels
from framecast.frames.lazy import Values, lengths, load
from framecast.frames.times import TOLERANCE, Step, even_stretches, readable, step_of, times_after

__all__ = ["Channel", "Coordinate", "Frames", "Piece", "StaticFields"]


class StaticFields(NamedTuple):
    """Fields that are the same at all times: values [S,H,W] in physical units, and their names."""

    values: Float[Tensor, "S H W"]
    channels: tuple[Channel, ...]


class Piece(NamedTuple):
    """Frames `start` to `stop` - 1 of a sequence, which follow one another at even steps."""

    sequence: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Frames:
    """One or several sequences of frames on one grid, with their labels.

    Attributes:
        values: float32 [N,T,C,H,W], in physical units, NaN where nothing is known: a tensor, or
            `LazyValues`, which are read, and checked, a window at a time.
        channels: one for each of C: prognostic, then diagnostic, then forcing ones.
        dims: names of the dimensions of the source: (time, row, column), or (sequence,
            time, row, column) where it holds several sequences.
        coordinates: by name; the time axis is the one named after its dimension. They may have
            further dimensions, as bounds of cells do.
        attributes: of the whole source.
        source: where the frames come from, for messages.
        static: fields that are the same at all times; None if there are none.
        actions: what is done between each frame and the next, [N,T,A]; None if nothing is.
        action_names: of A actions that are unit vectors, where they are named.
        labels: the class of each sequence, or of each frame; None if they have none.
        irregular: whether steps of any length are allowed, so that time axes are not cut.
        tolerance: share of a step that each time may be off.
        evidence: by dimension of the source, what it was read as, and what that was seen by.

    Raises:
        UserError: if the parts do not fit together, or a value is infinite.
    """

    values: Values
    channels: tuple[Channel, ...]
    dims: tuple[str, ...] = ("time", "y", "x")
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    source: str = "frames"
    static: StaticFields | None = None
    actions: Float[Tensor, "N T A"] | None = None
    action_names: tuple[str, ...] = ()
    labels: Labels | None = None
    irregular: bool = False
    tolerance: float = TOLERANCE
    evidence: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 5 or 0 in self.values.shape:
            raise UserError(
                f"{self.source}: frames must be [N,T,C,H,W] and not empty, "
                f"not {list(self.values.shape)}"
            )
        if len(self.channels) != self.values.shape[2]:
            raise UserError(
                f"{self.source}: {self.values.shape[2]} channels, {len(self.channels)} names"
            )
        if len(self.dims) not in (3, 4) or (len(self.dims) == 3 and len(self.values) > 1):
            raise UserError(
                f"{self.source}: dims {self.dims} do not fit {len(self.values)} sequences"
            )
        if self.labels is not None:
            self.labels.check(len(self.values), self.length, self.source)
        self._check_coordinates()
        self._check_infinite()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W)."""
        return self.values.shape[3], self.values.shape[4]

    @property
    def length(self) -> int:
        """T, frames of the longest sequence."""
        return self.values.shape[1]

    @property
    def lengths(self) -> list[int]:
        """Frames of each sequence."""
        return lengths(self.values)

    @property
    def time_dim(self) -> str:
        """Name of the time dimension."""
        return self.dims[-3]

    @property
    def times(self) -> np.ndarray:
        """The time axis [T]; 0, 1, 2, ... where the source has none."""
        axis = self.coordinates.get(self.time_dim)
        return np.arange(self.length) if axis is None else axis.values

    @property
    def step(self) -> Step | None:
        """Step of the time axis, None where there is one frame only."""
        if self.length < 2:
            return None
        with self._named():
            return step_of(self.times, self.irregular, self.tolerance)

    @cached_property
    def pieces(self) -> list[Piece]:
        """The sequences, cut where frames are missing from the time axis."""
        with self._named():
            even = [range(self.length)]
            if not self.irregular:
                even = even_stretches(self.times, self.tolerance)
        return [
            Piece(sequence, part.start, min(part.stop, length))
            for sequence, length in enumerate(self.lengths)
            for part in even
            if part.start < length
        ]

    @cached_property
    def complete(self) -> bool | None:
        """Whether every value is known; None for values that were not read yet."""
        if not isinstance(self.values, Tensor):
            return None
        return not bool(self.values.isnan().any())

    def piece_of(self, sequence: int, place: int) -> Piece:
        """Return the piece of a sequence that a frame lies in."""
        return next(p for p in self.pieces if p.sequence == sequence and p.start <= place < p.stop)

    def times_from(self, sequence: int, place: int, count: int) -> np.ndarray:
        """Return the times [count] of a frame and of those that follow it at even steps.

        They are the frames' own to the end of their piece, and go on at its step after it.
        """
        own = self.times[place : min(self.piece_of(sequence, place).stop, place + count)]
        missing = count - len(own)
        if missing == 0:
            return own
        if self.step is None:
            raise UserError(f"{self.source} holds one frame: its step in time is not known")
        return np.concatenate([own, times_after(own[-1], self.step, missing)])

    def with_role(self, *roles: Role) -> tuple[Channel, ...]:
        """Return the channels of these roles, in their order."""
        return tuple(channel for channel in self.channels if channel.role in roles)

    @property
    def numbered_actions(self) -> bool:
        """Whether each known action is the unit vector of one of A; True without actions."""
        if self.actions is None:
            return True
        known = self.actions[~self.actions.isnan().any(-1)]
        return bool(((known == 0) | (known == 1)).all() and (known.sum(-1) == 1).all())

    def select(self, sequences: slice = slice(None), times: slice = slice(None)) -> "Frames":
        """Return some of the sequences and a stretch of their frames."""
        values = self.values[sequences, times]
        kept = range(self.length)[times][: values.shape[1]]
        times = slice(kept.start, kept.stop, kept.step)
        chosen = {self.time_dim: times} | ({self.dims[0]: sequences} if len(self.dims) == 4 else {})
        coordinates = {name: _cut(c, chosen) for name, c in self.coordinates.items()}
        actions = None if self.actions is None else self.actions[sequences, times]
        labels = None if self.labels is None else self.labels.select(sequences, times)
        return replace(self, values=values, coordinates=coordinates, actions=actions, labels=labels)

    def predicted(self) -> "Frames":
        """Return the channels that are predicted alone, with all values in memory."""
        kept = [i for i, c in enumerate(self.channels) if c.role != "forcing"]
        channels = tuple(self.channels[i] for i in kept)
        return replace(self, values=load(self.values)[:, :, kept], channels=channels)

    def load(self) -> "Frames":
        """Return the same frames with all values in memory."""
        return replace(self, values=load(self.values))

    def fingerprint(self) -> str:
        """Return a short digest of names, times, values and labels: the same for the same data."""
        digest = hashlib.blake2b(digest_size=12)
        digest.update(repr((self.names, tuple(self.values.shape))).encode())
        digest.update(str(self.times[[0, -1]]).encode())
        if isinstance(self.values, Tensor):
            digest.update(self.values.contiguous().numpy().data)
        else:
            digest.update(self.values.fingerprint().encode())
        for further in (self.static and self.static.values, self.actions):
            if further is not None:
                digest.update(further.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(repr((self.labels.numbers.tolist(), self.labels.names)).encode())
        return digest.hexdigest()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the source in messages about its times."""
        try:
            yield
        except UserError as error:
            raise UserError(f"{self.source}: {error}") from error

    def _check_coordinates(self) -> None:
        sizes = dict(zip(reversed(self.dims), self._sizes(), strict=False))
        for name, c in self.coordinates.items():
            own = dict(zip(c.dims, c.values.shape, strict=False))  # such as both ends of a cell
            expected = tuple(sizes.get(d, own.get(d, -1)) for d in c.dims)
            if c.values.shape != expected:
                raise UserError(
                    f"{self.source}: coordinate {name} {c.values.shape} does not fit "
                    f"{dict(zip(c.dims, expected, strict=True))}"
                )

    def _sizes(self) -> tuple[int, ...]:
        n, t, _, h, w = self.values.shape
        return w, h, t, n

    def _check_infinite(self) -> None:
        if not isinstance(self.values, Tensor):
            return  # each window is checked when it is read
        infinite = self.values.isinf()
        if not infinite.any():
            return
        n, t, c, y, x = (int(i) for i in infinite.nonzero()[0])
        place = f"sequence {n}, time {readable(self.times[t])}, row {y}, column {x}"
        raise UserError(
            f"{self.source}: {int(infinite.sum())} values are infinite, the first in "
            f"{self.names[c]} at {place}. Infinity is no measurement: write NaN where a value is "
            "missing"
        )


def _cut(coordinate: Coordinate, chosen: Mapping[str, slice]) -> Coordinate:
    """A stretch of a coordinate along some dimensions."""
    place: tuple[Any, ...] = tuple(chosen.get(dim, slice(None)) for dim in coordinate.dims)
    return replace(coordinate, values=coordinate.values[(*place, ...)])
