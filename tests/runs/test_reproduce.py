"""framecast reproduce: reported results are made again and compared."""

import json
import subprocess
from pathlib import Path

import pytest

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.cli.reproducing import _do
from framecast.runs.reproduce import claims, compare, read_claim

RESULTS = Path(__file__).parents[2] / "results"


def evaluation(**errors):
    """An evaluation with a model for each name, and its RMSE at two lead times."""
    loops = {name: {"field": {"closed_loop": {"rmse": {"value": e}}}} for name, e in errors.items()}
    return {
        "models": [{"label": name, "metrics": values} for name, values in loops.items()],
        "baselines": [],
    }


@pytest.fixture
def results(tmp_path):
    """A claim that is made by one quick command, and what was reported."""
    folder = tmp_path / "results" / "reproduce"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(
        "about: a test\ncommands: [recipes starter]\nexpected: small.json\ntolerance: 0.1\n"
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
    (score,) = compare(claim, found(tmp_path, gru=errors) / "evaluation", results)
    assert score.reported == 1.0
    assert score.found == pytest.approx(sum(errors) / 2)
    assert score.holds is holds


def test_a_model_that_is_missing_is_named(results, tmp_path):
    out = found(tmp_path, lstm=[1.0, 1.0])
    with pytest.raises(UserError, match="no scores of gru field"):
        compare(read_claim("small", results), out / "evaluation", results)


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
        assert (RESULTS / "reproduce" / claim.expected).is_file()


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
