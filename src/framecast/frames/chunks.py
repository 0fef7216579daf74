"""How frames are stored: in chunks, of which none is read in part."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Chunks(NamedTuple):
    """Which frames are stored together.

    Attributes:
        starts: place of the first frame of each chunk, ascending from 0.
        length: frames of the longest sequence.
        groups: number of the chunks that each sequence lies in, [N]; None where no two sequences
            share any.
    """

    starts: Int[np.ndarray, " K"]
    length: int
    groups: Int[np.ndarray, " N"] | None = None

    @property
    def frames(self) -> float:
        """Frames of a chunk, on average."""
        return self.length / len(self.starts)

    @property
    def sequences(self) -> float:
        """Sequences that share a chunk, on average."""
        return 1.0 if self.groups is None else len(self.groups) / len(np.unique(self.groups))

    def cost(self, length: int) -> float:
        """Frames that are read for each frame of a window of a length, on its own."""
        return self.sequences * (length + self.frames - 1) / length

    def part(self, sequences: range, times: range) -> "Chunks":
        """Return the chunks of some sequences and times, counted from the first of these."""
        inside = self.starts[(self.starts > times.start) & (self.starts < times.stop)]
        starts = np.concatenate([[0], inside - times.start])
        groups = None if self.groups is None else self.groups[sequences.start : sequences.stop]
        return Chunks(starts, len(times), groups)

    def at(self, places: Int[np.ndarray, " T"]) -> "Chunks":
        """Return the chunks of some frames alone, counted from the first of these."""
        starts = np.unique(np.searchsorted(places, self.starts))
        return Chunks(starts[starts < len(places)], len(places), self.groups)


def behind_one_another(parts: Sequence[Chunks | None], lengths: Sequence[int]) -> Chunks | None:
    """Return the chunks of parts that follow one another in time; None if none has any."""
    if all(part is None for part in parts):
        return None
    ends = np.cumsum(lengths)
    starts = [
        end - length + (np.arange(length) if part is None else part.starts)
        for part, length, end in zip(parts, lengths, ends, strict=True)
    ]
    groups = next((p.groups for p in parts if p is not None and p.groups is not None), None)
    return Chunks(np.concatenate(starts), int(ends[-1]), groups)


def side_by_side(
    parts: Sequence[Chunks | None], lengths: Sequence[int], counts: Sequence[int]
) -> Chunks | None:
    """Return the chunks of parts whose sequences stand side by side; those of the longest count."""
    if all(part is None for part in parts):
        return None
    numbers, taken = [], 0
    for part, count in zip(parts, counts, strict=True):
        own = np.arange(count) if part is None or part.groups is None else part.groups
        numbers.append(own + taken)
        taken += int(own.max()) + 1
    length = max(lengths)
    longest = parts[int(np.argmax(lengths))]
    starts = np.arange(length) if longest is None else longest.starts
    groups = np.concatenate(numbers)
    alone = len(np.unique(groups)) == len(groups)
    return Chunks(starts, length, None if alone else groups)
