"""One process with all cores beside several with their share of them, training the same network.

Each way trains in processes of its own, so that nothing of one is left to the other; they take
turns. What counts is windows a second in the last epoch of a run, as its log says.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.timing import print_table

LAYERS = ("min_conv_gru", "conv_lstm")
GRIDS = (16, 32)
TURNS = 2
BATCH, WINDOWS, FRAMES = 8, 64, 25
KEYS = (
    "--training.context 20 --training.horizon 5 --training.epochs 2 --training.precision 32 "
    f"--training.batch_size {BATCH} --data.windows_per_epoch {WINDOWS} --data.layout ntchw "
    "--data.validation_fraction 0 --data.test_fraction 0"
)


def run() -> dict[str, object]:
    """All layers and grids, after a check that both ways learn the same."""
    rows = [row(layer, grid) for layer in LAYERS for grid in GRIDS]
    print_table(f"Windows a second, batches of {BATCH}, float32", rows)
    return {"processes": rows}


def row(layer: str, grid: int) -> dict[str, object]:
    """Train a network in both ways, in turns."""
    cores = len(os.sched_getaffinity(0))
    rates: dict[int, list[float]] = {1: [], cores: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = np.random.default_rng(0).normal(size=(WINDOWS, FRAMES, 1, grid, grid))
        np.save(folder / "frames.npy", frames.astype(np.float32))
        losses = []
        for turn in range(TURNS):
            for count, own in rates.items():
                rate, loss = train(folder, f"{count}_{turn}", layer, count)
                own.append(rate)
                losses.append(loss)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)
    one, several = (median(own) for own in rates.values())
    return {
        "layer": layer,
        "grid": f"{grid}×{grid}",
        f"1 process, {torch.get_num_threads()} threads": f"{one:.3g}",
        f"{cores} processes, 1 thread each": f"{several:.3g}",
        "ratio": f"{several / one:.2f}",
    }


def train(folder: Path, name: str, layer: str, count: int) -> tuple[float, float]:
    """Train in so many processes; return windows a second and the loss of the last epoch."""
    command = [sys.executable, "-m", "framecast", "train", "starter", *KEYS.split()]
    command += ["--data.path", str(folder / "frames.npy"), "--model.layer", layer]
    command += ["--training.devices", str(count), "--out", str(folder / name)]
    subprocess.run(command, check=True, capture_output=True)
    last = list(csv.DictReader((folder / name / "log.csv").open()))[-1]
    return float(last["samples_per_second"]), float(last["train_loss"])
