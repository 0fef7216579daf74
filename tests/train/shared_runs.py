"""Runs that several processes share, by name; each process trains them all, in this order."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from framecast import DataConfig, Experiment, ForecasterConfig, TrainingConfig, train
from framecast.base.ranks import joined
from framecast.runs.device import choose_device

SMALL: dict[str, Any] = {"layer": "min_conv_gru", "depth": 2, "hidden": 4}
COMMON: dict[str, Any] = {
    "context": 3,
    "horizon": 3,
    "epochs": 2,
    "batch_size": 4,
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "precision": 32,
    "gradient_clip": 0.5,
}
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "closed loop": ({}, {}),
    "one pass": ({"layer": "conv_s5"}, {"horizon": 1}),
    "scheduled sampling, noise": ({}, {"teacher_forcing": 0.5, "noise": 0.3}),
    "dropout": ({"dropout": 0.4, "layer": "conv_lstm"}, {}),
    "accumulation": ({}, {"accumulate": 3}),
    "chunks": ({}, {"chunk": 2}),
    "truncation": ({"layer": "conv_lstm"}, {"chunk": 2, "truncate": True}),
    "members": ({"noise_channels": 2}, {"loss": "crps", "members": 2}),
}
"""What the network and its training have beside the common."""
GAPS = 0.2
"""Share of the values that are missing: windows then weigh differently."""


def frames() -> np.ndarray:
    """Sequences with gaps."""
    random = np.random.default_rng(0)
    values = random.normal(size=(8, 18, 1, 6, 5)).cumsum(1).astype(np.float32)
    values[random.random(values.shape) < GAPS] = np.nan
    return values


def experiment(name: str, path: Path) -> Experiment:
    """Return a run by its name."""
    model, training = RUNS[name]
    data = DataConfig(
        path=str(path),
        layout="ntchw",
        validation_fraction=0.25,
        test_fraction=0.0,
        windows_per_epoch=17,  # one is left for the last batch, of which most processes have none
    )
    return Experiment(
        data,
        ForecasterConfig(**SMALL | model),
        TrainingConfig(**COMMON | training),
    )


def main(folder: Path) -> None:
    """Train all runs."""
    with joined(choose_device("cpu")):
        for name in RUNS:
            train(experiment(name, folder / "frames.npy"), folder / os.environ["WORLD_SIZE"] / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
