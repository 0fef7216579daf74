"""The one thread that computes: requests wait for it in a short line, each with a deadline."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class BusyError(Exception):
    """Too many requests wait already."""


class LateError(Exception):
    """A request was not done by its deadline."""


class Deadline:
    """When a request must be done.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise a LateError once it is over: to be called between steps."""
        if time.monotonic() > self.end:
            raise LateError


class Worker:
    """Computes one request at a time, so that a device and the memory serve one at a time.

    Args:
        waiting: requests that may wait, beside the one that is computed.
        seconds: from the arrival of a request to its deadline.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        self.most, self.seconds = waiting + 1, seconds
        self.inside = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forecast")

    async def run(self, job: Callable[[Deadline], Result]) -> Result:
        """Return the result of a job, which looks at its deadline between steps.

        Raises:
            BusyError: if the line is full.
            LateError: if it is not done by its deadline.
        """
        if self.inside >= self.most:
            raise BusyError
        self.inside += 1
        deadline = Deadline(self.seconds)

        def work() -> Result:
            deadline.check()
            return job(deadline)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.inside -= 1

    def close(self) -> None:
        """Let go of the thread, once it is done with its job."""
        self._thread.shutdown(cancel_futures=True)
