"""Training of networks that name classes: from the configuration to a forecast, and resumed."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.forecast.files import forecast_file
from framecast.models import ForecasterConfig, Recogniser
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train
from framecast.train.schedules import prediction_weight
from framecast.train.step import Training
from videos import folder_of_classes

DATA = {"size": [8, 8], "frames": 4, "targets": 2, "seen": [0.25, 0.5]}
NETWORK = {
    "depth": 1,
    "hidden": 4,
    "classifier": "conv_3d",
    "classifier_options": {"frames": 4, "channels": 4, "hidden": 8},
}
KEYS = {"context": 4, "horizon": 2, "epochs": 2, "batch_size": 4, "precision": 32}


class KilledError(BaseException):
    """Stands for the power going off."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return folder_of_classes(tmp_path_factory.mktemp("classes"))


def plan(videos, model=None, **training):
    shares = {"validation_fraction": 0.25, "test_fraction": 0.25}
    return Experiment(
        DataConfig("video_classes", str(videos), ["grey"], **shares, options=DATA),
        ForecasterConfig(**NETWORK | (model or {})),
        TrainingConfig(**KEYS | training),
    )


def log(run):
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def test_a_recogniser_learns_what_no_single_frame_tells(videos, tmp_path):
    run = train(plan(videos, learning_rate=1e-2, epochs=30, prediction_weight=0.1), tmp_path / "a")
    rows = log(run)
    assert float(rows[0]["val_loss"]) > 0.5
    assert float(rows[-1]["val_loss"]) < 0.3
    assert float(rows[-1]["val_accuracy"]) == 1
    assert {"val_prediction_loss", "train_loss"} <= rows[0].keys()
    assert "prediction_weight" not in rows[0]


def test_it_is_saved_and_forecasts_frames(videos, tmp_path):
    run = train(plan(videos), tmp_path / "run")
    checkpoint = load_checkpoint(run)
    assert isinstance(checkpoint.model, Recogniser)
    assert checkpoint.frames.classes == ("fall", "rise")
    forecast_file(run, videos / "rise" / "0.avi", 3, tmp_path / "ahead.npz")
    frames = np.load(tmp_path / "ahead.npz")["frames"]
    assert frames.shape[-4:] == (3, 1, 8, 8)
    assert np.isfinite(frames).all()


FALLS = {
    "prediction_weight_decay": 0.4,
    "plateau_epochs": 1,
    "epochs": 5,
    "learning_rate": 2.0,
    "label_smoothing": 0.1,
    "class_weights": {"fall": 2.0},
    "noise": 0.01,
    "save_minutes": 1e-9,
}


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    return train(plan(videos, **FALLS), tmp_path_factory.mktemp("falls") / "whole")


@pytest.mark.parametrize("after", [1, 5, 8])
def test_a_run_killed_in_a_step_resumes_to_the_bit(videos, whole, tmp_path, monkeypatch, after):
    experiment, calls = plan(videos, **FALLS), []
    accumulate = Training.accumulate

    def killed(*arguments):
        calls.append(None)
        if len(calls) == after + 1:
            raise KilledError
        return accumulate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "accumulate", killed)
        with pytest.raises(KilledError):
            train(experiment, tmp_path / "killed")
    train(experiment, tmp_path / "killed", resume=True)
    for file in ("last.safetensors", "best.safetensors"):
        assert (whole / file).read_bytes() == (tmp_path / "killed" / file).read_bytes()
    expected, resumed = log(whole), log(tmp_path / "killed")
    for a, b in zip(expected, resumed, strict=True):
        assert all(a[key] == b[key] for key in a.keys() - {"samples_per_second", "seconds"})
    weights = [float(row["prediction_weight"]) for row in expected]
    assert weights[0] == 1.0
    assert weights[-1] < 1.0


def test_the_weight_of_frames_falls_at_each_plateau_down_to_zero():
    config = TrainingConfig(
        prediction_weight=0.5, prediction_weight_decay=0.2, plateau_epochs=2, schedule="constant"
    )
    course = [prediction_weight([3.0] * epochs, config) for epochs in range(9)]
    assert course == pytest.approx([0.5, 0.5, 0.5, 0.3, 0.3, 0.1, 0.1, 0, 0])
    falling = [prediction_weight([9.0 - n for n in range(epochs)], config) for epochs in range(9)]
    assert falling == [0.5] * 9
    assert prediction_weight([3.0] * 99, TrainingConfig(prediction_weight=0.7)) == 0.7


def weights_after(videos, run, **keys):
    """Weights after an epoch."""
    return load_checkpoint(train(plan(videos, epochs=1, **keys), run)).model.state_dict()


@pytest.fixture(scope="module")
def usual(videos, tmp_path_factory):
    return weights_after(videos, tmp_path_factory.mktemp("usual") / "run")


@pytest.mark.parametrize(
    "changed",
    [
        {"prediction_weight": 0.5},
        {"prediction_sum": True},
        {"label_smoothing": 0.2},
        {"class_weights": {"rise": 3.0}},
        {"loss": "l1_mse"},
        {"prediction_weight": 0.0},
        {"recompute_layers": True, "noise": 0.1},
        {"accumulate": 2},
        {"teacher_forcing": 0.5},
        {"area_weights": False, "gradient_clip": 0.01},
    ],
    ids=str,
)
def test_each_key_changes_what_is_learned(videos, usual, tmp_path, changed):
    weights = weights_after(videos, tmp_path / "run", **changed)
    assert any(not torch.equal(weights[key], usual[key]) for key in usual)


def test_recomputed_layers_give_the_same_weights(videos, usual, tmp_path):
    weights = weights_after(videos, tmp_path / "run", recompute_layers=True)
    for key, weight in usual.items():
        torch.testing.assert_close(weights[key], weight)


def test_a_classifier_starts_from_a_network_that_learned_frames_and_from_other_classes(
    videos, tmp_path
):
    plain = {"classifier": "none", "classifier_options": {}}
    first = train(plan(videos, plain, epochs=1), tmp_path / "frames")
    again = plan(videos, epochs=1, learning_rate=1e-12, init=str(first))
    second = load_checkpoint(train(again, tmp_path / "classes")).model.state_dict()
    for key, weight in load_checkpoint(first).model.state_dict().items():
        torch.testing.assert_close(second[key], weight)
    assert second["classifier.9.weight"].abs().min() > 0

    other = tmp_path / "other"
    for own, name in (("still", "fall"), ("rise", "rise")):
        (other / own).parent.mkdir(exist_ok=True)
        (other / own).symlink_to(videos / name)
    data = replace(again.data, path=str(other))
    training = replace(again.training, init=str(tmp_path / "classes"))
    third = replace(again, data=data, training=training)
    scores = load_checkpoint(train(third, tmp_path / "third")).model.state_dict()
    matched, rows = scores["classifier.9.weight"], second["classifier.9.weight"]
    torch.testing.assert_close(matched[0], rows[1])  # rise, the first by name now
    torch.testing.assert_close(matched[1], torch.zeros_like(rows[0]))


def test_what_a_recogniser_cannot_learn_from_is_refused(videos, tmp_path):
    with pytest.raises(UserError, match=r"class_weights names fal \(did you mean fall"):
        train(plan(videos, class_weights={"fal": 2.0}), tmp_path / "run")
    waves = tmp_path / "waves.npy"
    np.save(waves, np.random.default_rng(0).random((4, 12, 1, 8, 8), np.float32))
    unlabelled = replace(plan(videos), data=DataConfig(path=str(waves)))
    with pytest.raises(UserError, match=r"cannot be built.*the data are labelled with none"):
        train(unlabelled, tmp_path / "run")
    falling = plan(videos, prediction_weight_decay=0.1)
    without = replace(falling, data=replace(falling.data, validation_fraction=0.0))
    with pytest.raises(
        UserError, match=r"prediction_weight_decay 0\.1 follows the validation loss"
    ):
        train(without, tmp_path / "run")


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({}, {"chunk": 2}, "training.chunk is not for networks with a model.classifier"),
        ({}, {"compile": True}, "training.compile is not for"),
        ({}, {"variable_weights": {"grey": 2.0}}, "training.variable_weights is not for"),
        ({}, {"prediction_weight": -1.0}, "prediction_weight -1.0 must not be negative"),
        ({}, {"label_smoothing": 1.0}, r"label_smoothing 1.0 must be in \[0, 1\)"),
        ({}, {"class_weights": {"fall": -1.0}}, "class_weights fall: -1.0 must not be negative"),
        ({}, {"prediction_weight_decay": 0.1, "plateau_epochs": 0}, "plateau_epochs 0 must be"),
        ({}, {"prediction_weight": 0.0, "prediction_sum": True}, "would change nothing"),
        ({}, {"prediction_weight": 0.0, "prediction_weight_decay": 0.1}, "would change nothing"),
        *(
            (
                {"classifier": "none", "classifier_options": {}},
                changed,
                f"{next(iter(changed))} would change nothing: .*set model.classifier",
            )
            for changed in (
                {"prediction_weight": 0.5},
                {"prediction_weight_decay": 0.5},
                {"prediction_sum": True},
                {"label_smoothing": 0.1},
                {"class_weights": {"fall": 2.0}},
            )
        ),
    ],
)
def test_keys_that_do_not_fit_are_refused(videos, model, training, message):
    with pytest.raises(ValueError, match=message):
        plan(videos, model, **training)
