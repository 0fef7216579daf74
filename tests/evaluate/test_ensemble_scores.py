"""Runs with members are scored by them: the whole way from training to the report."""

import json
import shutil

import pytest
import torch
import yaml

from conftest import close
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.evaluate import evaluate
from framecast.evaluate.network import Network
from framecast.forecast.competitor import Stretch
from framecast.forecast.ensemble import ForecastModel, forecast_members
from framecast.forecast.members import Variation
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import outlook
from framecast.frames.batch import Place
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import load_checkpoint
from framecast.train import train
from small import experiment

KEYS = {"loss": "crps", "members": 2, "epochs": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that reads noise, and one that does not."""
    folder = tmp_path_factory.mktemp("runs")
    data = {"test_fraction": 0.3}
    noisy = experiment(folder, data, {"noise_channels": 2}, **KEYS)
    return train(noisy, folder / "noisy"), train(experiment(folder, data, epochs=1), folder / "one")


def test_the_report_has_the_scores_of_members(runs, tmp_path):
    noisy, one = runs
    out = tmp_path / "report"
    words = ["evaluate", noisy, one, "--members", 3, "--seed", 2, "--out", out]
    assert main(list(map(str, words))) == 0
    first, second = json.loads((out / "metrics.json").read_text())["models"]
    assert first["members"] == 3
    assert second["members"] == 1
    scores = evaluate(runs, members=3, variation=Variation(seed=2)).models[0]
    assert scores.has("spread_skill")
    assert scores.mean("spread").min() > 0
    other = evaluate(runs, members=3, variation=Variation(seed=3)).models[0]
    assert not torch.equal(scores.mean("crps"), other.mean("crps"))


def test_a_run_that_reads_noise_has_eight_members_if_nothing_is_said(runs):
    first, second = evaluate(runs).models
    assert (first.members, second.members) == (8, 1)


def test_the_window_that_is_shown_has_the_members_that_were_scored(runs):
    evaluation = evaluate(runs, members=3)
    noisy, one = evaluation.models
    shown = evaluation.examples[0].forecasts
    expected = [noisy.example.mean(0), noisy.example.std(0), *noisy.example.aminmax(dim=0)]
    torch.testing.assert_close(shown[0], torch.stack(expected))
    torch.testing.assert_close(shown[1], one.example)


def test_given_frames_may_be_perturbed(runs):
    (model,) = evaluate(runs[1:], members=4, variation=Variation(perturb=0.1)).models
    assert model.members == 4
    assert model.mean("spread").min() > 0


@pytest.mark.parametrize(
    ("members", "variation", "message"),
    [
        (3, Variation(), "reads no noise"),
        (None, Variation(seed=1), "would change nothing"),
        (0, Variation(perturb=0.1), "at least 1"),
    ],
)
def test_what_makes_no_ensemble_is_refused(runs, members, variation, message):
    with pytest.raises(UserError, match=message):
        evaluate(runs[1:], members=members, variation=variation)


def test_stretches_and_groups_change_no_member(runs):
    """What is scored is what is forecast, however it is cut into stretches and groups."""
    predictor = Predictor(load_checkpoint(runs[0]), "cpu")
    frames = read_frames(runs[0].parent / "waves.npy")
    places = [Place(0, 1), Place(2, 3)]

    def predictions(at_once, *lengths):
        network = Network(predictor, frames, 3, Variation(seed=1), at_once)
        state, begin, parts = None, 0, []
        for length in lengths:
            here = [Place(n, start + begin) for n, start in places]
            values = [frames.values[n, at : at + length + 1] for n, at in here]
            given = max(0, min(length, 4 - begin))
            stretch = Stretch(here, torch.stack(values), given, begin >= 3)
            part, state = network.predict(stretch, state)
            parts.append(part)
            begin += length
        return torch.cat(parts, 2)

    whole = predictions(None, 7)
    assert whole.shape[:3] == (3, 2, 7)
    close(predictions(2, 3, 1, 3), whole, 1e-5)
    close(predictions(1, 4, 2, 1), whole, 1e-5)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Two runs that differ by their seed, and two of such that read noise."""
    folder = tmp_path_factory.mktemp("seeds")

    def trained(seed, name, model=None, **training):
        plan = experiment(folder, {"test_fraction": 0.3}, model, seed=seed, **training)
        return train(plan, folder / f"{name}{seed}")

    plain = [trained(seed, "plain", epochs=1) for seed in (0, 1)]
    return plain, [trained(seed, "noisy", {"noise_channels": 2}, **KEYS) for seed in (0, 1)]


def test_several_runs_are_scored_as_one_ensemble(seeds, tmp_path):
    plain, _ = seeds
    out = tmp_path / "report"
    assert main(list(map(str, ["evaluate", *plain, "--together", "--out", out]))) == 0
    model, ensemble = json.loads((out / "metrics.json").read_text())["models"]
    assert (len(model["runs"]), model["members"]) == (2, 1)
    assert (ensemble["label"], ensemble["runs"], ensemble["members"]) == ("all 2 runs", [], 2)
    _, ensemble = evaluate(plain, together=True).models
    alone = [evaluate([run]).models[0].example for run in plain]
    torch.testing.assert_close(ensemble.example, torch.cat(alone))
    assert ensemble.mean("spread").min() > 0
    assert "all 2 runs" in (out / "report.html").read_text()


def test_seeds_of_an_older_version_count_as_the_same_model(seeds, tmp_path):
    """Its configuration lacks keys that are new."""
    first, second = seeds[0]
    older = tmp_path / "older"
    shutil.copytree(second, older)
    config = yaml.safe_load((older / "config.yaml").read_text())
    del config["data"]["coarsen"]
    (older / "config.yaml").write_text(yaml.safe_dump(config))
    (model,) = evaluate([first, older]).models
    assert len(model.runs) == 2
    with pytest.raises(UserError, match="same configuration and seed"):
        evaluate([second, older])


def test_members_of_several_runs_are_those_of_a_forecast_by_them(seeds):
    _, noisy = seeds
    waves = noisy[0].parent / "waves.npy"
    shown = evaluate(noisy, data=str(waves), members=3, together=True).models[1].example
    frames = read_frames(waves).select(slice(0, 1))
    predictors = [Predictor(load_checkpoint(run), "cpu") for run in noisy]
    models = [
        ForecastModel(one, outlook(one, frames, [3], 3, 4, None), str(run))
        for one, run in zip(predictors, noisy, strict=True)
    ]
    forecast = torch.stack(list(forecast_members(models, 6)), 1)
    assert len(shown) == 6
    close(shown[[0, 3, 1, 4, 2, 5]], forecast.squeeze(2), 1e-5)


def test_runs_that_would_not_count_alike_are_not_joined(seeds):
    plain, noisy = seeds
    with pytest.raises(UserError, match="one: "):
        evaluate(plain[:1], together=True)
    with pytest.raises(UserError, match="different numbers of members"):
        evaluate([plain[0], noisy[0]], together=True)


HEADS = [
    {"head": "normal", "predicts": "change"},
    {"head": "quantiles", "head_options": {"count": 5}},
    {"head": "bins", "head_options": {"count": 20}},
]


@pytest.mark.parametrize("model", HEADS, ids=str)
def test_a_head_goes_all_the_way(tmp_path, model):
    """Trained, resumed from its checkpoint, forecast with members and without, and scored."""
    plan = experiment(tmp_path, {"test_fraction": 0.3}, model, loss="head", epochs=2, noise=0.0)
    run = train(plan, tmp_path / "run")
    waves = tmp_path / "waves.npy"
    out, once = tmp_path / "f.nc", tmp_path / "one.nc"
    words = ["forecast", run, waves, "--steps", 3]
    assert main(list(map(str, [*words, "--members", 40, "--out", out]))) == 0
    assert main(list(map(str, [*words, "--out", once]))) == 0
    members, alone = read_frames(out).values[:], read_frames(once).values[:]
    assert members.std(0).mean() > 0
    first = members.view(40, -1, *members.shape[1:])[:, :, 0]
    middle = first.median(0).values if model["head"] == "quantiles" else first.mean(0)
    assert (middle - alone[:, 0]).abs().mean() < 0.5 * first.std(0).mean()
    scores = evaluate([run], members=6).models[0]
    assert scores.members == 6
    assert scores.mean("crps").isfinite().all()
    assert evaluate([run], members=1).models[0].members == 1


def test_a_run_may_start_from_one_with_another_head(tmp_path):
    first = train(experiment(tmp_path, epochs=1), tmp_path / "first")
    plan = experiment(tmp_path, None, {"head": "normal"}, loss="head", epochs=1, init=str(first))
    second = train(plan, tmp_path / "second")
    assert load_checkpoint(second).model.decoder.weight.shape[0] == 2
