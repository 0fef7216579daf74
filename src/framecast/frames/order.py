"""The order in which windows are learned from: random, and cheap to read."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from framecast.frames.batch import Place
from framecast.frames.chunks import Chunks


class Order(NamedTuple):
    """Windows in the order in which they are learned from.

    Attributes:
        sequences: of each window.
        starts: place of its first frame.
        runs: number of the run of chunks that it is read from; None where each is read alone.
    """

    sequences: Int[np.ndarray, " n"]
    starts: Int[np.ndarray, " n"]
    runs: Int[np.ndarray, " n"] | None = None

    def places(self) -> Iterator[Place]:
        """Yield where each window begins."""
        for sequence, start in zip(self.sequences, self.starts, strict=True):
            yield Place(int(sequence), int(start))

    def at(self, windows: Int[np.ndarray, " k"]) -> "Order":
        """Return some windows, by their places in the order."""
        part: Any = [None if part is None else part[windows] for part in self]
        return Order(*part)

    def reads(self, size: int) -> list[Int[np.ndarray, " k"]]:
        """Return the windows, by their places in the order, that are read at once.

        These are the windows of a run, as they are stored, or else of a batch. The reads come in
        the order in which the first window of each is needed.

        Args:
            size: windows of a batch.
        """
        windows = np.arange(len(self.starts))
        if self.runs is None:
            return np.split(windows, windows[size::size])
        _, first, run = np.unique(self.runs, return_index=True, return_inverse=True)
        stored = np.lexsort((self.starts, self.sequences, run))
        reads = np.split(stored, np.cumsum(np.bincount(run))[:-1])
        return [reads[one] for one in np.argsort(first)]


BUFFER = 1 << 29
"""Bytes of windows among which the order is random, where frames are stored in chunks."""
MIXED = 8
"""Runs of chunks that are mixed at least, if they are longer than one chunk."""
FEWEST = 4
"""Runs that are mixed at least, however large they are."""
DEAR = 1.5
"""Frames that may be read for each frame of a window, before windows are read by runs."""


def by_runs(order: Order, chunks: Chunks, length: int, size: int, seed: Sequence[int]) -> Order:
    """Put windows into an order in which chunks are read once, or nearly so.

    Neighbouring chunks make runs. Runs are shuffled, and so are the windows of as many runs as fit
    into `BUFFER`, which are read together; so every window is there once, and its neighbours in the
    order come from many runs. A run is long enough that what windows need beyond its end adds no
    more than half to what is read, if `MIXED` such runs fit.

    Args:
        order: any.
        chunks: how the frames are stored.
        length: frames of a window.
        size: bytes of a window.
        seed: decides the order.

    Returns:
        The order as it is, where windows can be read one by one at less than 1.5 times their size.
    """
    if chunks.cost(length) <= DEAR:
        return order
    random = np.random.default_rng(seed)
    runs = _runs(order, chunks, _chunks_of_run(chunks, length, size))
    windows = np.bincount(runs)
    turns = random.permutation(len(windows))
    before = np.cumsum(windows[turns]) - windows[turns]
    mixtures = np.minimum(before // max(1, BUFFER // size), np.arange(len(turns)) // FEWEST)
    turn = np.argsort(turns)[runs]
    chosen = np.lexsort((random.random(len(runs)), mixtures[turn]))
    return Order(order.sequences[chosen], order.starts[chosen], turn[chosen])


def mixed_at_once(chunks: Chunks, length: int, frame: int) -> tuple[int, int]:
    """Return how many runs of chunks are mixed at least, and the bytes of their windows.

    Args:
        chunks: how the frames are stored.
        length: frames of a window.
        frame: bytes of a frame.
    """
    together = _chunks_of_run(chunks, length, length * frame)
    run = int(together * chunks.frames * chunks.sequences * frame)
    return max(FEWEST, BUFFER // run), max(BUFFER, FEWEST * run)


def _chunks_of_run(chunks: Chunks, length: int, size: int) -> int:
    """Chunks of a run: two for each that windows may need beyond its end, if enough are mixed."""
    longer = max(1, 2 * math.ceil((length - 1) / chunks.frames))
    size_of_run = longer * chunks.frames * chunks.sequences * size / length
    return longer if MIXED * size_of_run <= BUFFER else 1


def _runs(order: Order, chunks: Chunks, together: int) -> Int[np.ndarray, " n"]:
    """The number of the run that each window begins in, of those in which any does."""
    chunk = np.searchsorted(chunks.starts, order.starts, side="right") - 1
    groups = order.sequences if chunks.groups is None else chunks.groups[order.sequences]
    numbers = groups.astype(np.int64) * len(chunks.starts) + chunk // together
    runs: np.ndarray = np.unique(numbers, return_inverse=True)[1]
    return runs
