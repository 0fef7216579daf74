"""A small data set, network and runs, for the tests of training and what follows it."""

import dataclasses

import numpy as np
import torch
import yaml

from framecast.datasets.config import DataConfig
from framecast.frames.batch import Batch, Conditions
from framecast.frames.roles import FrameSpec
from framecast.frames.scaling import Scaling
from framecast.frames.splits import split
from framecast.frames.statistics import Statistics
from framecast.frames.windows import Windows
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.unroll import Carry, closed_loop
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import BEST, Checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment


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
    settings = {
        "context": 4,
        "horizon": 3,
        "epochs": 2,
        "batch_size": 2,
        "noise": 0.01,
        "precision": 32,
    }
    network = {"depth": 2, "hidden": 6, "padding": "circular"}
    return Experiment(
        DataConfig(path=str(path), **(data or {})),
        ForecasterConfig(**network | (model or {})),
        TrainingConfig(**settings | training),
    )


CONTEXT, HORIZON = 3, 4


def untrained_run(path, data, *, seed=0, normalise="standard", **model):
    """A run folder around an untrained network; the second half of the data is its test part."""
    config = DataConfig(
        path=str(data), validation_fraction=0.0, test_fraction=0.5, normalise=normalise
    )
    train = split(read_frames(data), 0.0, 0.5).train
    network = ForecasterConfig(**{"layer": "min_conv_gru", "depth": 2, "hidden": 4} | model)
    torch.manual_seed(seed)
    Checkpoint(
        model=Forecaster(network, len(train.channels), grid=train.grid),
        statistics=Statistics.of(train, normalise),
        frames=FrameSpec.of(train),
        context=CONTEXT,
        horizon=HORIZON,
        epoch=7,
        loss=0.5,
    ).save(path / BEST)
    described = {
        "data": dataclasses.asdict(config),
        "model": dataclasses.asdict(network),
        "training": {"context": CONTEXT, "seed": seed},
    }
    (path / "config.yaml").write_text(yaml.safe_dump(described))
    return path


def run_on(path, folder, channels=1):
    """An untrained run whose network suits a file."""
    frames = read_frames(path)
    torch.manual_seed(0)
    model = Forecaster(ForecasterConfig(depth=2, hidden=6), channels).eval()
    checkpoint = Checkpoint(model, Statistics.of(frames), FrameSpec.of(frames), 4, 2, 1, 1.0)
    checkpoint.save(folder / "best.safetensors")
    return checkpoint


def small_model(**config):
    """A small network in float64, for frames of two channels."""
    torch.manual_seed(0)
    return Forecaster(ForecasterConfig(depth=2, hidden=4, **config), 2).double()


def small_window(length=8):
    """Three random sequences in float64, [3,length,2,5,6]."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, length, 2, 5, 6, dtype=torch.float64, generator=generator)


def forecast(model, context, steps, state=None, actions=None):
    """Frames that follow a context in the closed loop, each with the state after it."""
    known = context.shape[1]
    of = Conditions(actions=actions)
    predictions, state = model(context, state, of.between(0, known))
    first = Carry(state, predictions[:, -1])
    further = (of.at(step) for step in range(known, known + steps - 1))
    return [(c.frame, c.state) for c in (first, *closed_loop(model, first, further))][:steps]


def scaling_of(frames, **settings):
    """What takes frames, as they are, to what a network sees."""
    statistics = Statistics.of(frames)
    return Scaling(FrameSpec.of(frames, **settings), statistics)


def windows_of(frames, length, **settings):
    """Windows of frames, normalised by their own statistics."""
    return Windows(frames, scaling_of(frames, **settings), length)


def small_batch(length=8):
    """The same as a batch."""
    return Batch(small_window(length))


class Bomb:
    """An object whose unpickling would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)
