"""Time that several processes share: which steps of a sequence this one holds.

Each holds a segment of all windows of a batch, and hands over to the next what a recurrence needs
(`layers/time_parallel.py`). As a process has one batch at hand, so has it one segment of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from framecast.base.ranks import Ranks


@dataclass(frozen=True)
class Segment:
    """The steps of a window that a process holds.

    Attributes:
        first: place of the first of its inputs.
        stop: the place after the last.
        whole: T, inputs of the window.
        ranks: processes that hold the segments of a window, in their order.
    """

    first: int
    stop: int
    whole: int
    ranks: Ranks

    @property
    def frames(self) -> slice:
        """The frames that it needs: its inputs, each of which is compared with the one after."""
        return slice(self.first, self.stop + 1)

    def context(self, context: int) -> int:
        """Return how many of its inputs are among the first `context` of the window."""
        return min(max(context - self.first, 0), self.stop - self.first)


def part_time(context: int, further: int, ranks: Ranks) -> Segment | None:
    """Return the segment of a process; None if it shares time with nobody.

    Inputs are shared out evenly, but all that follow the context are of the last process: where the
    network reads its own predictions, each step waits for the one before.

    Args:
        context: inputs that are given, at least as many as processes.
        further: inputs after them.
        ranks: processes that share the time.
    """
    if ranks.count == 1:
        return None
    whole, others = context + further, ranks.count - 1
    last = min(whole * others // ranks.count, context - 1)
    ends = [rank * last // others for rank in range(ranks.count)] + [whole]
    return Segment(ends[ranks.rank], ends[ranks.rank + 1], whole, ranks)


_segment: Segment | None = None


@contextmanager
def holding(segment: Segment | None) -> Iterator[None]:
    """While it is open, windows are those of a segment of time; None for all of it."""
    global _segment
    before, _segment = _segment, segment
    try:
        yield
    finally:
        _segment = before


def segment_here() -> Segment | None:
    """Return the segment of time that windows are of; None for all of it."""
    return _segment
