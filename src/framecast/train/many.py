"""Several runs of one recipe side by side, in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from framecast.base.config import dump_config, load_config
from framecast.base.errors import StoppedError, UserError
from framecast.base.whole import PathLike, write_text
from framecast.runs.experiment import Experiment
from framecast.train.stopping import PATIENCE, Stop, stopping

CONFIGS, LOGS = "configs", "logs"
"""Folders beside the runs: what each is trained with, and what it says."""
_WAIT = 0.2
"""Seconds between two looks at the processes."""


class FailedError(UserError):
    """Some of several runs failed.

    Attributes:
        names: of these runs.
    """

    def __init__(self, said: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {words}" for name, words in said.items()))
        self.names = tuple(said)


@dataclass(frozen=True)
class Job:
    """A run that is to be trained.

    Attributes:
        name: of its folder.
        experiment: its configuration.
        values: of the keys by which it differs from the others.
    """

    name: str
    experiment: Experiment
    values: Mapping[str, Any]


def seeds(experiment: Experiment, count: int) -> list[Job]:
    """Return runs that differ by their seed alone: that of the configuration, and those after it.

    Raises:
        UserError: if there is none.
    """
    if count < 1:
        raise UserError(f"--seeds {count} must be at least 1")
    first = experiment.training.seed
    try:
        return [
            Job(
                f"seed_{seed}",
                replace(experiment, training=replace(experiment.training, seed=seed)),
                {"training.seed": seed},
            )
            for seed in range(first, first + count)
        ]
    except ValueError as error:
        raise UserError(f"--seeds {count} from training.seed {first} on: {error}") from error


def begun(out: PathLike) -> list[Job]:
    """Return the runs that a folder was begun with.

    Raises:
        UserError: if a configuration in it is damaged.
    """
    files = sorted((Path(out) / CONFIGS).glob("*.yaml"))
    return [Job(file.stem, load_config(Experiment, file), {}) for file in files]


def train_many(
    jobs: Sequence[Job],
    out: PathLike,
    *,
    parallel: int = 1,
    resume: bool = False,
    device: str = "auto",
) -> list[Path]:
    """Train runs in processes of their own, so many at a time; each has its share of the cores.

    Args:
        jobs: what is trained.
        out: folder of their run folders, their configurations and what they said.
        parallel: processes at a time, at least 1.
        resume: whether runs that were begun go on, and those that are finished are left alone.
        device: as in `train`.

    Returns:
        The run folders, in the order of the jobs.

    Raises:
        UserError: if the folder is not new.
        FailedError: if some runs failed; the others are trained first.
        StoppedError: if a signal asked to stop; all runs have then saved what they reached.
    """
    folder = Path(out)
    if parallel < 1:
        raise UserError(f"--jobs {parallel} must be at least 1")
    if folder.exists() and not resume:
        raise UserError(f"{out} exists: choose another --out, or go on with it by --resume")
    if resume and not (folder / CONFIGS).is_dir():
        raise UserError(f"{out} was not begun with several runs: there is no folder {CONFIGS}")
    _write_configs(jobs, folder, resume)
    with stopping(f"{out}: the runs take too long to stop; go on with --resume") as stop:
        failed = _run_all(jobs, folder, parallel, device, stop)
    if stop.asked is not None:
        raise StoppedError(f"{out}: what was reached is saved. Go on with --resume", stop.asked)
    if failed:
        raise FailedError(failed)
    return [folder / job.name for job in jobs]


def _write_configs(jobs: Sequence[Job], folder: Path, resume: bool) -> None:
    """Write what each run is trained with; refuse to go on with others."""
    for job in jobs:
        file = folder / CONFIGS / f"{job.name}.yaml"
        if not resume:
            write_text(file, dump_config(job.experiment))
        # What an older framecast wrote lacks the keys that are new, and is the same nevertheless.
        elif not file.exists() or load_config(Experiment, file) != job.experiment:
            raise UserError(
                f"{file} does not hold what is asked for now: --resume goes on with the same runs"
            )


def _run_all(
    jobs: Sequence[Job], folder: Path, parallel: int, device: str, stop: Stop
) -> dict[str, str]:
    """Run all jobs; return what those that failed said last, by their names."""
    waiting, failed = list(jobs), {}
    running: dict[str, subprocess.Popen[bytes]] = {}
    threads = max(1, torch.get_num_threads() // min(parallel, len(jobs)))
    while (waiting and stop.asked is None) or running:
        while waiting and len(running) < parallel and stop.asked is None:
            job = waiting.pop(0)
            running[job.name] = _start(job.name, folder, device, threads)
            _tell(f"{job.name}: started, {len(waiting)} to come")
        if stop.asked is not None:
            _end(running)
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                if process.returncode and stop.asked is None:
                    failed[name] = _last_words(folder, name)
                _tell(f"{name}: {'failed' if process.returncode else 'trained'}")
        time.sleep(_WAIT)
    return failed


def _start(name: str, folder: Path, device: str, threads: int) -> "subprocess.Popen[bytes]":
    run = folder / name
    what = ["--resume"] if run.exists() else [str(folder / CONFIGS / f"{name}.yaml")]
    command = [sys.executable, "-m", "framecast", "train", *what]
    logs = folder / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.txt").open("ab") as log:
        # A session of its own: Ctrl-C reaches it through us, and once.
        return subprocess.Popen(
            [*command, "--out", str(run), "--device", device],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )


def _end(running: "Mapping[str, subprocess.Popen[bytes]]") -> None:
    """Let all save what they reached, and wait for them."""
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.wait(timeout=2 * PATIENCE)


def _last_words(folder: Path, name: str) -> str:
    lines = (folder / LOGS / f"{name}.txt").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "ended without a word"


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
