"""Training by several processes of this machine, which framecast starts itself.

`torchrun` does the same, and on several machines. Here the processes begin from a resolved
configuration, a signal reaches each of them once, and what they say is not wrapped in another's
words.
"""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from framecast.base.config import dump_config
from framecast.base.errors import StoppedError, ToldError, UserError
from framecast.base.whole import write_text
from framecast.runs.experiment import Experiment
from framecast.train.stopping import PATIENCE, stopping

_WAIT = 0.2
"""Seconds between two looks at the processes."""

Processes = Sequence["subprocess.Popen[bytes]"]


def launch(experiment: Experiment, out: Path, resume: bool, device: str, count: int) -> Path:
    """Train by `count` processes; return the run folder.

    Args:
        experiment: the configuration.
        out: the run folder.
        resume: whether to go on with what is there.
        device: as in `train`.
        count: of the processes, above 1.

    Raises:
        UserError: if one of them failed, which has said why, or was killed.
        StoppedError: if a signal asked to stop; what was reached is saved.
    """
    resumes = f"go on with framecast train --resume --out {shlex.quote(str(out))}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        write_text(config, dump_config(experiment))
        command = ["train", str(config), "--out", str(out), "--device", device]
        command += ["--resume"] if resume else []
        farewell = f"{out}: the processes take too long to stop; {resumes}"
        with stopping(f"framecast train: {farewell}", insists=False) as stop:
            processes = _start(command, count)
            try:
                while any(p.poll() is None for p in processes) and stop.asked is None:
                    if any(p.poll() for p in processes):
                        break
                    time.sleep(_WAIT)
            finally:
                stop.cancel()  # they have a time limit of their own
                codes = _end(processes)
    if stop.asked is not None:
        raise StoppedError(f"{out}: what was reached is saved; {resumes}", stop.asked)
    killed = [rank for rank, code in enumerate(codes) if code == -9]
    if killed:
        raise UserError(
            f"process {killed[0] + 1} of {count} was killed, perhaps for want of memory, and the "
            f"others have ended too. What was saved last stands: {resumes}"
        )
    if any(codes):
        raise ToldError(f"training failed in {count} processes")
    return out


def _start(command: Sequence[str], count: int) -> Processes:
    """Start the processes, the first of which speaks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count)),
    }
    return [
        # A session of its own: Ctrl-C reaches it through us, and once.
        subprocess.Popen(
            [sys.executable, "-m", "framecast", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]


def _end(processes: Processes) -> list[int]:
    """Let those that still run save what they reached, end them, and return what they ended by."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    end = time.monotonic() + 2 * PATIENCE
    for process in processes:
        try:
            process.wait(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return [process.returncode for process in processes]
