"""Trained ensembles: a noise that repeats itself, keys that fit one another, and a spread."""

import pytest
import torch
from safetensors.torch import load_file
from test_resume import EVERY_STEP, KilledError, after_calls, assert_same, read_log

from conftest import close
from framecast.base.errors import UserError
from framecast.frames.batch import Conditions
from framecast.models import ForecasterConfig
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train
from framecast.train.step import Training
from small import experiment

ENSEMBLE = {"loss": "crps", "members": 2}


def plan(folder, noise=2, model=None, **training):
    return experiment(
        folder, model={"noise_channels": noise, **(model or {})}, **ENSEMBLE | training
    )


def die():
    raise KilledError


def test_a_killed_ensemble_resumes_with_the_same_noise(tmp_path, monkeypatch):
    keys = {"epochs": 3, "chunk": 3, "teacher_forcing": 0.5, **EVERY_STEP}
    train(plan(tmp_path, **keys), tmp_path / "whole")
    with monkeypatch.context() as patch:
        after_calls(patch, Training, "accumulate", 7, die)
        with pytest.raises(KilledError):
            train(plan(tmp_path, **keys), tmp_path / "killed")
    train(plan(tmp_path, **keys), tmp_path / "killed", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_validation_draws_the_same_noise_in_every_epoch(tmp_path):
    rows = read_log(train(plan(tmp_path, learning_rate=1e-12, epochs=3), tmp_path / "run"))
    losses = [float(row["val_loss"]) for row in rows]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)
    assert len({float(row["train_loss"]) for row in rows}) == 3


@pytest.mark.parametrize(
    "change",
    [{"members": 3}, {"crps_epsilon": 0.2}, {"spectral_weight": 0.5}, {"noise": 3}],
    ids=str,
)
def test_each_key_changes_the_training(tmp_path, change):
    def weights(name, **changes):
        run = train(plan(tmp_path, epochs=1, **changes), tmp_path / name)
        return load_file(run / "last.safetensors")["model.decoder.weight"]

    assert not torch.equal(weights("base"), weights("changed", **change))


def test_a_run_without_noise_may_become_an_ensemble(tmp_path):
    first = train(experiment(tmp_path, epochs=1), tmp_path / "first")
    second = train(
        plan(tmp_path, init=str(first), epochs=1, learning_rate=1e-12), tmp_path / "second"
    )
    one, many = (load_checkpoint(run).model for run in (first, second))
    frames = torch.randn(2, 5, 1, 8, 8)
    noise = Conditions(noise=torch.randn(2, 5, 2, 8, 8))
    close(many(frames, None, noise)[0], one(frames)[0], 1e-5)
    third = train(plan(tmp_path, init=str(first), epochs=2), tmp_path / "third")
    model = load_checkpoint(third).model
    other = noise._replace(noise=-noise.noise)
    assert not torch.allclose(model(frames, None, noise)[0], model(frames, None, other)[0])
    with pytest.raises(UserError, match="is unknown here"):
        train(experiment(tmp_path, init=str(third)), tmp_path / "fourth")


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({"noise_channels": 2}, {}, "set training.loss crps and training.members"),
        ({}, ENSEMBLE, "members 2 would all be alike: set model.noise_channels"),
        ({}, {"loss": "crps"}, "members 1 and training.loss crps do not fit"),
        ({"noise_channels": 2}, {"members": 2}, "members 2 and training.loss mse do not fit"),
        ({"noise_channels": 2}, ENSEMBLE | {"crps_epsilon": 0.6}, r"at most 1/2 \(1/members\)"),
        ({}, {"crps_epsilon": 0.1}, "set training.loss crps"),
        ({}, {"spectral_weight": 0.1}, "set training.loss crps"),
        ({"noise_channels": -1}, {}, "must not be negative"),
        ({"head": "normal"}, {}, "head normal and training.loss mse do not fit"),
        ({}, {"loss": "head"}, "head point and training.loss head do not fit"),
    ],
)
def test_keys_that_do_not_fit_are_refused(model, training, message):
    with pytest.raises(ValueError, match=message):
        Experiment(model=ForecasterConfig(**model), training=TrainingConfig(**training))
