"""Training: the unrolling, the losses, the schedules, and a run that can be killed."""

import csv
import json
import math

import pytest
import torch
from safetensors.torch import load_file

from conftest import close
from framecast.checkpoint import load_checkpoint
from framecast.errors import UserError
from framecast.models import Forecaster, ForecasterConfig
from framecast.train import TrainingConfig, train
from framecast.train.diagnose import first_failure
from framecast.train.loop import Training
from framecast.train.optimise import learning_rate_factor, make_optimiser, make_schedules
from framecast.train.unroll import LOSSES, unroll
from small import experiment


def make_model():
    torch.manual_seed(0)
    return Forecaster(ForecasterConfig(depth=2, hidden=4), in_channels=2).double()


def frames(length=8):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, length, 2, 5, 6, dtype=torch.float64, generator=generator)


def read_log(run):
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def test_unrolling_is_teacher_forcing_and_then_a_closed_loop():
    model, window = make_model(), frames()
    predictions = unroll(model, window, context=5)
    assert predictions.shape == (3, 7, 2, 5, 6)
    close(predictions[:, :5], model(window[:, :5])[0], 1e-12)
    closed = torch.stack([f for f, _ in model.forecast(window[:, :5], 3)], 1)
    close(predictions[:, 4:], closed, 1e-12)


def test_frames_beyond_the_context_are_not_read():
    model, window = make_model(), frames()
    hidden = window.clone()
    hidden[:, 5:] = math.nan
    assert torch.equal(unroll(model, hidden, 5), unroll(model, window, 5))


def test_losses_by_hand():
    x, y = torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0])
    assert LOSSES["mse"](x, y).item() == 5
    assert LOSSES["l1"](x, y).item() == 2
    assert LOSSES["l1_mse"](x, y).item() == 7
    assert all(loss(x, x).item() == 0 for loss in LOSSES.values())


def test_the_cosine_falls_to_zero_after_a_warm_up():
    config = TrainingConfig(schedule="cosine", warmup_steps=4)
    factors = [learning_rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.2, abs=0.01)
    assert factors[:4] == sorted(factors[:4])
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-12)


def test_the_constant_schedule_is_constant_after_its_warm_up():
    config = TrainingConfig(schedule="constant", warmup_steps=2)
    assert [learning_rate_factor(s, 9, config) for s in range(4)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 1]
    )


def test_the_plateau_halves_the_learning_rate_and_keeps_its_warm_up():
    config = TrainingConfig(schedule="plateau", plateau_epochs=1, warmup_steps=2, learning_rate=0.1)
    optimiser = make_optimiser(make_model(), config)
    plateau, warmup = [s["scheduler"] for s in make_schedules(optimiser, config, 10)]
    rates = []
    for _ in range(3):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        warmup.step()
    assert rates == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])
    for _ in range(3):
        plateau.step(1.0)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.05)


def test_noise_is_added_to_given_frames_only_in_training_and_repeats_itself():
    training = Training(make_model().float(), TrainingConfig(context=5, horizon=3, noise=0.1), 10)
    window = frames().float()
    noisy = training._with_noise(window) - window
    assert noisy.std().item() == pytest.approx(0.1, rel=0.1)
    assert torch.equal(training._with_noise(window) - window, noisy)


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


class KilledError(Exception):
    """Stands for the power going off."""


@pytest.mark.parametrize("after", [3, 11])
def test_a_killed_run_resumes_as_if_never_stopped(tmp_path, monkeypatch, after):
    plan = experiment(tmp_path, epochs=3, schedule="plateau", warmup_steps=2, clip=1.0)
    train(plan, tmp_path / "whole")

    step = Training.training_step

    def dies(self, window, index):
        if self.global_step == after:
            raise KilledError
        return step(self, window, index)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "training_step", dies)
        with pytest.raises(KilledError):
            train(plan, tmp_path / "killed")
    train(plan, tmp_path / "killed", resume=True)

    whole, resumed = (load_file(tmp_path / n / "last.safetensors") for n in ("whole", "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    logs = [read_log(tmp_path / n) for n in ("whole", "killed")]
    for a, b in zip(*logs, strict=True):
        assert [a["train_loss"], a["val_loss"]] == [b["train_loss"], b["val_loss"]]


def test_the_seed_decides_the_run(tmp_path):
    def weights(name, seed):
        run = train(experiment(tmp_path, epochs=1, seed=seed), tmp_path / name)
        return load_file(run / "last.safetensors")["model.decoder.weight"]

    assert torch.equal(weights("a", 0), weights("b", 0))
    assert not torch.equal(weights("a2", 0), weights("c", 1))


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
        {"clip": 1e-3},
        {"batch_size": 3},
        {"context": 5},
        {"horizon": 2},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_each_key_changes_the_training(tmp_path, change):
    def weights(name, **changes):
        run = train(experiment(tmp_path, epochs=1, **changes), tmp_path / name)
        return load_file(run / "last.safetensors")["model.decoder.weight"]

    assert not torch.equal(weights("base"), weights("changed", **change))


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
        (lambda m, w: w[0, 0, 0].fill_(math.nan), "in the input frames"),
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
    model, window = make_model(), frames()
    with torch.no_grad():
        if "layers.1" in where:
            model.recurrences.layers[1].conv.weight.fill_(1e300)
        spoil(model, window)
    assert where in first_failure(model, window, 5)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    plan = experiment(tmp_path, learning_rate=1e30, schedule="constant", epochs=3)
    with pytest.raises(UserError, match=r"at step \d+ .* it began in .*training.learning_rate"):
        train(plan, tmp_path / "run")


def test_run_folders_are_kept_apart(tmp_path):
    plan = experiment(tmp_path, epochs=1)
    train(plan, tmp_path / "run")
    with pytest.raises(UserError, match="exists already"):
        train(plan, tmp_path / "run")
    with pytest.raises(UserError, match="begun with another configuration"):
        train(experiment(tmp_path, epochs=2), tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="not a run folder"):
        train(plan, tmp_path / "none", resume=True)
    (tmp_path / "run" / "data.json").write_text("{}")
    with pytest.raises(UserError, match="have changed since"):
        train(plan, tmp_path / "run", resume=True)


def test_a_plateau_needs_validation_frames(tmp_path):
    plan = experiment(tmp_path, data={"validation_fraction": 0.0}, schedule="plateau")
    with pytest.raises(UserError, match=r"there are no validation frames"):
        train(plan, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_series_too_short_for_a_window_is_named(tmp_path):
    with pytest.raises(UserError, match="16 frames, too short for a window of 20"):
        train(experiment(tmp_path, context=15, horizon=5), tmp_path / "run")


def test_resuming_a_pickled_state_runs_no_code(tmp_path):
    plan = experiment(tmp_path, epochs=1)
    run = train(plan, tmp_path / "run")
    torch.save({"bomb": Bomb(tmp_path / "exploded")}, run / "resume.ckpt")
    with pytest.raises(UserError, match=r"resume.ckpt is damaged, or holds objects"):
        train(plan, run, resume=True)
    assert not (tmp_path / "exploded").exists()


class Bomb:
    """An object whose unpickling would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)
