"""World models beside one another: what they go on to see, scored by lead, sample and age."""

import csv
import json

import numpy as np
import pytest
import torch

from framecast import forecast_file
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.evaluate import evaluate
from framecast.forecast.members import Variation
from framecast.metrics import MetricChoice
from framecast.metrics.images import psnr
from imagined import save, write_episode

CONTEXT, STEPS = 6, 10
PLACES = [0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 0, 9, 9, 8]
"""Where the agent stands along a line: it goes back from the seventh frame on."""


def poses(places=PLACES):
    pos = np.zeros((len(places), 3), np.float32)
    pos[:, 0] = places
    rot = np.tile(np.array([1, 0, 0, 0], np.float32), (len(places), 1))
    return {"pos": pos, "rot": rot}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for part, count in (("train", 2), ("test", 4)):
        for number in range(count):
            file = root / part / "0" / f"{number}.npz"
            write_episode(file, seed=number, length=CONTEXT + STEPS, **poses())
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return save(tmp_path_factory.mktemp("runs") / "one", data=data)


@pytest.fixture(scope="module")
def whole(run):
    """All windows, and one sample of each."""
    return scored(run)


def scored(runs, **options):
    runs = runs if isinstance(runs, list) else [runs]
    plain = {"context": CONTEXT, "steps": STEPS, "baselines": ["persistence"]}
    return evaluate(runs, **plain | options)


def truth_of(data):
    files = sorted((data / "test" / "0").iterdir())
    return np.stack([np.load(file)["video"] for file in files]).transpose(0, 1, 4, 2, 3)


def psnr_of(frames, truth):
    images = (torch.from_numpy(np.asarray(x, np.float32)) / 255 for x in (frames, truth))
    return psnr(*images).numpy()


def test_a_sample_is_scored_that_the_command_forecast_draws(run, data, tmp_path):
    file, out = data / "test" / "0" / "0.npz", tmp_path / "a.npz"
    forecast_file(run, file, STEPS, out, starts=[str(CONTEXT - 1)], context=CONTEXT)
    own = psnr_of(np.load(out)["frames"], truth_of(data)[0, CONTEXT:])
    found = scored(run, data=file)
    leads = found.phases["closed_loop"]
    np.testing.assert_allclose(found.models[0].mean("psnr")[leads, 0], own, rtol=1e-5)


def test_windows_are_drawn_alike_whatever_stands_beside_them(run, whole):
    threes = scored(run, batch_size=3)
    leads = whole.phases["closed_loop"]
    for metric in ("rmse", "psnr", "ssim"):
        both = [e.models[0].mean(metric)[leads] for e in (whole, threes)]
        np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)


def test_the_last_given_frame_stands_beside_them(whole, data):
    truth = truth_of(data)
    own = psnr_of(truth[:, CONTEXT - 1 : CONTEXT].repeat(STEPS, 1), truth[:, CONTEXT:])
    assert whole.baselines[0].label == "persistence"
    leads = whole.phases["closed_loop"]
    np.testing.assert_allclose(whole.baselines[0].mean("psnr")[leads, 0], own.mean(0), rtol=1e-6)


def test_samples_are_scored_each_by_itself(run, whole):
    found = scored(run, members=3)
    model, leads = found.models[0], found.phases["closed_loop"]
    each = np.stack([scores.metric("psnr")[leads, 0, 0] for scores in model.scores])
    np.testing.assert_allclose(model.mean("psnr")[leads, 0], each.mean(0))
    np.testing.assert_allclose(model.spread("psnr")[leads, 0], each.std(0, ddof=1))
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(each[0], whole.models[0].mean("psnr")[leads, 0], rtol=1e-5)
    # The mean of samples would be closer to the truth than any of them: it is not what is scored.
    assert "crps" not in found.metrics
    assert found.spread_over == "samples"
    other = scored(run, variation=Variation(5)).models[0].mean("psnr")[leads, 0]
    assert np.abs(each[0] - other.numpy()).max() > 1e-3


def test_groups_of_windows_give_a_mean_and_a_deviation(run, whole):
    halves = scored(run, group_size=2)
    leads = whole.phases["closed_loop"]
    by_window = whole.models[0].scores[0].sums["psnr_total"][:, leads, 0, 0].numpy()
    means = np.stack([by_window[:2].mean(0), by_window[2:].mean(0)])
    found = halves.models[0]
    np.testing.assert_allclose(found.mean("psnr")[leads, 0], means.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.spread("psnr")[leads, 0], means.std(0, ddof=1), rtol=1e-3)
    assert halves.baselines[0].spread("psnr") is not None
    assert halves.spread_over == "groups of 2 windows"
    with pytest.raises(UserError, match="no whole groups of so many: choose one of 1, 2, 4"):
        scored(run, group_size=3)
    with pytest.raises(UserError, match="both group windows"):
        scored(run, group_size=2, by="sequence")


def test_hidden_actions_change_what_is_drawn(run, whole):
    hidden = scored(run, hide_actions=True)
    leads = whole.phases["closed_loop"]
    both = [e.models[0].mean("psnr")[leads] for e in (whole, hidden)]
    assert (both[0] - both[1]).abs().max() > 1e-3
    assert hidden.actions_hidden


def test_ages_part_the_frames_by_when_their_place_was_shown(whole, data):
    found = whole
    # Given: 0 to 5. Then 6 (new), 5 (given two frames ago), 4, ... 0, and 9, 9, 8 (new).
    ages = [0, 2, 4, 6, 8, 10, 12, 0, 0, 0]
    truth = truth_of(data)
    own = psnr_of(truth[:, CONTEXT - 1 : CONTEXT].repeat(STEPS, 1), truth[:, CONTEXT:])
    average = found.average(found.baselines[0]).mean("psnr_by_age")[0, 0]
    bins = [[n for n, age in enumerate(ages) if low <= age <= high]
            for low, high in ((0, 0), (1, 8), (9, 16))]  # fmt: skip
    expected = [own[:, places].mean() for places in bins]
    assert found.measure.edges == (8, 16)
    np.testing.assert_allclose(average, expected, rtol=1e-6)
    model = found.average(found.models[0])
    counts = model.scores[0].sums["psnr_by_age_count"].sum((0, 1, 2, 3))
    assert counts.tolist() == [4 * len(places) for places in bins]


def test_the_tolerance_of_poses_is_a_setting(run):
    def counts(**options):
        found = scored(run, metrics=MetricChoice(("psnr_by_age",)), **options)
        average = found.average(found.baselines[0])
        return average.scores[0].sums["psnr_by_age_count"].sum((0, 1, 2, 3)).tolist()

    assert counts() == counts(same_pose=(0.5, 15.0)) == [16, 16, 8]
    # Within a step, the seventh frame and the eighth are not elsewhere than the sixth.
    assert counts(same_pose=(1.0, 15.0)) == [12, 12, 8]


def test_several_models_stand_in_one_report(run, data, tmp_path, capsys):
    other = save(tmp_path / "runs" / "other", layer="conv_lstm", seed=1, data=data)
    out = tmp_path / "report"
    command = ["evaluate", str(run), str(other), "--out", str(out)]
    command += ["--context", str(CONTEXT), "--steps", str(STEPS), "--members", "2"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "conv_s5 (2 samples)" in printed.replace("\n", " ")
    assert "PSNR (dB) by age" in printed
    described = json.loads((out / "metrics.json").read_text())
    assert [model["label"] for model in described["models"]] == ["conv_s5", "conv_lstm"]
    assert described["models"][0]["samples"] == 2
    assert described["same_pose"] == {"distance": 0.5, "degrees": 15.0}
    assert described["axes"]["age"]["labels"] == ["new", "1–8", "9–16"]
    rows = list(csv.DictReader((out / "curves.csv").read_text().splitlines()))
    by_age = [r for r in rows if r["metric"] == "psnr_by_age" and r["model"] == "conv_lstm"]
    assert {row["at"] for row in by_age} == {"new", "1–8", "9–16"}
    page = (out / "report.html").read_text()
    assert "within 0.5 of its units and 15 degrees" in page
    assert "the standard deviation over samples" in page
    model = described["models"][1]["runs"][0]
    assert model["layer"] == "conv_lstm"
    assert 0 < model["parameters"] < 100_000


def test_without_poses_ages_are_left_out_with_a_line(tmp_path, capsys):
    for part in ("train", "test"):
        write_episode(tmp_path / "data" / part / "0" / "0.npz")
    own = save(tmp_path / "run", data=tmp_path / "data")
    out = tmp_path / "report"
    command = ["evaluate", str(own), "--out", str(out), "--context", "4", "--steps", "3"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "PSNR (dB) by age is left out: it needs to know where the agent stands" in said
    assert not (out / "curves.csv").exists()
    with pytest.raises(UserError, match="psnr_by_age needs to know where the agent stands"):
        evaluate([own], context=4, steps=3, metrics=MetricChoice(("psnr_by_age",)))


def test_too_short_episodes_are_refused(run):
    with pytest.raises(UserError, match=r"have 16 frames, too few for 144 given and 156 forecast"):
        scored(run, context=144, steps=156)


def test_what_is_for_forecasters_alone_is_refused(run, data, tmp_path):
    other = save(tmp_path / "other", seed=1, data=data)
    with pytest.raises(UserError, match="--perturb is not for world models"):
        scored(run, variation=Variation(0, 0.1))
    with pytest.raises(UserError, match="--together is not for world models"):
        scored([run, other], together=True)


def test_actions_that_nobody_knows_are_refused(tmp_path):
    """Actions that are stored late are not known after the last frame but one of an episode."""
    for part in ("train", "test"):
        write_episode(tmp_path / "data" / part / "0" / "0.npz", length=9)
    own = save(tmp_path / "run", data=tmp_path / "data")
    config = (own / "config.yaml").read_text().replace("rate: 10.0", "with_actions: false")
    (own / "config.yaml").write_text(config)
    with pytest.raises(UserError, match="does not say what was done"):
        scored(own, context=4, steps=3)
    assert scored(own, context=4, steps=3, hide_actions=True).windows == 1
