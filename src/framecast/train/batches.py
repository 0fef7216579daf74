"""Batches of windows: read where they are asked for, or ahead by worker processes."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

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
    """

    windows: Windows
    order: CropSampler | Sequence[Place]
    size: int
    workers: Workers | None = None
    part: int = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return -(-len(self.order) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the epoch that are left."""
        order = self._order()
        reads, count = order.reads(self.size), len(order.starts)
        answers = zip(reads, self._read(list(order.at(r).places()) for r in reads), strict=True)
        there: dict[int, Batch] = {}
        for start in range(0, count, self.size):
            wanted = range(start, min(start + self.size, count))
            while not all(window in there for window in wanted):
                read, batches = next(answers)
                there |= zip(read.tolist(), batches, strict=True)
            yield self.windows.stack([there.pop(window) for window in wanted])

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
