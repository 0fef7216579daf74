"""Runs that several processes share, by name; each process trains them all, in this order.

Called with a folder, and how many processes share the time of each window, or "weights" where
weights are shared out.
"""

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
LONG = {"context": 7, "horizon": 1}
IN_TIME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "given frames": ({}, LONG),
    "closed loop": ({"layer": "min_conv_lstm"}, {"context": 6}),
    "long horizon": ({"layer": "conv_s5"}, {"context": 4, "horizon": 7}),
    "scheduled sampling, noise": (
        {"layer": "min_conv_exp_lstm"},
        {"context": 5, "teacher_forcing": 0.5, "noise": 0.3},
    ),
    "moving states": ({"layer": "conv_ssm"}, {**LONG, "accumulate": 3}),
    "periodic": ({"layer": "conv_ssm", "padding": "circular"}, {**LONG, "recompute_layers": True}),
    "members": ({"noise_channels": 2}, {**LONG, "horizon": 2, "loss": "crps", "members": 2}),
}
"""Those whose time is shared."""
SHARDED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "closed loop": ({"layer": "conv_lstm"}, {"weight_decay": 0.1}),
    "one pass": ({"layer": "conv_s5"}, {"horizon": 1, "accumulate": 3}),
    "truncation": ({"layer": "conv_lstm"}, {"chunk": 2, "truncate": True}),
    "recomputed": ({"dropout": 0.4}, {"recompute_layers": True}),
}
"""Those whose weights are shared out."""
GAPS = 0.2
"""Share of the values that are missing: windows then weigh differently."""


def frames() -> np.ndarray:
    """Sequences with gaps."""
    random = np.random.default_rng(0)
    values = random.normal(size=(8, 18, 1, 6, 5)).cumsum(1).astype(np.float32)
    values[random.random(values.shape) < GAPS] = np.nan
    return values


def experiment(
    name: str, path: Path, time: int | None = None, sharded: bool | None = None
) -> Experiment:
    """Return a run by its name.

    Args:
        name: of the run.
        path: of the frames.
        time: processes that share its time; None for a run of `RUNS`.
        sharded: whether its weights are shared out; None likewise.
    """
    runs = RUNS if time is None else IN_TIME
    model, training = (runs if sharded is None else SHARDED)[name]
    data = DataConfig(
        path=str(path),
        layout="ntchw",
        validation_fraction=0.25,
        test_fraction=0.0,
        # One is left for the last batch, of which most processes have none.
        windows_per_epoch=17 if sharded is None else 16,
    )
    return Experiment(
        data,
        ForecasterConfig(**SMALL | model),
        TrainingConfig(
            **COMMON | training, time_parallel=time or 1, shard_weights=sharded or False
        ),
    )


def main(folder: Path, shared: str = "") -> None:
    """Train all runs."""
    time, sharded = (int(shared) if shared.isdigit() else None), (shared == "weights") or None
    names = SHARDED if sharded else RUNS if time is None else IN_TIME
    with joined(choose_device("cpu")):
        for name in names:
            out = folder / os.environ["WORLD_SIZE"] / name
            train(experiment(name, folder / "frames.npy", time, sharded), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
