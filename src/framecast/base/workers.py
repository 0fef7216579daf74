"""Worker processes that answer questions side by side.

A worker is a fresh interpreter, never a fork: threads of kernels and of HDF5 do not survive one. It
imports what it is given and not the program that started it, so that scripts need no guard around
their main part, and it ends with that program, however that ends: its pipe is then closed.
"""

import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple

from framecast.base.errors import FoundLateWarning, UserError
from framecast.base.messages import pack, receive, send

GRACE = 1.0
"""Seconds that a worker has to finish what it is at, before it is killed."""

_START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.path[:] = {path!r}; "
    "from framecast.base.workers import serve; serve()"
)


class Workers:
    """Processes that hold a function and call it with what they are asked.

    Signals that ask a program to stop do not reach them: it is the program that ends them.

    Args:
        count: of the processes, at least 1.
        function: what each of them calls; it is pickled, as are questions and answers.
        name: of the setting that asked for them, for messages.

    Attributes:
        count: of the processes.
        name: of the setting.
    """

    def __init__(self, count: int, function: Callable[[Any], Any], name: str) -> None:
        self.count, self.name = count, name
        self._processes = [_start() for _ in range(count)]
        self._idle: SimpleQueue[Any] = SimpleQueue()
        # A thread for each: it waits for an answer while others ask.
        self._threads = ThreadPoolExecutor(count, "workers")
        self._asked: set[Future[Any]] = set()
        packed = pack(function)
        for process in self._processes:
            self._asked.add(self._threads.submit(self._set_up, process, packed))

    def ask(self, question: object) -> "Future[Any]":
        """Let the next worker that is free answer a question.

        The result raises what the function raised: a UserError with its words, anything else with
        the worker's traceback as a note. It raises a UserError if the worker was killed.
        """
        asked = self._threads.submit(self._answer, question)
        self._asked = {one for one in self._asked if not one.done()} | {asked}
        return asked

    def close(self) -> None:
        """End the processes, and those that they started.

        What they are at may finish within a moment.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        wait(self._asked, GRACE)
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._threads.shutdown()
        for process in self._processes:
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _set_up(self, process: Any, packed: list[memoryview]) -> None:
        try:
            send(process.stdin, packed)
        except OSError:
            pass  # it was killed, which the first question finds out
        finally:
            self._idle.put(process)

    def _answer(self, question: object) -> Any:
        process = self._idle.get()
        try:
            send(process.stdin, pack(question))
            reply: _Reply = receive(process.stdout)
        except (OSError, EOFError):
            raise UserError(self._killed(process)) from None
        finally:
            self._idle.put(process)
        if reply.error is not None:
            raise reply.error
        return reply.value

    def _killed(self, process: Any) -> str:
        code = process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return (
            f"a worker process ({self.name} {self.count}) was ended {how}. Where memory is short, "
            f"the system kills processes: choose fewer of them, or none ({self.name} 0)"
        )


class _Reply(NamedTuple):
    value: Any
    error: Exception | None = None


def _start() -> Any:
    """Start a process that waits for a function; a Popen with pipes that have no buffers."""
    command = [sys.executable, "-c", _START.format(path=sys.path)]
    # Processes share the cores, and give large blocks that they freed back to the system.
    settings = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    settings["MALLOC_MMAP_THRESHOLD_"] = str(1 << 22)
    return subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **settings},
        # A group of its own, which is ended whole. Ctrl-C at a terminal goes to the program's.
        process_group=0,
    )


def serve() -> None:
    """Be a worker: read a function, then questions until there are no more."""
    questions, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a library prints must not come between answers
    warnings.simplefilter("ignore")  # the program that started this one has warned already
    warnings.simplefilter("default", FoundLateWarning)  # but of what it did not read
    warnings.showwarning = _show
    try:
        function = _receive_function(questions)
        while True:
            question = receive(questions)
            send(answers, _packed_reply(function, question))
    except (EOFError, OSError):
        pass  # the program has ended


def _show(message: Warning | str, *_: Any, **__: Any) -> None:
    """Write a warning as the command line does."""
    print(f"framecast: note: {message}", file=sys.stderr)


def _receive_function(questions: Any) -> Callable[[Any], Any]:
    """The function; if it cannot be made here, such as one of the program itself, what says why."""
    try:
        function: Callable[[Any], Any] = receive(questions)
    except EOFError:
        raise
    except Exception as error:
        failed = error

        def fail(_: object) -> None:
            raise failed

        return fail
    return function


def _packed_reply(function: Callable[[Any], Any], question: object) -> list[memoryview]:
    try:
        return pack(_Reply(function(question)))
    except UserError as error:
        return pack(_Reply(None, UserError(str(error))))
    except Exception as error:
        text = f"In a worker process:\n{traceback.format_exc()}"
        error.add_note(text)
        try:
            return pack(_Reply(None, error))
        except Exception:  # an error that cannot be pickled
            return pack(_Reply(None, RuntimeError(text)))
