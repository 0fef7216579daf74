"""Trainings in several processes beside the same in one."""

import csv
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from shared_runs import experiment, frames

from framecast.train import train
from processes import together

WORK = Path(__file__).with_name("shared_runs.py")


def train_alone(folder, names, *how):
    """Write the frames, and train all runs by one process; `how` as in `shared_runs`."""
    np.save(folder / "frames.npy", frames())
    for name in names:
        train(experiment(name, folder / "frames.npy", *how), folder / "1" / name)


def train_together(folder, count, *how):
    """Train them by so many; `how` is what `shared_runs` is called with."""
    for process in together(count, [str(WORK), str(folder), *how]):
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said


def assert_same(folder, name, count, rtol):
    """Losses and weights are those of one process, but for the order of sums."""
    logs = []
    for processes in (1, count):
        text = (folder / str(processes) / name / "log.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        logs.append([[float(row[c]) for c in ("train_loss", "val_loss")] for row in rows])
    np.testing.assert_allclose(logs[1], logs[0], rtol=rtol)
    one, several = (load_file(folder / str(n) / name / "last.safetensors") for n in (1, count))
    assert one.keys() == several.keys()
    for key, weight in one.items():
        torch.testing.assert_close(several[key], weight, rtol=1e-4, atol=1e-5)
