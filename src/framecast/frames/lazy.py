"""Values that are read where they are asked for: a window at a time, never all in memory.

What makes or reads the frames of a data set is a `Reader`, three members of its own. `LazyValues`
makes a reader look like the tensor [N,T,C,H,W] that it stands for: it has a shape, is cut by slices
without reading anything, and gives a tensor for a stretch of one sequence. `Frames.values` may be
either, and what works on frames takes both:

    values[2:5, 10:]    sequences 2 to 4 from frame 10 on: the same kind, nothing is read
    values[3, 10:30]    20 frames of sequence 3: a tensor [T,C,H,W]
    load(values)        all of it: a tensor [N,T,C,H,W]

Sequences that are read may differ in length; T is that of the longest. A reader of chunks of
several frames may say so by an attribute `chunks` (`frames/chunks.py`): windows are then drawn in
an order in which no chunk is read again and again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, overload, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.frames.chunks import Chunks

HELD = 1 << 30
"""Bytes of float32 values up to which a file is read whole; larger ones are read lazily."""


@runtime_checkable
class Reader(Protocol):
    """Reads, or makes, stretches of the sequences of one data set."""

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W) of all that there is."""

    @property
    def source(self) -> str:
        """Where the values come from, for messages."""

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence, float32, in physical units."""

    def fingerprint(self) -> str:
        """Return a digest of the values, or of all that they follow from."""


@dataclass(frozen=True, eq=False)
class LazyValues:
    """What a reader gives, or a part of it: some sequences, and a stretch of their frames.

    Attributes:
        reader: of the whole.
        sequences: those that are part of it.
        times: the frames that are part of it.
        ends: frames of each of the reader's sequences, where they do not all have T.
    """

    reader: Reader
    sequences: range
    times: range
    ends: tuple[int, ...] | None = None

    @classmethod
    def of(cls, reader: Reader, ends: tuple[int, ...] | None = None) -> "LazyValues":
        """Return all that a reader gives.

        Raises:
            UserError: if one frame does not fit into memory.
        """
        _check_room(reader.source, 1, reader.shape)
        return cls(reader, range(reader.shape[0]), range(reader.shape[1]), ends)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W); T of the longest sequence."""
        return len(self.sequences), len(self.times), *self.reader.shape[2:]

    @property
    def lengths(self) -> list[int]:
        """Frames of each sequence."""
        if self.ends is None:
            return [len(self.times)] * len(self)
        return [len(self._times_of(place)) for place in self.sequences]

    @property
    def chunks(self) -> Chunks | None:
        """How the values are stored; None where each frame is on its own."""
        chunks = stored_in(self.reader)
        return None if chunks is None else chunks.part(self.sequences, self.times)

    @property
    def ndim(self) -> int:
        """5."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.sequences)

    @overload
    def __getitem__(self, place: tuple[int, slice]) -> Tensor: ...
    @overload
    def __getitem__(self, place: tuple[slice, slice]) -> "LazyValues": ...
    def __getitem__(self, place: tuple[int | slice, slice]) -> "Tensor | LazyValues":
        """Read a stretch [T,C,H,W] of one sequence, or choose a part without reading it.

        As with any slice, a stretch ends with its sequence.

        Raises:
            UserError: if it cannot be read, does not fit into memory, or has an infinite value.
            ValueError: if the slice over time leaves frames out.
        """
        sequence, stretch = place
        if self.times[stretch].step != 1:
            raise ValueError(f"frames are read in stretches, not {stretch}")
        if isinstance(sequence, slice):
            part = replace(self, sequences=self.sequences[sequence], times=self.times[stretch])
            return replace(part, times=part.times[: max(part.lengths, default=0)])
        place_of = self.sequences[sequence]
        times = self._times_of(place_of)[stretch]
        _check_room(self.reader.source, len(times), self.shape)
        values = self.reader.read(place_of, times.start, times.stop)
        # A sum is not finite where any value is not; ten times as fast as to ask each value.
        if not values.sum().isfinite() and values.isinf().any():
            raise UserError(
                f"{self.reader.source}: sequence {place_of} has infinite values in frames "
                f"{times.start} to {times.stop - 1}. Infinity is no measurement: write NaN where "
                "a value is missing"
            )
        return values

    def _times_of(self, place: int) -> range:
        """The frames that are part of it, of one of the reader's sequences."""
        if self.ends is None:
            return self.times
        return self.times[: max(0, self.ends[place] - self.times.start)]

    def fingerprint(self) -> str:
        """Return a text that is the same for the same values."""
        return f"{self.reader.fingerprint()} {self.sequences} {self.times}"


Values = Float[Tensor, "N T C H W"] | LazyValues
"""Values of frames: held in memory, or read where they are asked for."""


def lengths(values: Values) -> list[int]:
    """Return the number of frames of each sequence."""
    return values.lengths if isinstance(values, LazyValues) else [values.shape[1]] * len(values)


def stored_in(reader: Reader) -> Chunks | None:
    """Return how a reader's frames are stored; None where it does not say so."""
    chunks: Chunks | None = getattr(reader, "chunks", None)
    return chunks


def chunks_of(values: Values) -> Chunks | None:
    """Return how values are stored; None where they are in memory, or each frame on its own."""
    return values.chunks if isinstance(values, LazyValues) else None


def load(values: Values) -> Float[Tensor, "N T C H W"]:
    """Read all values into memory; the sequences must have one length."""
    if isinstance(values, Tensor):
        return values
    _check_room(values.reader.source, sum(values.lengths), values.shape)
    return torch.stack([values[sequence, :] for sequence in range(len(values))])


def held(values: Values) -> Values:
    """Return values in memory where they are few, and lazy ones elsewhere."""
    alike = len(set(lengths(values))) == 1
    return load(values) if alike and 4 * math.prod(values.shape) <= HELD else values


def _check_room(source: str, frames: int, shape: Sequence[int]) -> None:
    """Refuse frames that do not fit into memory, as they are stored and in float32."""
    _, _, channels, height, width = shape
    check_memory(
        2 * 4 * frames * channels * height * width,
        f"{source}: reading {frames} frames of {channels} × {height} × {width} values at once",
        "Read fewer frames at once (training.context, training.horizon), fewer variables "
        "(data.variables), or make the frames smaller (data.options.size for video)",
    )
