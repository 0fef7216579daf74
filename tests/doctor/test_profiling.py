"""Where the time and the memory of a training step go."""

import pytest

from framecast.cli import main
from framecast.doctor.profiling import FAMILIES, REST, profile_step
from framecast.train.step import Training
from small import experiment


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiled")
    settings = {"context": 9, "horizon": 4, "batch_size": 4, "optimiser": "adam", "noise": 0.0}
    return profile_step(experiment(folder, model={"depth": 3, "hidden": 16}, **settings), "cpu")


def test_time_and_memory_are_taken_apart(profiled):
    assert set(profiled.times) <= {*FAMILIES, REST}
    assert {"convolutions, backward", "convolutions, forward", "scans"} <= set(profiled.times)
    assert all(seconds >= 0 for seconds in profiled.times.values())
    assert profiled.memory["weights"] == profiled.memory["gradients"]
    # Adam keeps two numbers for each weight, and counts the steps of each tensor.
    assert profiled.memory["optimiser"] == pytest.approx(2 * profiled.memory["weights"], rel=0.1)
    assert profiled.memory["batch"] == 4 * profiled.windows * 13 * 8 * 8
    assert profiled.memory["results kept for the gradient"] > profiled.memory["weights"]


def test_what_helps_needs_less(profiled):
    peaks = {words: step.peak for words, step in profiled.helps.items()}
    assert peaks["--training.batch_size 2 --training.accumulate 2"] < 0.7 * profiled.step.peak
    assert peaks["--training.chunk 3"] < 0.7 * profiled.step.peak
    assert peaks["--training.recompute_layers true"] < profiled.step.peak


def test_the_command_prints_three_tables(tmp_path, capsys):
    experiment(tmp_path)
    keys = ["--data.path", str(tmp_path / "waves.npy"), "--training.context", "6"]
    keys += ["--model.depth", "1", "--model.hidden", "8"]
    assert main(["profile", "starter", *keys, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    for words in ("convolutions, backward", "optimiser", "as given", "--training.chunk"):
        assert words in said


def test_a_step_is_that_of_the_first_epoch(tmp_path, monkeypatch):
    seen, learn = [], Training.learn

    def watched(training, batches, epoch, place, course):
        seen.append(course.teacher_forcing)
        return learn(training, batches, epoch, place, course)

    monkeypatch.setattr(Training, "learn", watched)
    profile_step(experiment(tmp_path, context=4, horizon=3, teacher_forcing=1.0), "cpu")
    assert set(seen) == {1.0}
