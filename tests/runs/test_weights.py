"""Trained networks to take: listed, described, copied, and named wherever a run is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import framecast
import imagined
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.runs.card import Described, card
from framecast.runs.weights import shelf
from small import untrained_run

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def results(tmp_path):
    """Two seeds of one network, of which the second is the better, with their evidence."""
    np.save(tmp_path / "waves.npy", np.random.default_rng(0).normal(size=(4, 9, 1, 6, 6)))
    log = "epoch,seconds,val_loss\n1,60.0,0.5\n2,60.0,0.4\n"
    environment = {"framecast": "0.1.0", "device": "cpu", "machine": "x86_64", "threads": "1"}
    runs = []
    for seed in (0, 1):
        run = tmp_path / "results" / "waves" / "waves-gru" / f"seed_{seed}"
        run.mkdir(parents=True)
        untrained_run(run, tmp_path / "waves.npy", seed=seed)
        (run / "log.csv").write_text(log)
        (run / "environment.json").write_text(json.dumps(environment))
        parameters = framecast.load_checkpoint(run).parameters
        runs.append({"path": f"runs/waves-gru/seed_{seed}", "parameters": parameters})
    scores = {"field": {"closed_loop": {"rmse": {"value": [0.25, 0.5]}}}}
    said = {
        "data": {"source": "waves.npy", "grid": [6, 6], "channels": [{"name": "a", "units": "m"}]},
        "windows": 7,
        "lead_times": [1.0, 2.0],
        "lead_time_units": "h",
        "models": [{"label": "gru", "runs": runs, "metrics": scores}],
        "baselines": [{"label": "persistence", "metrics": scores}],
    }
    (tmp_path / "results" / "waves" / "metrics.json").write_text(json.dumps(said))
    return tmp_path / "results"


@pytest.fixture
def here(results, monkeypatch):
    """Let these be the networks that are here."""
    monkeypatch.setattr("framecast.runs.weights.PACKED", results)
    return results


def test_of_several_seeds_the_best_in_validation_is_taken(results):
    checkpoint = framecast.load_checkpoint(results / "waves" / "waves-gru" / "seed_1")
    better = checkpoint.__class__(**{**vars(checkpoint), "loss": 0.1})
    better.save(results / "waves" / "waves-gru" / "seed_1" / "best.safetensors")
    assert shelf(results)["waves-gru"].path.name == "seed_1"


def test_a_card_says_what_was_trained_on_what_and_how_good_it_is(results):
    taken = shelf(results)["waves-gru"]
    parameters = framecast.load_checkpoint(taken.path).model.parameters()
    told = card(taken)
    for words in (
        "# waves-gru",
        "A forecaster of min_conv_gru, trained with framecast 0.1.0",
        "Data: waves.npy",
        "Frames: 6×6 cells",
        "Trained to: read 3 frames, and forecast 4",
        "Training: 2 minutes on cpu (x86_64, 1 thread)",
        f"Parameters: {sum(weights.numel() for weights in parameters):,}\n",
        "Measured on 7 windows of waves.npy, beside baselines, as a mean of 2 runs",
        "| field | gru | rmse | lead 1 h | 0.25 |",
        "| field | gru | rmse | lead 2 h | 0.5 |",
        "| field | persistence | rmse | lead 2 h | 0.5 |",
    ):
        assert words in told


def test_a_network_is_named_wherever_a_run_is(here, tmp_path, capsys):
    out = tmp_path / "forecast.npz"
    source = str(tmp_path / "waves.npy")
    assert main(["forecast", "weights:waves-gru", source, "--steps", "2", "--out", str(out)]) == 0
    assert out.exists()
    assert main(["forecast", "weights:waves-gro", source, "--steps", "2", "--out", "x.npz"]) == 2
    assert "waves-gru" in capsys.readouterr().err
    assert framecast.take("waves-gru") == here / "waves" / "waves-gru" / "seed_0"
    with pytest.raises(UserError, match="there are no weights"):
        framecast.take("nothing")


def test_the_command_lists_describes_and_copies(here, tmp_path, capsys):
    assert main(["weights"]) == 0
    assert "waves-gru  min_conv_gru on waves.npy" in capsys.readouterr().out
    assert main(["weights", "waves-gru"]) == 0
    assert capsys.readouterr().out.startswith("# waves-gru")
    copy = tmp_path / "mine"
    assert main(["weights", "waves-gru", "--out", str(copy)]) == 0
    assert "# waves-gru" in (copy / "README.md").read_text()
    framecast.load_checkpoint(copy)
    assert main(["weights", "waves-gru", "--out", str(copy)]) == 2
    assert main(["weights", "--out", str(copy)]) == 2


def test_every_network_behind_a_result_can_be_taken():
    known = shelf(RESULTS)
    assert {"navier-stokes-min-conv-lstm-small", "storm1996", "stage-iv"} <= set(known)
    for taken in known.values():
        framecast.from_pretrained(taken.path)
        assert "Measured on" in card(taken)


def test_a_process_that_has_loaded_nothing_else_knows_every_kind_of_network():
    command = [sys.executable, "-m", "framecast", "weights", "vizdoom-world-conv-s5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parent)
    assert "A world model of conv_s5" in done.stdout, done.stderr


def test_those_that_are_packed_are_small(tmp_path):
    total = sum(
        taken.path.joinpath("best.safetensors").stat().st_size
        for taken in shelf(RESULTS).values()
        if taken.evidence.parent.name in ("navier-stokes-small", "shallow-water", "stage-iv")
    )
    assert total < 3_000_000


def test_a_card_tells_the_scores_of_pictures(results):
    evidence = results / "waves" / "metrics.json"
    said = json.loads(evidence.read_text())
    said["data"]["source"] = "moving_mnist (digits: data/mnist)"
    for model in (*said["models"], *said["baselines"]):
        model["frame_metrics"] = {"closed_loop": {"psnr": {"value": [19.5, 14.25]}}}
    evidence.write_text(json.dumps(said))
    told = card(shelf(results)["waves-gru"])
    assert "7 windows of moving_mnist, beside" in told
    assert "| frame | gru | psnr | lead 2 h | 14.25 |" in told
    assert "| frame | persistence | psnr | lead 1 h | 19.5 |" in told


def test_where_there_is_one_lead_time_it_stands_once(results):
    evidence = results / "waves" / "metrics.json"
    said = json.loads(evidence.read_text())
    said["lead_times"] = [1.0]
    for model in (*said["models"], *said["baselines"]):
        model["metrics"]["field"]["closed_loop"]["rmse"]["value"] = [0.25]
    evidence.write_text(json.dumps(said))
    assert card(shelf(results)["waves-gru"]).count("| field | gru | rmse |") == 1


@pytest.fixture
def evaluated(tmp_path):
    """Two networks, in folders of one name, and the evaluation of the second."""
    np.save(tmp_path / "waves.npy", np.random.default_rng(0).normal(size=(4, 9, 1, 6, 6)))
    runs = []
    for parent, hidden in (("runs", 4), ("others", 6)):
        run = tmp_path / parent / "a"
        run.mkdir(parents=True)
        runs.append(untrained_run(run, tmp_path / "waves.npy", hidden=hidden))
    evaluation = tmp_path / "ev"
    assert main(["evaluate", str(runs[1]), "--out", str(evaluation)]) == 0
    return *runs, evaluation


def test_a_card_never_tells_the_scores_of_another_network(evaluated, tmp_path, capsys):
    run, other, evaluation = evaluated
    assert main(["weights", str(run), "--evaluation", str(evaluation)]) == 2
    assert f"says nothing of the weights in {run}: it is about {other}" in capsys.readouterr().err
    assert main(["weights", str(other), "--evaluation", str(evaluation)]) == 0
    parameters = framecast.load_checkpoint(other).parameters
    assert f"Parameters: {parameters:,}\n" in capsys.readouterr().out
    # As many parameters, and the same place, but trained anew.
    untrained_run(other, tmp_path / "waves.npy", seed=1, hidden=6)
    assert main(["weights", str(other), "--evaluation", str(evaluation)]) == 2


def test_a_run_is_known_by_its_weights_wherever_it_lies(evaluated, tmp_path, capsys):
    _, other, evaluation = evaluated
    evaluation.rename(other / "evaluation")
    other.rename(tmp_path / "renamed")
    assert main(["weights", str(tmp_path / "renamed")]) == 0
    assert "Measured on" in capsys.readouterr().out


def without_fingerprints(evaluation):
    """Make of an evaluation what an older framecast wrote."""
    file = evaluation / "metrics.json"
    said = json.loads(file.read_text())
    for run in said["models"][0]["runs"]:
        del run["fingerprint"]
    file.write_text(json.dumps(said))


def test_older_evaluations_are_matched_by_path_and_parameters(evaluated, tmp_path):
    run, other, evaluation = evaluated
    without_fingerprints(evaluation)
    assert main(["weights", str(other), "--evaluation", str(evaluation)]) == 0
    assert main(["weights", str(run), "--evaluation", str(evaluation)]) == 2
    renamed = other.rename(tmp_path / "renamed")
    assert main(["weights", str(renamed), "--evaluation", str(evaluation)]) == 2
    evaluation.rename(renamed / "evaluation")
    assert main(["weights", str(renamed)]) == 0


def test_a_card_that_lies_in_a_run_is_what_is_shown(results, tmp_path, capsys):
    run, given = results / "waves" / "waves-gru" / "seed_0", tmp_path / "given"
    assert main(["weights", str(run), "--licence", "apache-2.0", "--out", str(given)]) == 0
    capsys.readouterr()
    assert main(["weights", str(given)]) == 0
    told = capsys.readouterr().out
    assert "- Licence: apache-2.0\n" in told
    assert told == (given / "README.md").read_text()
    assert main(["weights", str(given), "--licence", "mit"]) == 0
    assert "- Licence: mit\n" in capsys.readouterr().out
    (given / "README.md").write_text("# mine\x1b[2J\n")
    assert main(["weights", str(given)]) == 0
    assert capsys.readouterr().out == "# mine[2J\n"


def test_the_command_that_comes_next_is_one_of_its_kind_and_can_be_typed(results, tmp_path, capsys):
    waves = results / "waves" / "waves-gru" / "seed_0"
    sources = {
        waves: "forecast '{}' INPUT --steps K --out forecast.nc",
        imagined.save(tmp_path / "world"): "forecast '{}' EPISODE --start N --steps K --out",
        shelf(RESULTS)["activities-conv-lstm"].path: "recognise '{}' VIDEO",
    }
    for number, (source, command) in enumerate(sources.items()):
        out = tmp_path / f"given {number}"
        assert main(["weights", str(source), "--out", str(out)]) == 0
        assert f"Next: framecast {command.format(out)}" in capsys.readouterr().out
    words = ["forecast", str(tmp_path / "given 0"), str(tmp_path / "waves.npy"), "--steps", "2"]
    assert main([*words, "--out", str(tmp_path / "forecast.npz")]) == 0


def change(run, section, **keys):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config[section] |= keys
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def test_a_network_of_several_files_names_them_all(results):
    run = results / "waves" / "waves-gru" / "seed_0"
    change(run, "data", path=["data/one.nc", "data/two.nc"])
    assert Described("waves", run).data == "one.nc, two.nc"


@pytest.mark.parametrize(("file", "content", "words"), [
    ("config.yaml", "", "does not hold keys and values"),
    ("config.yaml", "data:", "data must hold keys and values, not None"),
    ("config.yaml", "model: 7", "model must hold keys and values, not 7"),
    ("environment.json", "{", "does not say device and threads"),
    ("environment.json", '{"device": "cpu", "threads": "many"}', "does not say device and threads"),
    ("environment.json", "[]", "does not say device and threads"),
    ("log.csv", "epoch,loss\n1,2\n", "does not say the seconds of epochs"),
    ("log.csv", "epoch,seconds\n1,long\n", "does not say the seconds of epochs"),
])  # fmt: skip
def test_damaged_files_of_a_run_are_named(results, capsys, file, content, words):
    run = results / "waves" / "waves-gru" / "seed_0"
    (run / file).write_text(content)
    assert main(["weights", str(run)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert words in said
    assert file in said
