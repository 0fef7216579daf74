"""Damaged inputs of all kinds through all commands: `make fuzz`, and a few of them in the tests.

Each attempt makes a whole input, damages it, and gives it to a command that reads it. The command
must end with exit code 0 or 2, within a minute, in less than 2 GB more than before, without a
traceback, and without leaving anything half done. Some run in processes of their own, which show a
crash.

    python tests/fuzz.py [--number 1000] [--first 0] [--alone 20]
"""

import argparse
import contextlib
import faulthandler
import io
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file

from framecast.cli import COMMANDS, main
from framecast.train import train
from framecast.train.journal import Journal
from mutations import ENDLESS, SEEDS, damage
from small import experiment, run_on, travelling_wave

SECONDS, BYTES = 60, 2 << 30
"""Limits of an attempt."""
LEFTOVERS = (".partial", ".former", ".lock", ".draft")
SIZES = [
    *("--model.depth", "1", "--model.hidden", "2", "--training.epochs", "1"),
    *("--training.context", "2", "--training.horizon", "1", "--training.batch_size", "8"),
    *("--data.validation_fraction", "0", "--data.test_fraction", "0"),
]
WORDS = (
    "",
    "-1",
    "0",
    "1e9",
    "99999999999999999999",
    "nan",
    "null",
    "[[[[",
    "{a: [}",
    "ü",
    "/",
    "..",
)


class Input(NamedTuple):
    """What is damaged, and a command that reads it."""

    path: Path
    command: list[str]


Maker = Callable[[Path, random.Random], Input]


def data_of(kind: str) -> Maker:
    """A file of frames, which is described, learned from, forecast from or tested on."""

    def make(folder: Path, chance: random.Random) -> Input:
        path = SEEDS[kind](folder)
        run = folder / "run"
        if (name := chance.choice(("inspect", "train", "forecast", "evaluate"))) != "train":
            run.mkdir()
            run_on(path, run)
        out = str(folder / chance.choice(("out.nc", "out.zarr", "out.npz", "out.gif")))
        command = {
            "inspect": ["inspect", str(path)],
            "train": ["train", "starter", "--data.path", str(path), "--out", str(run), *SIZES],
            "forecast": ["forecast", str(run), str(path), "--steps", "2", "--out", out],
            "evaluate": ["evaluate", str(run), "--data", str(path), "--out", f"{folder}/report"],
        }[name]
        return Input(path, command)

    return make


def file_of_run(name: str, command: str) -> Maker:
    """A file of a run that was stopped after its first epoch of two."""

    def make(folder: Path, chance: random.Random) -> Input:
        run, data = _stopped_run(folder), str(folder / "waves.npy")
        commands = {
            "resume": ["train", "--resume", "--out", str(run)],
            "train": ["train", str(run / name), "--out", str(folder / "new")],
            "forecast": ["forecast", str(run), data, "--steps", "2", "--out", f"{folder}/out.npz"],
            "evaluate": ["evaluate", str(run), "--out", f"{folder}/report"],
        }
        return Input(run / name, commands[command])

    return make


def earlier_output(suffix: str) -> Maker:
    """A forecast in whose place another one is to be put."""

    def make(folder: Path, chance: random.Random) -> Input:
        run, data, out = _stopped_run(folder), str(folder / "waves.npy"), folder / f"out{suffix}"
        command = ["forecast", str(run), data, "--steps", "2", "--out", str(out)]
        _quietly(command)
        return Input(out, [*command, *chance.choice(([], ["--overwrite"]))])

    return make


def earlier_report(folder: Path, chance: random.Random) -> Input:
    """A report in whose place another one is to be put."""
    command = ["evaluate", str(_stopped_run(folder)), "--out", str(folder / "report")]
    _quietly(command)
    return Input(folder / "report" / "metrics.json", command)


def published(suffix: str) -> Maker:
    """Published weights, to be made a run."""

    def make(folder: Path, chance: random.Random) -> Input:
        np.save(folder / "waves.npy", travelling_wave())
        weights = {
            "layers.b0l0.weight": torch.ones(8, 3, 3, 3),
            "layers.output.weight": torch.ones(1),
        }
        path = folder / f"weights{suffix}"
        save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
        data = ["--data.path", str(folder / "waves.npy")]
        return Input(path, ["import", str(path), "--out", str(folder / "new"), *data])

    return make


def options(folder: Path, chance: random.Random) -> Input:
    """Nonsense on the command line, beside a file that is whole."""
    np.save(folder / "waves.npy", travelling_wave())
    known = ["--out", f"{folder}/new", "--steps", "--data.path", f"{folder}/waves.npy", "starter"]
    known += ["--training.seed", "--model.depth", "--model.options", "--start", "--context", *SIZES]
    command = chance.choice(sorted(set(COMMANDS) - {"fetch", "simulate"}))
    words = [chance.choice((*known, *WORDS)) for _ in range(chance.randrange(8))]
    return Input(folder / "waves.npy", [command, *words])


MAKERS: dict[str, Maker] = {kind: data_of(kind) for kind in SEEDS}
MAKERS |= {
    f"{name} to {command}": file_of_run(name, command)
    for name, command in (
        *(("best.safetensors", "forecast"), ("best.safetensors", "evaluate")),
        *(("resume.ckpt", "resume"), ("config.yaml", "resume"), ("data.json", "resume")),
        *(("log.csv", "resume"), ("config.yaml", "train"), ("config.yaml", "evaluate")),
        ("config.yaml", "forecast"),
    )
}
MAKERS |= {
    f"earlier {suffix}": earlier_output(suffix) for suffix in (".nc", ".zarr", ".npz", ".gif")
}
MAKERS |= {"earlier report": earlier_report, "options": options}
MAKERS |= {f"published {suffix}": published(suffix) for suffix in (".pt", ".safetensors")}


def attempt(seed: int) -> str | None:
    """Make one attempt; return what was wrong, or None."""
    chance = random.Random(seed)
    kind = list(MAKERS)[seed % len(MAKERS)]
    if (kind, seed) in ENDLESS:
        return None
    # HDF5 holds the interpreter while it hangs; what counts here is in C.
    faulthandler.dump_traceback_later(2 * SECONDS, exit=True)
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        folder = Path(name)
        os.environ["FRAMECAST_CACHE"] = str(folder / "cache")
        path, command = MAKERS[kind](folder, chance)
        if kind != "options":
            damage(path, seed)
        wrong = _judge(command, folder)
    faulthandler.cancel_dump_traceback_later()
    return wrong and f"{kind}: framecast {' '.join(command)}\n{wrong}"


def attempt_alone(seed: int) -> str | None:
    """Make an attempt in a process of its own, which shows a crash."""
    command = [sys.executable, __file__, "--first", str(seed), "--number", "1", "--alone", "0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 60)
    except subprocess.TimeoutExpired:
        return f"attempt {seed} hangs"
    return None if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout[-3000:]}"


def fuzz(first: int, number: int, alone: int) -> list[str]:
    """Make attempts; return what was wrong, each with the command that repeats it."""
    found = []
    for seed in range(first, first + number):
        print(f"attempt {seed}", end="\r", file=sys.stderr)
        apart = alone and seed % alone == alone - 1
        if wrong := attempt_alone(seed) if apart else attempt(seed):
            found.append(f"python tests/fuzz.py --first {seed} --number 1\n{wrong}")
            print(found[-1], flush=True)
    return found


def _judge(command: list[str], folder: Path) -> str | None:
    """Run a command; return what it did that no command may do."""
    before, started = _peak_memory(), time.perf_counter()
    code, said = _quietly(command)
    seconds, size = time.perf_counter() - started, _peak_memory() - before
    left = [file.name for file in folder.rglob(".*") if any(end in file.name for end in LEFTOVERS)]
    wrong = {
        f"exit code {code}": code not in (0, 2),
        "a traceback": "Traceback" in said or "Exception ignored" in said,
        f"{seconds:.0f} s": seconds > SECONDS,
        f"{size / 1e9:.1f} GB": size > BYTES,
        f"it left {', '.join(left)}": bool(left),
    }
    return next((f"{what}\n{said[-3000:]}" for what, holds in wrong.items() if holds), None)


def _quietly(command: list[str]) -> tuple[int | str | None, str]:
    """Run a command; return its exit code, and all that it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code: int | str | None = main(command)
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc(file=said)
            code = None
    return code, said.getvalue()


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_templates: dict[str, tempfile.TemporaryDirectory[str]] = {}


def _stopped_run(folder: Path) -> Path:
    """Copy a run that was stopped after its first epoch, and its data."""
    if "run" not in _templates:
        _templates["run"] = tempfile.TemporaryDirectory(prefix="fuzz")
        _train_and_stop(Path(_templates["run"].name))
    template = Path(_templates["run"].name)
    shutil.copy(template / "waves.npy", folder)
    return Path(shutil.copytree(template / "run", folder / "run"))


def _train_and_stop(folder: Path) -> None:
    end = Journal.end_epoch

    def stop_after_the_first(journal: Journal, *results: object) -> None:
        if journal.rows:
            raise KeyboardInterrupt
        end(journal, *results)  # type: ignore[arg-type]

    Journal.end_epoch = stop_after_the_first  # type: ignore[method-assign,assignment]
    try:
        with contextlib.suppress(KeyboardInterrupt), contextlib.redirect_stderr(io.StringIO()):
            train(experiment(folder, data={"validation_fraction": 0.2}), folder / "run")
    finally:
        Journal.end_epoch = end  # type: ignore[method-assign]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--number", type=int, default=1000, help="attempts")
    parser.add_argument("--first", type=int, default=0, help="seed of the first attempt")
    parser.add_argument("--alone", type=int, default=20, help="each which is a process of its own")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = _options()
    found = fuzz(given.first, given.number, given.alone)
    print(f"{given.number} attempts, {len(found)} of them wrong")
    sys.exit(bool(found))
