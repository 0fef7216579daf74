"""What a step takes at once, and what is said where it does not fit."""

import pytest
import torch

from framecast.base.config import load_config
from framecast.base.recipes import find_recipe
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.models import ForecasterConfig
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train.footprint import peak_of, profiling, remedies
from framecast.train.step import Training
from small import experiment


def test_the_peak_is_what_was_in_use_at_once():
    x = torch.ones(1000)
    with profiling() as profiled:
        y = x + 1  # 4,000 bytes
        z = y * 2  # 8,000
        del y
        z = z + 1  # 8,000 again, then 4,000
        del z
    assert peak_of(profiled) == pytest.approx(8000, abs=100)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"batch_size": 8, "context": 12, "horizon": 5},
            [
                "--training.batch_size 4 --training.accumulate 2",
                "--training.chunk 4",
                "--training.chunk 4 --training.truncate true",
                "--training.recompute_layers true",
                "--training.precision bf16-mixed",
            ],
        ),
        ({"precision": "bf16-mixed", "context": 2, "horizon": 1, "recompute_layers": True}, []),
        ({"chunk": 3, "compile": True, "precision": "bf16-mixed", "context": 9}, []),
    ],
)
def test_what_needs_less_depends_on_the_keys(keys, words):
    training = TrainingConfig(**{"precision": 32} | keys)
    found = dict(remedies(Experiment(DataConfig(), ForecasterConfig(), training)))
    assert list(found) == words
    for said, other in found.items():
        for key, value in zip(said.split()[::2], said.split()[1::2], strict=True):
            assert str(getattr(other.training, key.rpartition(".")[2])).lower() == value


@pytest.mark.parametrize(("recipe", "words"), [
    ("vizdoom-tokeniser", ["--training.batch_size 16 --training.accumulate 2"]),
    ("activities-conv-lstm",
     ["--training.batch_size 8 --training.accumulate 2", "--training.recompute_layers true"]),
])  # fmt: skip
def test_only_keys_that_a_kind_of_model_reads_are_named(recipe, words):
    found = [said for said, _ in remedies(load_config(Experiment, find_recipe(recipe)))]
    assert [said for said in found if "precision" not in said] == words


@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory", "out of memory"])
def test_a_step_that_does_not_fit_names_what_needs_less(tmp_path, monkeypatch, capsys, words):
    def learn(*_, **__):
        raise RuntimeError(words)

    monkeypatch.setattr(Training, "learn", learn)
    experiment(tmp_path)
    path, out = str(tmp_path / "waves.npy"), str(tmp_path / "run")
    keys = ["--data.path", path, "--training.batch_size", "4", "--training.context", "6"]
    assert main(["train", "starter", *keys, "--out", out]) == 2
    said = capsys.readouterr().err
    assert "a step of 4 windows of " in said
    assert "--training.batch_size 2 --training.accumulate 2; --training.chunk" in said
    assert "framecast profile" in said


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    def learn(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr(Training, "learn", learn)
    experiment(tmp_path)
    keys = ["--data.path", str(tmp_path / "waves.npy"), "--training.context", "6"]
    with pytest.raises(RuntimeError, match="a defect"):
        main(["train", "starter", *keys, "--out", str(tmp_path / "run")])
