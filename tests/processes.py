"""Processes of tests: whether they are alive, and what a worker has imported."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from framecast.frames.windows import WindowsOfParts


class Spying(WindowsOfParts):
    """Reads windows as a worker does, and tells what was imported for it."""

    def __call__(self, question):
        super().__call__(question)
        return sorted(sys.modules)


def is_alive(pid):
    """Whether a process runs; one that has ended and was not waited for does not."""
    with suppress(FileNotFoundError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def ended(pid, seconds=10):
    """Whether a process ends within some seconds."""
    start = time.monotonic()
    while is_alive(pid):
        if time.monotonic() - start > seconds:
            return False
        time.sleep(0.02)
    return True


def first_frames(values):
    """Read what every kind of file has: a stretch of its first sequence."""
    return values[0, :3]


def together(count, command, **environment):
    """Run a command in several processes that share its work."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    shared |= {"WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1", **environment}
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **shared, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
