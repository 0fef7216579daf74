"""Several runs of one recipe: seeds, and combinations of values."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.experiment import Experiment
from framecast.train.many import seeds
from framecast.train.trials import draws, grid
from small import travelling_wave

TINY = [
    "--model.depth",
    "1",
    "--model.hidden",
    "4",
    "--training.context",
    "2",
    "--training.horizon",
    "2",
]


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", travelling_wave(6, 12))


def train(*options):
    return main(
        ["train", "starter", "--data.path", "x.npy", *TINY, "--training.epochs", "1", *options]
    )


@pytest.mark.slow
def test_seeds_are_named_and_evaluated_as_one_model(tmp_path, capsys):
    assert train("--seeds", "2", "--jobs", "2", "--training.seed", "7", "--out", "runs") == 0
    said = capsys.readouterr()
    assert "framecast evaluate runs/seed_7 runs/seed_8 --out EVALUATION" in said.out
    weights = [load_checkpoint(f"runs/seed_{n}").model.state_dict() for n in (7, 8)]
    assert not all(a.equal(b) for a, b in zip(*(w.values() for w in weights), strict=True))
    assert main(["evaluate", "runs/seed_7", "runs/seed_8", "--out", "scores"]) == 0

    assert train("--out", "alone", "--training.seed", "8") == 0
    alone = load_checkpoint("alone").model.state_dict()
    assert all(weights[1][name].equal(alone[name]) for name in alone)


@pytest.mark.slow
def test_a_sweep_tells_which_is_best(tmp_path, capsys):
    content = {"recipe": "starter", "try": {"model.hidden": [2, 4], "training.seed": [0, 1]}}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(content))
    command = ["sweep", "grid.yaml", "--data.path", "x.npy", *TINY[:2], *TINY[4:]]
    command += ["--training.epochs", "1", "--jobs", "2", "--out", "sweep"]
    assert main(command) == 0
    rows = (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()
    assert rows[0] == "run,model.hidden,training.seed,loss,epoch,parameters"
    losses = [float(row.split(",")[-3]) for row in rows[1:]]
    assert losses == sorted(losses)
    assert len(losses) == 4
    best = capsys.readouterr().out.split("Best: ")[1].split(". Next")[0]
    assert load_checkpoint(best).loss == losses[0]

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "sweep").glob("0*/best.safetensors")}
    assert len(before) == 4
    begun = sorted((tmp_path / "sweep" / "configs").glob("*.yaml"))[0]
    content = yaml.safe_load(begun.read_text())
    del content["data"]["coarsen"]  # as of a version that knew no such key
    begun.write_text(yaml.safe_dump(content))
    assert main([*command, "--resume"]) == 0
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    begun.write_text(yaml.safe_dump({**content, "training": {"epochs": 2}}))
    assert main([*command, "--resume"]) == 2
    assert "does not hold what is asked for now" in capsys.readouterr().err


@pytest.mark.slow
def test_what_fails_is_named_and_the_others_are_trained(tmp_path, capsys):
    content = {"try": {"training.learning_rate": [0.001, 1e30]}}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(content))
    command = ["sweep", "grid.yaml", "--data.path", "x.npy", *TINY, "--training.epochs", "2"]
    command += ["--training.optimiser", "adam", "--training.gradient_clip", "null"]
    assert main([*command, "--training.warmup_steps", "0", "--out", "sweep"]) == 2
    told = capsys.readouterr()
    assert "001_learning_rate=1e+30: framecast train: the loss became NaN or infinite" in told.err
    assert "Best: sweep/000_learning_rate=0.001" in told.out
    rows = (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "000_learning_rate=0.001"]
    assert (tmp_path / "sweep" / "000_learning_rate=0.001" / "best.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_they_go_on(tmp_path, number):
    options = [*TINY, "--training.epochs", "60", "--seeds", "2", "--jobs", "2", "--out", "runs"]
    command = [sys.executable, "-m", "framecast", "train", "starter", "--data.path", "x.npy"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    logs = [tmp_path / "runs" / "logs" / f"seed_{n}.txt" for n in (0, 1)]
    until = time.monotonic() + 120
    while not all(p.exists() and "epoch 1/" in p.read_text() for p in logs):
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Go on with --resume" in said
    for n in (0, 1):
        assert (tmp_path / "runs" / f"seed_{n}" / "resume.ckpt").exists()
    assert main(["train", "--resume", "--out", "runs", "--jobs", "2"]) == 0
    assert load_checkpoint("runs/seed_1").epoch <= 60
    assert "epoch 60/60" in logs[1].read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--seeds 0", "--seeds 0 must be at least 1"),
        ("--seeds 2 --jobs 0", "--jobs 0 must be at least 1"),
        ("--jobs 2", "--jobs goes with several runs"),
        ("--seeds 2 --resume", "leave the recipe and --seeds out"),
    ],
)
def test_what_does_not_fit_is_named(capsys, options, words):
    assert train(*options.split(), "--out", "runs") == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_is_there_is_not_touched(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    assert train("--seeds", "2", "--out", "runs") == 2
    assert "runs exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"recipe": "starter"}, "must hold the key try"),
        ({"try": {"model.hidden": 4}}, "must be a list of the values to try"),
        ({"try": {"model.hiden": [4]}}, "hidden"),
        ({"try": {1: [4]}}, "1 is the name of no key"),
        ({"try": {"model.hidden": [4]}, "seeds": 3}, "unknown key seeds"),
        ({"try": {"model.hidden": {"low": 4, "high": 8}}}, "draws says how many"),
        ({"try": {"model.hidden": {"low": 4}}, "draws": 2}, "must be a range"),
        ({"try": {"model.hidden": {"low": 4, "high": 4}}, "draws": 2}, "below high"),
        ({"try": {"training.noise": {"low": 0, "high": 1, "log": True}}, "draws": 2}, "above 0"),
        ({"try": {"model.hidden": [4]}, "draws": 0}, "draws 0 must be at least 1"),
        ({"try": {"model.hidden": [4]}, "draws": "many"}, "whole number"),
        ({"try": {"model.hidden": [4]}, "seed": 1}, "draws does not say"),
    ],
)
def test_a_grid_that_says_nothing_is_refused(tmp_path, capsys, content, words):
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(content))
    assert main(["sweep", "grid.yaml", "--data.path", "x.npy", "--out", "sweep"]) == 2
    assert words in capsys.readouterr().err


def test_a_key_that_is_tried_is_not_given_too(tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({"try": {"model.hidden": [4]}}))
    given = ("--data.path", "x.npy", "--model.hidden", "8")
    assert main(["sweep", "grid.yaml", *given, "--out", "sweep"]) == 2
    assert "--model.hidden is given, and the file tries values" in capsys.readouterr().err


def test_jobs_differ_by_what_is_said():
    jobs = grid(None, {"model.depth": "1"}, {"model.hidden": [2, 4], "training.seed": [0, 1, 2]})
    assert [job.values["model.hidden"] for job in jobs] == [2, 2, 2, 4, 4, 4]
    assert {job.experiment.model.depth for job in jobs} == {1}
    assert len({job.name for job in jobs}) == 6
    with pytest.raises(UserError, match="at least 1"):
        seeds(Experiment(), 0)


RANGES = {
    "model.hidden": {"low": 4, "high": 64},
    "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.layer": ["conv_gru", "min_conv_gru"],
}


def test_values_are_drawn_from_lists_and_ranges():
    jobs = draws(None, {}, RANGES, 200, 0)
    hidden = [job.experiment.model.hidden for job in jobs]
    assert min(hidden) >= 4
    assert max(hidden) <= 64
    assert len(set(hidden)) > 40
    rates = [job.experiment.training.learning_rate for job in jobs]
    assert 1e-4 <= min(rates) < 2e-4
    assert 5e-3 < max(rates) <= 1e-2
    # Even in the logarithm: half of the draws lie below the geometric mean of the ends.
    assert 70 < sum(rate < 1e-3 for rate in rates) < 130
    assert {job.experiment.model.layer for job in jobs} == set(RANGES["model.layer"])


@pytest.mark.parametrize(("low", "high"), [(0.00012345, 0.00012346), (3.0001, 3.0002)])
def test_what_is_drawn_stays_in_its_range(low, high):
    jobs = draws(None, {}, {"training.learning_rate": {"low": low, "high": high}}, 5, 0)
    assert all(low <= job.values["training.learning_rate"] <= high for job in jobs)


@pytest.mark.parametrize("high", [float("inf"), 10**23])
def test_a_range_without_an_end_is_refused(high):
    with pytest.raises(UserError, match="must be between"):
        draws(None, {}, {"model.hidden": {"low": 1, "high": high}}, 5, 0)


def test_seeds_beyond_the_last_are_refused(capsys):
    assert train("--training.seed", f"{2**32 - 1}", "--seeds", "2", "--out", "runs") == 2
    assert "must be below" in capsys.readouterr().err


def test_draws_follow_from_the_seed_and_the_place_of_a_run():
    few, many = draws(None, {}, RANGES, 3, 0), draws(None, {}, RANGES, 5, 0)
    assert few == many[:3]
    assert draws(None, {}, RANGES, 3, 1) != few


@pytest.mark.slow
def test_a_sweep_may_be_of_runs_that_are_drawn(tmp_path, capsys):
    content = {"try": {"training.learning_rate": {"low": 1e-4, "high": 1e-2}}, "draws": 2}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(content))
    command = ["sweep", "grid.yaml", "--data.path", "x.npy", *TINY, "--training.epochs", "1"]
    assert main([*command, "--out", "sweep"]) == 0
    rows = (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()
    assert rows[0].startswith("run,training.learning_rate,loss")
    assert len(rows) == 3
    assert main([*command, "--out", "sweep", "--resume"]) == 0
