"""Nothing is lost: killed or stopped anywhere, a run goes on as if never stopped."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from conftest import held_by_another, largest_file
from framecast.base import whole as base
from framecast.base.errors import StoppedError, UserError
from framecast.base.hidden import lock_of, partial_of
from framecast.cli import main
from framecast.train import train
from framecast.train.journal import Journal
from framecast.train.step import Training
from small import Bomb, experiment

STRATEGY = {
    "teacher_forcing": 0.9,
    "teacher_forcing_decay": 0.2,
    "schedule": "staircase",
    "staircase_factor": 0.5,
    "staircase_epochs": 1,
    "plateau_epochs": 1,
    "learning_rate": 0.3,
}
"""Everything that changes in the course of a run, fast."""
EVERY_STEP = {"save_minutes": 1e-9}


class KilledError(BaseException):
    """Stands for the power going off."""


def after_calls(monkeypatch, owner, name, number, act):
    """Let the call `number` of a function, the first is 0, `act` before it does its work."""
    function, calls = getattr(owner, name), []

    def counted(*arguments):
        calls.append(None)
        if len(calls) == number + 1:
            act()
        return function(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


def die():
    raise KilledError


def read_log(run):
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def assert_same(run, other):
    """Same weights to the bit, and the same log but for its clocks."""
    for file in ("last.safetensors", "best.safetensors"):
        assert (run / file).read_bytes() == (other / file).read_bytes()
    for a, b in zip(read_log(run), read_log(other), strict=True):
        assert all(a[key] == b[key] for key in a.keys() - {"samples_per_second", "seconds"})


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """The folder of the data."""
    return tmp_path_factory.mktemp("waves")


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """What gives the run of a plan that nothing stopped, trained once for each plan."""
    folder, runs = tmp_path_factory.mktemp("whole"), {}

    def run_of(plan):
        name = repr(plan)
        if name not in runs:
            runs[name] = train(plan, folder / str(len(runs)))
        return runs[name]

    return run_of


def contents(run):
    return {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in run.rglob("*") if f.is_file()}


@pytest.mark.parametrize("often", [{}, EVERY_STEP], ids=["by epoch", "by step"])
@pytest.mark.parametrize("after", [0, 3, 11])
@pytest.mark.parametrize(
    "keys",
    [
        {"schedule": "plateau", "plateau_epochs": 1, "warmup_steps": 2, "gradient_clip": 1.0},
        STRATEGY | {"accumulate": 2, "chunk": 3},
        STRATEGY | {"chunk": 4, "truncate": True, "precision": "bf16-mixed"},
    ],
    ids=["plateau", "exact", "truncated"],
)
def test_a_run_killed_in_a_step_resumes(
    waves, never_stopped, tmp_path, monkeypatch, after, keys, often
):
    plan = experiment(waves, epochs=4, **keys, **often)
    whole = never_stopped(plan)
    with monkeypatch.context() as patch:
        after_calls(patch, Training, "accumulate", after, die)
        with pytest.raises(KilledError):
            train(plan, tmp_path / "killed")
    steps = after_calls(monkeypatch, Training, "accumulate", -1, die)
    train(plan, tmp_path / "killed", resume=True)
    assert_same(whole, tmp_path / "killed")
    done = after // plan.training.accumulate * plan.training.accumulate if often else after // 4 * 4
    assert len(steps) == 16 - done
    if plan.training.decays:
        assert float(read_log(tmp_path / "killed")[-1]["teacher_forcing"]) < 0.9


def test_a_run_goes_on_when_the_run_that_it_began_with_is_gone(waves, tmp_path, monkeypatch):
    first = train(experiment(waves), tmp_path / "first")
    plan = experiment(waves, init=str(first), **EVERY_STEP)
    whole = train(plan, tmp_path / "whole")
    with monkeypatch.context() as patch:
        after_calls(patch, Training, "accumulate", 3, die)
        with pytest.raises(KilledError):
            train(plan, tmp_path / "killed")
    first.rename(tmp_path / "moved")
    train(plan, tmp_path / "killed", resume=True)
    assert_same(whole, tmp_path / "killed")


FILES, FOLDER = 13, 4
"""A run of two epochs moves 13 files to their places, four at the end of each epoch. The fifth is
the folder itself; before it come those that begin a run."""


def test_a_run_moves_so_many_files(tmp_path, monkeypatch):
    moves = after_calls(monkeypatch, base, "_move", -1, die)
    train(experiment(tmp_path), tmp_path / "run")
    assert len(moves) == FILES


@pytest.mark.parametrize("number", range(FILES))
def test_a_run_killed_between_two_files_resumes(
    waves, never_stopped, tmp_path, monkeypatch, number
):
    plan = experiment(waves)
    whole = never_stopped(plan)
    with monkeypatch.context() as patch:
        after_calls(patch, base, "_move", number, die)
        with pytest.raises(KilledError):
            train(plan, tmp_path / "killed")
    begun = (tmp_path / "killed").exists()
    assert begun == (number > FOLDER)
    train(plan, tmp_path / "killed", resume=begun)
    assert_same(whole, tmp_path / "killed")
    assert not [f for f in tmp_path.rglob(".*") if "partial" in f.name or "lock" in f.name]


def test_a_finished_run_is_left_as_it_is(tmp_path):
    run = train(experiment(tmp_path), tmp_path / "run")
    before = contents(run)
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert contents(run) == before


def test_a_row_that_was_saved_but_not_logged_is_logged(tmp_path):
    run = train(experiment(tmp_path), tmp_path / "run")
    whole = (run / "log.csv").read_text()
    weights = (run / "last.safetensors").read_bytes()
    (run / "log.csv").write_text("".join(whole.splitlines(True)[:-1]))
    train(experiment(tmp_path), run, resume=True)
    assert (run / "log.csv").read_text() == whole
    assert (run / "last.safetensors").read_bytes() == weights


@pytest.mark.parametrize("name", ["resume.ckpt", "data.json", "config.yaml"])
def test_a_file_that_is_missing_is_named_and_the_run_stays(tmp_path, name):
    run = train(experiment(tmp_path), tmp_path / "run")
    (run / name).unlink()
    before = contents(run)
    with pytest.raises(UserError, match=f"{name}"):
        train(experiment(tmp_path), run, resume=True)
    assert contents(run) == before


def test_a_configuration_that_was_edited_is_refused_by_its_keys(tmp_path, capsys):
    run = train(experiment(tmp_path), tmp_path / "my run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["training"] |= {"epochs": 5, "learning_rate": 1e-3}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    before = contents(run)
    assert main(["train", "--resume", "--out", str(run)]) == 2
    said = capsys.readouterr().err
    assert "training.epochs was 2, and is 5 now; training.learning_rate was 0.0005" in said
    assert f"framecast train --resume --out '{run}' and nothing else" in said
    assert f"--training.init {run}" in said
    assert contents(run) == before


def test_data_that_changed_are_refused(tmp_path):
    run = train(experiment(tmp_path), tmp_path / "run")
    np.save(tmp_path / "waves.npy", np.load(tmp_path / "waves.npy") + 1)
    with pytest.raises(UserError, match="have changed since"):
        train(experiment(tmp_path), run, resume=True)


def test_a_run_goes_on_with_the_same_data_elsewhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = experiment(tmp_path)
    plan = replace(plan, data=replace(plan.data, path="waves.npy"))
    whole, run = train(plan, tmp_path / "whole"), tmp_path / "run"
    with monkeypatch.context() as patch:
        after_calls(patch, Training, "accumulate", 5, die)
        with pytest.raises(KilledError):
            train(plan, run)
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "waves.npy").rename(tmp_path / "elsewhere" / "moved.npy")
    assert main(["train", "--resume", "--out", str(run)]) == 2
    said = capsys.readouterr().err
    assert f"data.path waves.npy does not exist in {tmp_path}. Give your own file with " in said
    assert main(["train", "--resume", "--out", str(run), "--data.path", str(moved)]) == 0
    assert_same(whole, run)
    np.save(tmp_path / "other.npy", np.load(moved) + 1)
    other = ["--data.path", "other.npy"]
    assert main(["train", "--resume", "--out", str(run), *other]) == 2
    assert "have changed since" in capsys.readouterr().err


def test_a_new_run_needs_a_new_folder(tmp_path):
    plan = experiment(tmp_path, epochs=1)
    (tmp_path / "empty").mkdir()
    run = train(plan, tmp_path / "empty")
    with pytest.raises(UserError, match=r"exists already.*--resume"):
        train(plan, run)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="it is no run of framecast"):
        train(plan, tmp_path / "mine")
    with pytest.raises(UserError, match="not a run folder"):
        train(plan, tmp_path / "mine", resume=True)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "data.json").write_text("{}")
    with pytest.raises(UserError, match="cut off as it was begun: remove it"):
        train(plan, tmp_path / "begun", resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_in_training_is_left_to_its_process(tmp_path, resume):
    plan, run = experiment(tmp_path), tmp_path / "run"
    if resume:
        train(plan, run)
    with held_by_another(tmp_path / "other") as process:
        lock_of(tmp_path / "other").rename(lock_of(run))
        with pytest.raises(UserError, match=f"is in use by process {process.pid} on "):
            train(plan, run, resume)
    assert run.exists() == resume


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(Training, "accumulate", 5), (Training, "validate", 0), (Journal, "end_epoch", 0)],
    ids=["in a step", "in the validation", "between epochs"],
)
def test_a_signal_lets_the_run_save_and_go_on(
    waves, never_stopped, tmp_path, monkeypatch, number, owner, name, call
):
    plan = experiment(waves, epochs=3, **STRATEGY)
    whole = never_stopped(plan)
    with monkeypatch.context() as patch:
        after_calls(patch, owner, name, call, lambda: os.kill(os.getpid(), number))
        with pytest.raises(StoppedError, match="train --resume --out") as error:
            train(plan, tmp_path / "stopped")
        assert error.value.number == number
    steps = after_calls(monkeypatch, Training, "accumulate", -1, die)
    train(plan, tmp_path / "stopped", resume=True)
    assert len(steps) == 12 - {"accumulate": 6, "validate": 4, "end_epoch": 4}[name]
    assert_same(whole, tmp_path / "stopped")


SLOW = """
import sys, time, torch
from framecast.cli import main
from framecast.train import step, stopping
torch.set_num_threads(1)
stopping.PATIENCE = 1.0
accumulate = step.Training.accumulate
def slow(self, *arguments):
    print("step", flush=True)
    time.sleep(float(sys.argv[1]))
    return accumulate(self, *arguments)
step.Training.accumulate = slow
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("seconds", "said"), [(0.2, "is saved. Go on"), (60, "takes too long")])
def test_a_signal_ends_the_process_with_its_code(tmp_path, number, seconds, said):
    plan = experiment(tmp_path)
    config = tmp_path / "plan.yaml"
    train(plan, tmp_path / "other")
    config.write_text((tmp_path / "other" / "config.yaml").read_text())
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(seconds), "train", str(config), "--out", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "step\n"
    process.send_signal(number)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert said in error
    assert f"framecast train --resume --out {run}" in error
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert_same(run, tmp_path / "other")


def test_a_full_disk_keeps_what_was_reached(tmp_path, monkeypatch, capfd):
    plan = experiment(tmp_path)
    train(plan, tmp_path / "whole")
    limit = largest_file(4_000)
    with monkeypatch.context() as patch:
        after_calls(patch, Training, "validate", 1, limit.__enter__)
        try:
            with pytest.raises(UserError, match=r"disk is full.*train --resume --out") as error:
                train(plan, tmp_path / "run")
        finally:
            limit.__exit__(None, None, None)
    assert str(error.value).startswith(f"{tmp_path / 'run'}/last.safetensors could not")
    train(plan, tmp_path / "run", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path):
    plan = experiment(tmp_path)
    with largest_file(500), pytest.raises(UserError, match="disk is full"):
        train(plan, tmp_path / "run")
    assert sorted(os.listdir(tmp_path)) == ["waves.npy"]


def edited(run, edit):
    """Write resume.ckpt again with a change."""
    content = torch.load(run / "resume.ckpt", weights_only=True)
    edit(content)
    torch.save(content, run / "resume.ckpt")


EDITS = {
    "rows is missing": lambda c: c.pop("rows"),
    "best is str": lambda c: c.update(best="low"),
    "rows: epoch 1 is not a row": lambda c: c["rows"].insert(0, {"epoch": "first"}),
    "epoch.steps is missing": lambda c: c["epoch"].pop("steps"),
    "epoch.last is float": lambda c: c["epoch"].update(last=1.0),
    "epoch.total is no pair": lambda c: c["epoch"].update(total=(torch.ones(1),)),
    r"model: encoder\S* is missing": lambda c: c["model"].pop(next(iter(c["model"]))),
    r"is \[7\], expected": lambda c: c["model"].update(dict.fromkeys(c["model"], torch.ones(7))),
    "optimiser.state is missing": lambda c: c["optimiser"].pop("state"),
    "optimiser 0 is NoneType": lambda c: c["optimiser"]["state"].update({0: None}),
    "optimiser 0: exp_avg is": lambda c: c["optimiser"]["state"][0].update(exp_avg=torch.ones(3)),
    "optimiser 99: exp_avg is missing": lambda c: c["optimiser"]["state"].update(
        {99: dict(c["optimiser"]["state"][0])}
    ),
    "optimiser: ": lambda c: c["optimiser"]["param_groups"][0].update(params=[0]),
    "another version": lambda c: c.pop("format"),
    "data was 3": lambda c: c.update(config="data: 3"),
    "config is no configuration": lambda c: c.update(config="3"),
    "was begun with": lambda c: c.update(config=c["config"].replace("epochs: 2", "epochs: 9")),
}


@pytest.mark.parametrize("said", EDITS)
def test_a_state_that_does_not_fit_is_named_by_its_key(tmp_path, said):
    run = train(experiment(tmp_path), tmp_path / "run")
    edited(run, EDITS[said])
    before = contents(run)
    with pytest.raises(UserError, match=said):
        train(experiment(tmp_path), run, resume=True)
    assert contents(run) == before


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1])
def test_a_truncated_state_is_named(tmp_path, size):
    run = train(experiment(tmp_path), tmp_path / "run")
    content = (run / "resume.ckpt").read_bytes()
    (run / "resume.ckpt").write_bytes(content[:size])
    with pytest.raises(UserError, match=r"resume.ckpt is damaged \(truncated"):
        train(experiment(tmp_path), run, resume=True)


def test_resuming_a_pickled_state_runs_no_code(tmp_path):
    run = train(experiment(tmp_path, epochs=1), tmp_path / "run")
    torch.save({"bomb": Bomb(tmp_path / "exploded")}, run / "resume.ckpt")
    with pytest.raises(UserError, match="objects that could run code"):
        train(experiment(tmp_path, epochs=1), run, resume=True)
    assert not (tmp_path / "exploded").exists()


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    run = train(experiment(tmp_path), tmp_path / "run")
    edited(run, lambda c: c.update(rows=c["rows"][:1]))
    partial_of(run / "last.safetensors").write_text("half")
    train(experiment(tmp_path), run, resume=True)
    assert not partial_of(run / "last.safetensors").exists()
