"""Memory and time of a training step over a long window, in each way that it can be run.

Each way runs in a process of its own, whose peak of resident memory is read before its steps and
after them; on Linux only. As in training, freed memory is kept for the next step.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import print_table
from framecast.frames.batch import Batch
from framecast.models import Forecaster, ForecasterConfig
from framecast.runs.config import TrainingConfig
from framecast.train.allocator import kept_memory
from framecast.train.step import Training, make_training

LAYERS = ("conv_lstm", "conv_s5")
FRAMES = (150, 600)
GRID = (32, 32)
STEPS = 4
"""Of which the last is timed."""
WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "recompute_layers": {"recompute_layers": True},
    "chunk 30": {"chunk": 30},
    "chunk 30, recompute_layers": {"chunk": 30, "recompute_layers": True},
    "chunk 30, truncate": {"chunk": 30, "truncate": True},
}


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    rows = [row(layer, frames, way) for layer in LAYERS for frames in FRAMES for way in WAYS]
    print_table("A teacher-forced step, 2 layers of 16 channels, 32×32, batch 1", rows)
    return {"steps": rows}


def row(layer: str, frames: int, way: str) -> dict[str, object]:
    """Measure one way in a new process."""
    command = [sys.executable, "-m", "benchmarks.memory", layer, str(frames), way]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    measured = json.loads(result.stdout)
    return {
        "layer": layer,
        "frames": frames,
        "way": way,
        "memory": f"{measured['mebibytes']:.0f} MiB",
        "step": f"{measured['seconds']:.2f} s",
    }


def measure(layer: str, frames: int, way: str) -> dict[str, float]:
    """Peak memory of steps beyond what the process had before, and the time of the last one."""
    training, batch = step_of(layer, frames, way, GRID)
    whole = training.model.weigh(batch)
    before = _peak()
    with kept_memory():
        for _ in range(STEPS):
            start = time.perf_counter()
            training.accumulate(batch, whole, training.config.unrolling(0.0))
            seconds = time.perf_counter() - start
    return {"mebibytes": _peak() - before, "seconds": seconds}


def step_of(layer: str, frames: int, way: str, grid: tuple[int, int]) -> tuple[Training, Batch]:
    """A network under training, and a random window."""
    torch.manual_seed(0)
    model = Forecaster(ForecasterConfig(layer=layer, depth=2, hidden=16), 1)
    config = TrainingConfig(context=frames, horizon=1, **WAYS[way])
    return make_training(model, config), Batch(torch.randn(1, config.window, 1, *grid))


def check() -> None:
    """All ways but truncation give the same gradients."""
    for layer in LAYERS:
        gradients = []
        for way in WAYS:
            training, batch = step_of(layer, 70, way, (8, 8))
            training.accumulate(batch, training.model.weigh(batch), training.config.unrolling(0.0))
            parameters = training.model.parameters()
            flat = [p.grad.flatten() for p in parameters if p.grad is not None]
            gradients.append(torch.cat(flat))
        for exact in gradients[1:-1]:
            torch.testing.assert_close(exact, gradients[0], rtol=1e-3, atol=1e-5)


def _peak() -> float:
    """Peak of resident memory so far, in MiB; `getrusage` would count the parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    name, length, how = sys.argv[1:]
    print(json.dumps(measure(name, int(length), how)))
