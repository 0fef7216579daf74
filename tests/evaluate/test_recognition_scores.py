"""What runs name, through evaluation and report, and the command that names a video."""

import csv
import json

import pytest
import torch

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.evaluate import evaluate
from framecast.forecast.predictor import Predictor
from framecast.forecast.recognition import recognise_videos
from framecast.frames.batch import Place
from framecast.frames.windows import Windows
from framecast.models import ForecasterConfig
from framecast.report import evaluate_to
from framecast.report.sightings import draw_sightings
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train
from videos import folder_of_classes

OPTIONS = {"size": [8, 8], "frames": 4, "targets": 2, "seen": [0.25, 0.5]}
NETWORK = {
    "depth": 1,
    "hidden": 4,
    "classifier": "conv_3d",
    "classifier_options": {"frames": 4, "channels": 4, "hidden": 8},
}


def plan(videos, seed=0):
    shares = {"validation_fraction": 0.25, "test_fraction": 0.25}
    keys = {"context": 4, "horizon": 2, "epochs": 6, "batch_size": 4, "precision": 32}
    return Experiment(
        DataConfig("video_classes", str(videos), ["grey"], **shares, options=OPTIONS),
        ForecasterConfig(**NETWORK),
        TrainingConfig(**keys, learning_rate=1e-2, prediction_weight=0.1, seed=seed),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("recognition")


@pytest.fixture(scope="module")
def videos(place):
    return folder_of_classes(place / "classes", each=8)


@pytest.fixture(scope="module")
def runs(place, videos):
    return [train(plan(videos, seed), place / f"run_{seed}") for seed in (0, 1)]


@pytest.fixture(scope="module")
def evaluation(runs):
    return evaluate(runs)


def by_plain_loops(run, videos, share):
    """The probabilities of the test videos, one at a time."""
    checkpoint = load_checkpoint(run)
    source = plan(videos).data.open().at([share])
    frames = source.test()
    windows = Windows(frames, checkpoint.scaling, 4)
    found = []
    for sequence in range(len(frames.values)):
        read = checkpoint.model.read(windows[Place(sequence, 0)].frames)
        found.append(checkpoint.model.watch(read)[1][0, -1].softmax(0))
    return torch.stack(found).detach(), frames.labels.numbers


def test_classes_are_named_at_every_share_as_the_network_does(runs, videos, evaluation):
    recognition, _ = evaluation.models[0].recognition
    assert recognition.trained == (0.25, 0.5)
    assert recognition.shares == (0.1, 0.2, 0.25, *(n / 10 for n in range(3, 11)))
    assert recognition.names == ("fall", "rise")
    for share in (0.1, 0.5, 1.0):
        probabilities, labels = by_plain_loops(runs[0], videos, share)
        torch.testing.assert_close(recognition.named[share].probabilities, probabilities)
        assert torch.equal(recognition.named[share].labels, labels)


def rows(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def test_a_report_says_how_well_classes_are_named(runs, place, capsys):
    out = place / "report"
    evaluation = evaluate_to(runs, out, progress=False)
    told = capsys.readouterr().out
    assert "Classes named right (%), by the share seen" in told
    (model,) = evaluation.models
    means = [one.named[0.5].accuracy() for one in model.recognition]
    described = json.loads((out / "metrics.json").read_text())["models"][0]
    assert [r["shares"]["0.5"]["top_1"] for r in described["recognition"]] == means
    assert described["recognition"][0]["classes"] == ["fall", "rise"]
    assert described["runs"][0]["classifier_multiplications"] > 0
    table = rows(out / "classes.csv")
    top = [r for r in table if r["seen"] == "0.5" and r["of"] == "all" and r["metric"] == "top_1"]
    assert [float(r["value"]) for r in top] == [sum(means) / 2]
    assert float(top[0]["spread"]) >= 0
    assert {r["name"] for r in table if r["of"] == "class"} == {"fall", "rise"}
    counted = [int(r["count"]) for r in rows(out / "confusion.csv") if r["seen"] == "0.5"]
    assert sum(counted) == 2 * len(model.recognition[0].named[0.5])
    page = (out / "report.html").read_text()
    assert "Naming of classes at the shares of the training" in page
    assert "named rise" in page
    assert (out / "accuracy.png").stat().st_size > 5000
    assert (out / "classes.png").stat().st_size > 5000


def test_labelled_videos_may_be_named_to_test_on(runs, place):
    others = folder_of_classes(place / "others", each=3, length=20)
    (recognition,) = evaluate(runs[:1], data=str(others)).models[0].recognition
    assert len(recognition.named[1.0]) == 6
    with pytest.raises(UserError, match="hold no labelled videos"):
        evaluate(runs[:1], data=str(others / "rise"), steps=1, context=3)


def test_a_run_without_a_classifier_names_nothing(place, videos):
    training = TrainingConfig(context=4, horizon=2, epochs=1, precision=32)
    network = ForecasterConfig(depth=1, hidden=4)
    run = train(Experiment(plan(videos).data, network, training), place / "plain")
    out = place / "plain_report"
    assert evaluate_to([run], out, progress=False).models[0].recognition == ()
    assert not (out / "classes.csv").exists()
    with pytest.raises(
        UserError, match="names no classes of videos: it must be the folder of a run"
    ):
        recognise_videos(run, videos / "rise" / "0.avi")


def test_the_command_names_a_video_as_it_goes_on(runs, videos, place, capsys):
    out, video = place / "named.csv", videos / "rise" / "7.avi"
    arguments = ["recognise", str(runs[0]), str(video), "--seen", "0.25", "1", "--top", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "7.avi"
    assert lines[0].startswith("   25% seen:  ")
    assert lines[1].startswith("  100% seen:  ")
    table = rows(out)
    assert [(r["seen"], r["class"]) for r in table] == [
        *(("0.25", "fall"), ("0.25", "rise")),
        *(("1.0", "fall"), ("1.0", "rise")),
    ]
    found = recognise_videos(runs[0], video, [0.25, 1.0])
    assert [float(r["probability"]) for r in table] == pytest.approx(
        found.probabilities.flatten().tolist()
    )
    best = max(table[2:], key=lambda row: float(row["probability"]))
    assert lines[1] == f"  100% seen:  {best['class']} {float(best['probability']):.1%}"
    assert main([*arguments, "--out", str(out)]) != 0
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments, "--out", str(out), "--overwrite"]) == 0


def test_a_folder_of_videos_is_named_video_by_video(runs, videos):
    found = recognise_videos(runs[0], videos / "rise", [0.5, 1.0])
    assert found.videos == tuple(f"{n}.avi" for n in range(8))
    assert found.probabilities.shape == (8, 2, 2)
    alone = recognise_videos(runs[0], videos / "rise" / "3.avi", [1.0])
    torch.testing.assert_close(alone.probabilities[0, 0], found.probabilities[3, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seen", "0"], "must be shares of a video"),
        (["--seen", "1.5"], "must be shares of a video"),
        (["--top", "0"], "--top 0 must be at least 1"),
        (["--out", "named.txt"], "must be named .csv"),
    ],
)
def test_what_makes_no_sense_is_refused(runs, videos, arguments, message, capsys):
    command = ["recognise", str(runs[0]), str(videos / "rise" / "0.avi"), *arguments]
    assert main(command) != 0
    assert message in capsys.readouterr().err


def test_the_best_possible_guess_is_shown_beside_where_it_is_known(runs, place):
    others = folder_of_classes(place / "known", each=2)
    (others / "fall" / "1.avi").unlink()  # one that falls, two that rise
    guesses = ["0.25,fall,0.4", "0.25,rise,0.7", "0.5,fall,0.85", "0.5,rise,1"]
    (others / "best_guess.csv").write_text("\n".join(["seen,class,accuracy", *guesses]))
    out = place / "known_report"
    evaluation = evaluate_to(runs[:1], out, data=str(others), progress=False)
    recognition = evaluation.models[0].recognition[0]
    assert recognition.best_accuracy(0.1) is None
    assert recognition.best_accuracy(0.3) == pytest.approx((0.4 + 2 * 0.7) / 3)
    assert recognition.best_accuracy(1.0) == pytest.approx((0.85 + 2) / 3)
    shares = json.loads((out / "metrics.json").read_text())["models"][0]["recognition"][0]["shares"]
    assert "best_possible" not in shares["0.1"]
    assert shares["0.5"]["best_possible"] == pytest.approx(0.95)
    assert shares["0.25"]["best_possible_per_class"] == {"fall": 0.4, "rise": 0.7}
    found = [row for row in rows(out / "classes.csv") if row["model"] == "best possible guess"]
    assert [float(r["value"]) for r in found if r["seen"] == "0.5"] == pytest.approx(
        [0.95, 0.85, 1]
    )
    page = (out / "report.html").read_text()
    assert "best possible guess, 25%" in page
    table = page.split("by the share seen</caption>")[1].split("</table>")[0]
    assert "–" in table
    assert "60.0" in table

    (others / "best_guess.csv").write_text("seen,class,accuracy\n0.25,fall,0.4\n")
    with pytest.raises(UserError, match=r"has no accuracy of rise at share 0\.25"):
        evaluate(runs[:1], data=str(others))
    for wrong in ("0,fall,0.4", "0.5,fall,1.2", "0.5,fall"):
        (others / "best_guess.csv").write_text(f"seen,class,accuracy\n0.5,rise,1\n{wrong}\n")
        with pytest.raises(UserError, match="line 3: a row has seen, above 0 and at most 1"):
            evaluate(runs[:1], data=str(others))


def test_sequences_are_shown_with_what_models_make_of_them(runs, videos, evaluation):
    """Best, median and worst by the true class; predicted as `Predictor` does, shown as it is."""
    sightings = evaluation.sightings
    assert [sighting.names for sighting in sightings] == [("best",), ("median",), ("worst",)]
    named = evaluation.models[0].recognition[0].named[0.5]
    true = named.probabilities.gather(1, named.labels[:, None])[:, 0]
    shown = [s.glances[0].probabilities[s.shares.index(0.5), s.label].item() for s in sightings]
    ordered = sorted(true.tolist(), reverse=True)
    assert shown == pytest.approx([ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]])
    source, checkpoint = plan(videos).data.open(), load_checkpoint(runs[0])
    for sighting in sightings:
        assert (sighting.lead, len(sighting.glances)) == (2, 1)
        for number, share in enumerate(sighting.shares):
            frames = source.at([share]).test()
            known = [frames.coordinates[name].values.tolist() for name in ("video", "class")]
            shown = sighting.title, sighting.classes[sighting.label]
            place = list(zip(*known, strict=True)).index(shown)
            values = frames.values[place, 0:6]
            torch.testing.assert_close(sighting.seen[number], values[3])
            torch.testing.assert_close(sighting.truth[number], values[5], equal_nan=True)
            outlook = Predictor(checkpoint, "cpu").outlook(frames, [Place(place, 0)], 4, 2)
            *_, ahead = Predictor(checkpoint, "cpu").forecast(outlook)
            torch.testing.assert_close(sighting.glances[0].predicted[number], ahead[0])


def test_the_picture_of_sequences_says_class_and_confidence(evaluation):
    texts = {
        axes.get_title()
        for part in draw_sightings(evaluation).subfigs
        for axes in part.axes
        if axes.get_title()
    }
    sighting = evaluation.sightings[0]
    probability, number = sighting.glances[0].probabilities[0].max(0)
    assert f"{sighting.classes[int(number)]} {float(probability):.0%}" in texts
    assert "100% seen" in texts
