"""Batches of windows: read where they are asked for, or ahead by worker processes."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from framecast.base.draws import Portion
from framecast.base.ranks import ALONE, Ranks
from framecast.base.workers import Workers
from framecast.frames.batch import Batch, Place
from framecast.frames.order import Order
from framecast.frames.windows import CropSampler, Windows, WindowsOfParts
from framecast.readers.blocks import forget_blocks

AHEAD = 2
"""Reads, each of a batch or of a run of chunks, that are asked for ahead for each worker."""


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of a part of the data, in an order that no worker changes.

    Attributes:
        windows: of the part.
        order: of the windows.
        size: windows in a batch; the last may have fewer.
        workers: processes that read ahead; None to read where a batch is asked for.
        part: by which the workers know the windows.
        ranks: processes that share the batches.
        whole: whether they share whole batches, in turns, or the windows of each.
    """

    windows: Windows
    order: CropSampler | Sequence[Place]
    size: int
    workers: Workers | None = None
    part: int = 0
    ranks: Ranks = ALONE
    whole: bool = False

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return -(-len(self.order) // self.size)

    def __iter__(self) -> Iterator[Batch | None]:
        """Yield the batches of the epoch that are left; what this process has of each, or None."""
        order = self._order()
        count = len(order.starts)
        shares = [self._share(start, count) for start in range(0, count, self.size)]
        mine = order.at(np.array([n for share in shares for n in range(*share[:2])], int))
        reads = mine.reads(self.size)
        answers = zip(reads, self._read(list(mine.at(r).places()) for r in reads), strict=True)
        there: dict[int, Batch] = {}
        done = 0
        for first, stop, portion in shares:
            wanted = range(done, done + stop - first)
            while not all(window in there for window in wanted):
                read, batches = next(answers)
                there |= zip(read.tolist(), batches, strict=True)
            done = wanted.stop
            if wanted:
                batch = self.windows.stack([there.pop(window) for window in wanted])
                yield replace(batch, portion=portion)
            else:
                yield None

    def _share(self, start: int, count: int) -> tuple[int, int, Portion | None]:
        """From where to where this process has the windows of a batch, of so many in all."""
        windows = min(self.size, count - start)
        rank, ranks = self.ranks.rank, self.ranks.count
        if self.whole or ranks == 1:
            mine = start // self.size % ranks == rank
            return start, start + windows * mine, None
        first, stop = rank * windows // ranks, (rank + 1) * windows // ranks
        return start + first, start + stop, Portion(first, stop, windows)

    def count(self, first: int, stop: int) -> int:
        """Return how many windows the batches first to stop - 1 of an epoch have."""
        windows = len(self.order)
        return min(stop * self.size, windows) - min(first * self.size, windows)

    def begin_epoch(self, epoch: int, done: int) -> None:
        """Choose the epoch whose batches come next, and how many windows of it are done."""
        if isinstance(self.order, CropSampler):
            self.order.begin_epoch(epoch, done)

    def _order(self) -> Order:
        if isinstance(self.order, CropSampler):
            return self.order.order()
        places = np.array(self.order)
        return Order(places[:, 0], places[:, 1])

    def _read(self, reads: Iterable[Sequence[Place]]) -> Iterator[list[Batch]]:
        """Read windows, in the order in which they are asked for, here or ahead."""
        if self.workers is None:
            yield from map(self.windows.read, reads)
            return
        asked: deque[Any] = deque()
        try:
            for places in reads:
                asked.append(self.workers.ask((self.part, places)))
                if len(asked) > AHEAD * self.workers.count:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        finally:
            for future in asked:
                future.cancel()

    @property
    def held(self) -> bool:
        """Whether the frames are in memory."""
        return isinstance(self.windows.frames.values, Tensor)


@contextmanager
def reading_ahead(
    train: Batches, validation: Batches | None, count: int
) -> Iterator[tuple[Batches, Batches | None]]:
    """While it is open, worker processes read what is not in memory ahead of its use.

    Args:
        train: batches of the training part.
        validation: of the validation part; None if there is none.
        count: of the processes (data.workers); 0 for none.
    """
    parts = [part for part in (train, validation) if part is not None and not part.held]
    if count == 0 or not parts:
        if count:
            warnings.warn(
                f"data.workers {count}: the frames are held in memory, and nothing is left to be "
                "read ahead. No worker is started",
                stacklevel=2,
            )
        yield train, validation
        return
    forget_blocks()
    read = WindowsOfParts(tuple(part.windows for part in parts))
    with Workers(count, read, "data.workers") as workers:
        ahead = {part: replace(part, workers=workers, part=i) for i, part in enumerate(parts)}
        yield ahead.get(train, train), validation and ahead.get(validation, validation)
