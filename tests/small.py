"""A small data set and a small run, for the tests of training and what follows it."""

import numpy as np

from framecast.data.sources import DataConfig
from framecast.models import ForecasterConfig
from framecast.train import Experiment, TrainingConfig


def travelling_wave(sequences=6, length=16, size=8):
    """Sine waves that move one cell a frame, [N,T,1,H,W]: easy to learn, hard to persist."""
    random = np.random.default_rng(0)
    phase = random.uniform(0, 2 * np.pi, (sequences, 1, 1, 1))
    t, x = np.arange(length)[:, None, None], np.arange(size)
    wave = np.sin(2 * np.pi * (x - t) / size + phase) * np.ones((size, 1))
    return (3 + 2 * wave)[:, :, None].astype(np.float32)


def experiment(folder, data=None, model=None, **training):
    """An experiment on travelling waves in `folder`, small enough for a test."""
    path = folder / "waves.npy"
    if not path.exists():
        np.save(path, travelling_wave())
    settings = {"context": 4, "horizon": 3, "epochs": 2, "batch_size": 2, "noise": 0.01}
    network = {"depth": 2, "hidden": 6, "padding": "circular"}
    return Experiment(
        DataConfig(path=str(path), **(data or {})),
        ForecasterConfig(**network | (model or {})),
        TrainingConfig(**settings | training),
    )
