"""A trained ensemble comes near the exact predictive distribution, where that is known.

`benchmarks/stochastic.py` asks for more, of a field that is correlated in space, in minutes.
"""

import math

import numpy as np
import pytest
import scoringrules

from framecast.datasets.config import DataConfig
from framecast.evaluate import evaluate
from framecast.metrics import MetricChoice
from framecast.models import ForecasterConfig
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train

DECAY, LEADS, CONTEXT = 0.8, 3, 1


def autoregressive(sequences, length, side):
    """Cells x' = a x + √(1 − a²) ε, each by itself, of variance 1."""
    random = np.random.default_rng(0)
    frames = [random.standard_normal((sequences, side, side))]
    for _ in range(length - 1):
        noise = random.standard_normal(frames[0].shape)
        frames.append(DECAY * frames[-1] + math.sqrt(1 - DECAY**2) * noise)
    return np.stack(frames, 1).astype(np.float32)


def exact_crps(frames):
    """Of the normal distribution about a^L x, at each lead, on windows side by side."""
    window, scores = CONTEXT + LEADS, []
    starts = range(0, frames.shape[1] - window + 1, window)
    for lead in range(1, LEADS + 1):
        deviation = math.sqrt(1 - DECAY ** (2 * lead))
        last = np.stack([frames[:, start + CONTEXT - 1] for start in starts])
        truth = np.stack([frames[:, start + CONTEXT - 1 + lead] for start in starts])
        scores.append(scoringrules.crps_normal(truth, DECAY**lead * last, deviation).mean())
    return np.array(scores)


def test_an_ensemble_learns_what_can_be_known(tmp_path):
    frames = autoregressive(40, 24, 8)
    np.save(tmp_path / "field.npy", frames[:, :, None])
    keys = {"context": CONTEXT, "horizon": LEADS, "epochs": 4, "batch_size": 8}
    plan = Experiment(
        DataConfig(path=str(tmp_path / "field.npy"), validation_fraction=0.1, test_fraction=0.25),
        ForecasterConfig(
            depth=1,
            hidden=12,
            norm="channel",
            norm_position="pre",
            predicts="change",
            noise_channels=2,
        ),
        TrainingConfig(
            loss="crps", members=4, crps_epsilon=0.0125, learning_rate=5e-3, precision=32, **keys
        ),
    )
    names = ("crps", "spread", "spread_skill", "rank_histogram")
    (model,) = evaluate(
        [train(plan, tmp_path / "run")],
        members=9,
        baselines=[],
        metrics=MetricChoice(names=names),
    ).models
    ours = model.mean("crps")[CONTEXT - 1 :, 0].numpy()
    ratio = ours / exact_crps(frames[-10:])
    assert ratio.min() > 0.99  # nothing is better than the truth
    assert ratio.max() < 1.05
    spread = model.mean("spread_skill")[CONTEXT - 1 :, 0].numpy()
    assert spread == pytest.approx(np.ones(LEADS), abs=0.15)
    ranks = 10 * model.mean("rank_histogram")[CONTEXT - 1 :, 0].numpy()
    assert ranks.min() > 0.6
    assert ranks.max() < 1.6
