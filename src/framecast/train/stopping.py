"""Stopping a run: a signal lets the step at hand end, so that what was reached can be saved."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from framecast.base.errors import StoppedError
from framecast.base.ranks import Ranks

__all__ = ["PATIENCE", "Stop", "StoppedError", "stopping"]

PATIENCE = 9.0
"""Seconds from a signal after which the process ends, however long the step at hand takes."""


class Stop:
    """Whether a signal has asked the run to stop.

    Attributes:
        asked: number of the signal; None until then.
    """

    def __init__(self, farewell: str, insists: bool = True) -> None:
        self.asked: int | None = None
        self._farewell, self._insists = farewell, insists
        self._timer = threading.Timer(PATIENCE, self._leave)
        self._timer.daemon = True

    def ask(self, number: int, _: FrameType | None = None) -> None:
        """Ask to stop, as a handler of signals. A second time, leave at once, if it insists."""
        if self.asked is None:
            self.asked = number
            self._timer.start()
        elif self._insists:
            self._leave()

    def agreed(self, ranks: Ranks) -> bool:
        """Return whether any of the processes that share the work was asked; then all are."""
        if ranks.any(self.asked is not None) and self.asked is None:
            self.asked = signal.SIGTERM
        return self.asked is not None

    def cancel(self) -> None:
        """Take the time limit back."""
        self._timer.cancel()

    def _leave(self) -> None:
        """End the process. A file that is being written is lost, what it was to replace stands."""
        assert self.asked is not None
        print(self._farewell, file=sys.stderr, flush=True)
        os._exit(128 + self.asked)


@contextmanager
def stopping(farewell: str, insists: bool = True) -> Iterator[Stop]:
    """While it is open, SIGINT and SIGTERM ask to stop rather than break the program off.

    Outside the main thread nothing changes, since only that may handle signals.

    Args:
        farewell: what is said where the step at hand takes too long to be waited for.
        insists: whether a second signal ends the process at once. What starts several processes
            hands a signal on that the terminal has sent to all of them already.
    """
    stop, former = Stop(farewell, insists), {}
    if threading.current_thread() is threading.main_thread():
        former = {n: _handle(n, stop.ask) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        stop.cancel()
        for number, handler in former.items():
            _handle(number, handler)


def _handle(number: signal.Signals, handler: Any) -> Any:
    return signal.signal(number, handler)
