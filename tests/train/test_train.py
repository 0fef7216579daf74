"""Training: what a run learns and writes, and how it is killed and resumed."""

import csv
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import close
from framecast.base.config import load_config
from framecast.base.errors import UserError
from framecast.frames.batch import Batch
from framecast.models.unroll import Unrolling, draw_given, unroll
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train
from framecast.train.diagnose import first_failure
from framecast.train.schedules import plateaus
from framecast.train.step import make_training
from small import experiment, small_model, small_window, travelling_wave


def read_log(run):
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def test_noise_is_added_to_given_frames_only_and_repeats_itself(monkeypatch):
    model, window = small_model().float(), small_window().float()
    config = TrainingConfig(context=7, horizon=1, noise=0.1)
    training, seen = make_training(model, config, batches=10), []
    monkeypatch.setattr(model, "read", lambda frames, mask: seen.append(frames) or frames)
    for index in (0, 0, 1):
        training.learn((Batch(window),), 0, index, training.config.unrolling(0.0))
    noisy, again, other = seen
    window = window.clone()
    assert (noisy - window).std().item() == pytest.approx(0.1, rel=0.1)
    assert torch.equal(again, noisy)
    assert not torch.equal(other, noisy)


def test_a_run_learns_and_leaves_its_folder(tmp_path):
    run = train(experiment(tmp_path, epochs=8, learning_rate=5e-3), tmp_path / "run")
    rows = read_log(run)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    assert float(rows[-1]["val_loss"]) < 0.5 * float(rows[0]["val_loss"])
    assert float(rows[0]["samples_per_second"]) > 0
    for name in ("config.yaml", "best.safetensors", "environment.json", "resume.ckpt"):
        assert (run / name).stat().st_size > 0
    assert list((run / "tensorboard").iterdir())
    described = json.loads((run / "data.json").read_text())
    assert described["train"]["channels"] == ["channel_0"]
    best = min(float(row["val_loss"]) for row in rows)
    assert load_checkpoint(run).loss == pytest.approx(best)
    assert not [f for f in run.iterdir() if "partial" in f.name]


STRATEGY = {
    "teacher_forcing": 0.9,
    "teacher_forcing_decay": 0.2,
    "schedule": "staircase",
    "staircase_factor": 0.5,
    "staircase_epochs": 1,
    "plateau_epochs": 1,
}
"""Everything that changes in the course of a run, fast."""


def test_the_decay_is_logged_and_told(tmp_path, capfd):
    keys = STRATEGY | {"learning_rate": 1e-12, "plateau_epochs": 2}
    rows = read_log(train(experiment(tmp_path, epochs=6, **keys), tmp_path / "run"))
    losses = [float(row["val_loss"]) for row in rows]
    first = plateaus(losses, 2)[0]
    falling = [0.9] * first + [0.9 - 0.2 * n for n in range(1, 7 - first)]
    assert [float(row["teacher_forcing"]) for row in rows] == pytest.approx(falling)
    assert float(rows[-1]["learning_rate"]) == pytest.approx(1e-12 * 0.5 ** (6 - first))
    told = capfd.readouterr().err
    assert f"for 2 epochs: the decay begins with epoch {first + 1}" in told
    assert told.count("the decay begins") == 1
    assert f"teacher forcing {falling[-1]:.4g}" in told


def test_accumulated_batches_learn_like_one_large_batch(tmp_path):
    def weights(name, **keys):
        run = train(experiment(tmp_path, noise=0.0, **keys), tmp_path / name)
        return load_file(run / "last.safetensors")["model.decoder.weight"], read_log(run)

    # Eight windows an epoch: steps of six and of two.
    (large, log), (small, log_of_small) = (
        weights("large", batch_size=6),
        weights("small", batch_size=2, accumulate=3),
    )
    close(small, large, 1e-4)
    assert [row["step"] for row in log] == [row["step"] for row in log_of_small] == ["2", "4"]


def test_a_teacher_forced_run_is_validated_as_a_forecast(tmp_path):
    run = train(experiment(tmp_path, epochs=1, teacher_forcing=1.0), tmp_path / "run")
    checkpoint, config = load_checkpoint(run), experiment(tmp_path).training
    data = experiment(tmp_path).data.open().splits().validation
    values = checkpoint.statistics.normalise(data.values)
    windows = torch.cat([values[:, start : start + 7] for start in (0, 7)])
    given = draw_given(len(windows), 6, config.context, 0.0)
    predictions, _ = unroll(checkpoint.model, windows[:, :-1], given)
    expected = torch.nn.functional.mse_loss(predictions, windows[:, 1:]).item()
    assert float(read_log(run)[0]["val_loss"]) == pytest.approx(expected, rel=1e-5)


def weights_after(folder, **changes):
    """Weights after an epoch."""
    run = train(experiment(folder, epochs=1, **changes), folder / "run")
    return load_file(run / "last.safetensors")["model.decoder.weight"]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return weights_after(tmp_path_factory.mktemp("usual"))


def test_the_seed_decides_the_run(tmp_path, usual):
    for name in "ab":
        (tmp_path / name).mkdir()
    assert torch.equal(weights_after(tmp_path / "a", seed=0), usual)
    assert not torch.equal(weights_after(tmp_path / "b", seed=1), usual)


@pytest.mark.parametrize(
    "change",
    [
        {"noise": 0.0},
        {"loss": "l1"},
        {"optimiser": "adamw", "weight_decay": 0.5},
        {"weight_decay": 0.5},
        {"learning_rate": 1e-3},
        {"schedule": "constant"},
        {"warmup_steps": 5},
        {"gradient_clip": 1e-3},
        {"batch_size": 3},
        {"context": 5},
        {"horizon": 2},
        {"precision": "bf16-mixed"},
        {"teacher_forcing": 0.5},
        {"accumulate": 2},
        {"chunk": 3, "truncate": True},
    ],
    ids=str,
)
def test_each_key_changes_the_training(tmp_path, usual, change):
    assert not torch.equal(weights_after(tmp_path, **change), usual)


def test_patience_ends_a_run_that_does_not_improve(tmp_path):
    plan = experiment(tmp_path, epochs=9, learning_rate=1e-12, schedule="constant", patience=2)
    rows = read_log(train(plan, tmp_path / "run"))
    assert len(rows) < 9


def test_without_validation_the_training_loss_chooses(tmp_path):
    plan = experiment(tmp_path, data={"validation_fraction": 0.0})
    run = train(plan, tmp_path / "run")
    rows = read_log(run)
    assert "val_loss" not in rows[0]
    assert load_checkpoint(run).loss == pytest.approx(min(float(r["train_loss"]) for r in rows))


def test_compiled_training_agrees(tmp_path):
    plain = train(experiment(tmp_path, epochs=1, model={"depth": 1}), tmp_path / "plain")
    other = experiment(tmp_path, epochs=1, model={"depth": 1}, compile=True)
    with torch.compiler.set_stance("eager_on_recompile"):
        compiled = train(other, tmp_path / "compiled")
    a, b = (
        load_file(run / "last.safetensors")["model.decoder.weight"] for run in (plain, compiled)
    )
    close(b, a, 1e-3)


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda m, w: w[0, 0, 0].fill_(math.nan), "in the input frame"),
        (
            lambda m, w: m.decoder.bias.data.fill_(math.nan),
            "the gradient of the step before, which damaged the weight decoder.bias",
        ),
        (
            lambda m, w: m.recurrences.norms[0].weight.data.fill_(1e300),
            "in layer recurrences.layers.1.conv",
        ),
    ],
)
def test_where_a_loss_that_is_no_number_began(spoil, where):
    model, window = small_model(), small_window()
    with torch.no_grad():
        if "layers.1" in where:
            model.recurrences.layers[1].conv.weight.fill_(1e300)
        spoil(model, window)
    assert where in first_failure(model, Batch(window), Unrolling(context=5))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    plan = experiment(tmp_path, learning_rate=1e30, schedule="constant", epochs=3)
    with pytest.raises(UserError, match=r"at step \d+ .* it began in .*training.learning_rate"):
        train(plan, tmp_path / "run")


@pytest.mark.parametrize(
    "keys",
    [
        {"schedule": "plateau"},
        {"schedule": "staircase"},
        {"teacher_forcing": 1.0, "teacher_forcing_decay": 0.1},
    ],
    ids=str,
)
def test_a_plateau_needs_validation_frames(tmp_path, keys):
    plan = experiment(tmp_path, data={"validation_fraction": 0.0}, **keys)
    with pytest.raises(UserError, match=r"there are no validation frames"):
        train(plan, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_series_too_short_for_a_window_is_named(tmp_path):
    with pytest.raises(UserError, match="16 frames, too short for a window of 20"):
        train(experiment(tmp_path, context=15, horizon=5), tmp_path / "run")


IN_PYTHON = """
from pathlib import Path
import numpy as np
from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.models import ForecasterConfig
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train

data = DataConfig(path=Path("waves.npy"), variables=("channel_0",))
network = ForecasterConfig(hidden=3, depth=1)
keys = {"context": 3, "horizon": np.int64(2), "epochs": 1, "precision": "32"}
for resume in (False, True):
    train(Experiment(data, network, TrainingConfig(**keys)), "run", resume)
try:
    train(Experiment(data, network, TrainingConfig(**keys, optimiser="sgd")), "other")
except UserError as error:
    print(error)
"""


def test_a_configuration_of_python_is_that_of_a_file(tmp_path):
    """Numbers of NumPy, paths and tuples train, and the run goes on with what they mean.

    It is a process of its own, since tests refuse such types wherever they are annotated.
    """
    np.save(tmp_path / "waves.npy", travelling_wave())
    done = subprocess.run(
        [sys.executable, "-c", IN_PYTHON], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    written = load_config(Experiment, tmp_path / "run" / "config.yaml")
    assert (written.data.path, written.data.variables) == ("waves.npy", ["channel_0"])
    assert (written.training.horizon, written.training.precision) == (2, 32)
    assert re.match(r"training\.optimiser: expected .*adam.*, not sgd", done.stdout)
    assert not (tmp_path / "other").exists()
