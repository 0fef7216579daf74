"""framecast reproduce: reported results are made again and compared."""

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from framecast.base.config import load_config
from framecast.base.errors import UserError
from framecast.base.recipes import find_recipe
from framecast.cli import main
from framecast.cli.parser import overrides
from framecast.cli.reproducing import _do
from framecast.cli.train import parser
from framecast.runs.experiment import Experiment
from framecast.runs.reproduce import claims, compare, read_claim
from framecast.train.many import seeds

RESULTS = Path(__file__).parents[2] / "results"
BY_HAND = {"maze-walks", "maze-return"}
"""Results whose training was stopped by hand, so that no command makes them again."""


def evaluation(**errors):
    """An evaluation with a model for each name, and its RMSE at two lead times."""
    loops = {name: {"field": {"closed_loop": {"rmse": {"value": e}}}} for name, e in errors.items()}
    none = {"closed_loop": {}}
    return {
        "models": [
            {"label": name, "metrics": values, "frame_metrics": none}
            for name, values in loops.items()
        ],
        "baselines": [],
    }


@pytest.fixture
def results(tmp_path):
    """A claim that is made by one quick command, and what was reported."""
    folder = tmp_path / "results" / "reproduce"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(
        "about: a test\ncommands: [recipes starter]\n"
        "expected: {evaluation: small.json}\ntolerance: 0.1\n"
    )
    (folder / "small.json").write_text(json.dumps(evaluation(gru=[0.5, 1.5])))
    return tmp_path / "results"


def found(tmp_path, **errors):
    (tmp_path / "out" / "evaluation").mkdir(parents=True)
    (tmp_path / "out" / "evaluation" / "metrics.json").write_text(json.dumps(evaluation(**errors)))
    return tmp_path / "out"


@pytest.mark.parametrize(("errors", "holds"), [([0.6, 1.5], True), ([0.5, 1.8], False)])
def test_a_result_holds_where_its_mean_is_near_enough(results, tmp_path, errors, holds):
    claim = read_claim("small", results)
    (score,) = compare(claim, found(tmp_path, gru=errors), results)
    assert score.what == "mean rmse of field"
    assert score.reported == 1.0
    assert score.found == pytest.approx(sum(errors) / 2)
    assert score.holds is holds


def test_a_model_that_is_missing_is_named(results, tmp_path):
    out = found(tmp_path, lstm=[1.0, 1.0])
    with pytest.raises(UserError, match=r"has no mean rmse of field \(gru\)"):
        compare(read_claim("small", results), out, results)


def test_scores_of_frames_and_of_classes_are_compared_too(results, tmp_path):
    claim = read_claim("small", results)
    shares = [{"shares": {"0.5": {"top_1": top}, "1.0": {"top_1": 0.9}}} for top in (0.3, 0.5)]
    model = {
        "label": "gru",
        "metrics": {"grey": {"closed_loop": {}}},
        "frame_metrics": {"closed_loop": {"psnr": {"value": [None, 20.0, 30.0]}}},
        "recognition": shares,
    }
    (results / "reproduce" / "small.json").write_text(
        json.dumps({"models": [model], "baselines": []})
    )
    out = tmp_path / "out" / "evaluation"
    out.mkdir(parents=True)
    model = json.loads(json.dumps(model).replace("20.0", "10.0"))
    (out / "metrics.json").write_text(json.dumps({"models": [model], "baselines": []}))
    (score,) = compare(replace(claim, metric="psnr"), out.parent, results)
    assert (score.what, score.reported, score.found) == ("mean psnr", 25.0, 20.0)
    assert not score.holds
    half, whole = compare(replace(claim, metric="top_1"), out.parent, results)
    assert (half.what, half.reported, half.holds) == ("top_1 at 0.5", 0.4, True)
    assert (whole.what, whole.found) == ("top_1 at 1.0", 0.9)
    reported = json.dumps({"models": [model], "baselines": []}).replace("psnr", "lpips")
    (results / "reproduce" / "small.json").write_text(reported)
    with pytest.raises(UserError, match=r"has no mean lpips \(gru\)"):
        compare(replace(claim, metric="lpips"), out.parent, results)


def test_files_that_no_command_makes_are_asked_for(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("framecast.runs.reproduce.CHECKOUT", results)
    with (results / "reproduce" / "small.yaml").open("a") as file:
        file.write("needs: {rain.nc: of the package stars}\n")
    out = found(tmp_path, gru=[1.0, 1.0])
    assert main(["reproduce", "small", "--out", str(out)]) == 2
    assert "rain.nc is needed: put it there (of the package stars)" in capsys.readouterr().err
    (out / "rain.nc").touch()
    assert main(["reproduce", "small", "--out", str(out)]) == 0


@pytest.mark.parametrize(("error", "code"), [(1.0, 0), (2.0, 2)])
def test_the_command_runs_compares_and_says_so(results, tmp_path, monkeypatch, capfd, error, code):
    monkeypatch.setattr("framecast.runs.reproduce.CHECKOUT", results)
    out = found(tmp_path, gru=[error, error])
    assert main(["reproduce", "small", "--out", str(out)]) == code
    said = capfd.readouterr()
    assert "framecast recipes starter" in said.out
    assert ("NOT as reported" in said.out) is bool(code)
    assert ("small does not come out as reported" in said.err) is bool(code)


def test_what_is_there_already_is_used_again(results, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("framecast.runs.reproduce.CHECKOUT", results)
    claim = results / "reproduce" / "small.yaml"
    claim.write_text(claim.read_text().replace("recipes starter", "evaluate nothing --out run"))
    out = found(tmp_path, gru=[1.0, 1.0])
    (out / "run").mkdir()
    assert main(["reproduce", "small", "--out", str(out)]) == 0
    assert "is there already" in capfd.readouterr().out


def test_a_training_that_was_stopped_goes_on(results, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("framecast.runs.reproduce.CHECKOUT", results)
    claim = results / "reproduce" / "small.yaml"
    claim.write_text(claim.read_text().replace("recipes starter", "train starter --out run"))
    out = found(tmp_path, gru=[1.0, 1.0])
    (out / "run").mkdir()
    assert main(["reproduce", "small", "--out", str(out)]) == 2
    assert "is not a run folder" in capfd.readouterr().err  # so that it was asked to go on


def test_unknown_names_and_places_are_refused(results, capsys):
    with pytest.raises(UserError, match=r"no claim 'smal'.*small"):
        read_claim("smal", results)
    with pytest.raises(UserError, match="in the folder results of a clone"):
        read_claim("small", results / "nowhere")
    assert main(["reproduce", "quick-minimal"]) == 2
    assert "--out FOLDER is needed" in capsys.readouterr().err


def test_every_claim_has_what_it_is_compared_with():
    assert {"quick-minimal", "quick-tensor-train", "quick-state-space"} <= set(claims(RESULTS))
    for name in claims(RESULTS):
        claim = read_claim(name, RESULTS)
        written = [shlex.split(command)[-1] for command in claim.commands]
        for folder, reported in claim.expected.items():
            assert folder in written
            assert (RESULTS / "reproduce" / reported).is_file()


def test_every_result_is_claimed():
    claimed = {
        Path(reported).parent.name
        for name in claims(RESULTS)
        for reported in read_claim(name, RESULTS).expected.values()
    }
    assert {file.parent.name for file in RESULTS.glob("*/metrics.json")} == claimed - {""} | BY_HAND


def _trained(command):
    """The folders that a command trains runs in, each with its experiment."""
    options = parser().parse_args(shlex.split(command)[1:])
    given = overrides(Experiment, options)
    experiment = load_config(Experiment, find_recipe(options.recipe[0]), given)
    if options.seeds is None:
        return [(options.out, experiment)]
    return [(options.out / job.name, job.experiment) for job in seeds(experiment, options.seeds)]


def _comparable(experiment):
    """An experiment without where digits lie, and without the precision of a processor."""
    options = {k: v for k, v in experiment.data.options.items() if k != "digits"}
    data = replace(experiment.data, options=options)
    return replace(experiment, data=data, training=replace(experiment.training, precision=32))


@pytest.mark.parametrize("name", [n for n in claims(RESULTS) if not n.startswith("quick")])
def test_the_commands_of_a_claim_train_what_was_reported(name):
    claim = read_claim(name, RESULTS)
    lines = [line for line in claim.commands if line.startswith("train ")]
    trained = {str(out): made for line in lines for out, made in _trained(line)}
    for reported in claim.expected.values():
        evidence = (RESULTS / "reproduce" / reported).resolve().parent
        models = json.loads((evidence / "metrics.json").read_text())["models"]
        runs = [Path(run["path"]) for model in models for run in model["runs"]]
        for run in runs:
            kept = evidence if len(runs) == 1 else evidence / run.relative_to("runs")
            was = load_config(Experiment, kept / "config.yaml", {})
            assert _comparable(trained[str(run)]) == _comparable(was)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quick-minimal", "quick-tensor-train", "quick-state-space"])
def test_a_small_result_of_each_family_comes_out_as_reported(name, tmp_path):
    assert main(["reproduce", name, "--out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(("command", "begun", "resumed"), [
    ("train one --out run", [], "train one --out run"),
    ("train one --out run", ["run"], "train one --out run --resume"),
    ("train one --seeds 2 --out many", ["many/configs"], "train --resume --out many"),
    ("simulate flow --out data", ["data"], "simulate flow --out data"),
    ("evaluate run --out evaluation", ["evaluation"], None),
])  # fmt: skip
def test_what_was_stopped_goes_on(tmp_path, monkeypatch, command, begun, resumed):
    for folder in begun:
        (tmp_path / folder).mkdir(parents=True)
    calls = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda words, cwd: calls.append(words[3:]) or done)
    _do(command, tmp_path)
    assert calls == ([] if resumed is None else [resumed.split()])
