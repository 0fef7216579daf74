import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from matplotlib.image import imread

from conftest import held_by_another, largest_file
from framecast.base.errors import UserError
from framecast.evaluate import evaluate
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.metrics import ERRORS
from framecast.report import draw_strips, evaluate_to, lead_times, print_table, write_report
from judged import plain_scores, walk
from small import CONTEXT, untrained_run


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "frames.npy"
    np.save(file, walk(4, 16, 2, 5, 6))
    return file


def change(run, section, **values):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config[section] |= values
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def gridded(path, values, units="K", names=("air",), lat=None):
    """A NetCDF file of one sequence, every 6 hours."""
    times = np.datetime64("2020-01-01", "ns") + np.arange(len(values)) * np.timedelta64(6, "h")
    lat = np.linspace(60, 20, values.shape[1]) if lat is None else lat
    coordinates = {"time": times, "lat": lat, "lon": np.arange(float(values.shape[2]))}
    variable = (("time", "lat", "lon"), values, {"units": units})
    xr.Dataset(dict.fromkeys(names, variable), coordinates).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("layer", ["min_conv_gru", "conv_lstm"])
def test_scores_equal_a_straightforward_loop(tmp_path, data, layer):
    run = untrained_run(tmp_path / "run", data, layer=layer)
    evaluation = evaluate([run], batch_size=3)
    test = np.load(data)[2:]
    windows = [s[start : start + 7] for s in test for start in (0, 7)]
    errors = plain_scores(run, windows, CONTEXT)
    assert evaluation.windows == 4
    expected = {
        "rmse": np.sqrt((errors**2).mean((0, 3, 4))),
        "mse": (errors**2).mean((0, 3, 4)),
        "mae": abs(errors).mean((0, 3, 4)),
        "bias": errors.mean((0, 3, 4)),
    }
    for metric, value in expected.items():
        np.testing.assert_allclose(evaluation.models[0].mean(metric), value, rtol=2e-5, atol=2e-5)


def test_baselines_equal_their_definitions(tmp_path, data):
    evaluation = evaluate([untrained_run(tmp_path / "run", data)])
    train, test = np.load(data)[:2].astype(np.float64), np.load(data)[2:].astype(np.float64)
    windows = np.stack([s[start : start + 7] for s in test for start in (0, 7)])
    before = windows[:, [0, 1, 2, 2, 2, 2]]
    for forecasts, prediction in zip(
        evaluation.baselines, (before, train.mean((0, 1))), strict=True
    ):
        rmse = np.sqrt(((prediction - windows[:, 1:]) ** 2).mean((0, 3, 4)))
        np.testing.assert_allclose(forecasts.mean("rmse"), rmse, rtol=1e-5)
    assert [f.label for f in evaluation.baselines] == ["persistence", "climatology"]


def test_persistence_errs_in_proportion_to_the_lead_time_on_a_ramp(tmp_path):
    ramp = 0.5 * np.arange(40, dtype=np.float32).reshape(1, 40, 1, 1, 1) * np.ones((5, 6))
    np.save(tmp_path / "ramp.npy", ramp)
    evaluation = evaluate([untrained_run(tmp_path / "run", tmp_path / "ramp.npy")], steps=6)
    persistence, phases = evaluation.baselines[0], evaluation.phases
    forced, free = phases["teacher_forced"], phases["closed_loop"]
    assert persistence.mean("rmse")[forced, 0].tolist() == [0.5, 0.5]
    assert persistence.mean("rmse")[free, 0].tolist() == [0.5 * k for k in range(1, 7)]
    assert persistence.mean("bias")[free, 0].tolist() == [-0.5 * k for k in range(1, 7)]


def test_a_forecast_that_is_persistence_has_no_skill(tmp_path, data):
    evaluation = evaluate([untrained_run(tmp_path / "run", data)])
    same = dataclasses.replace(evaluation.models[0], scores=evaluation.baselines[0].scores)
    assert (evaluation.skill(same) == 0).all()
    rmse = [f.mean("rmse")[2:] for f in (evaluation.models[0], evaluation.baselines[0])]
    torch.testing.assert_close(
        evaluation.skill(evaluation.models[0]), (rmse[1] - rmse[0]) / rmse[1]
    )


def test_the_batch_size_changes_no_score(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    one, all_ = (evaluate([run], batch_size=size).models[0] for size in (1, 16))
    torch.testing.assert_close(one.mean("rmse"), all_.mean("rmse"), rtol=1e-6, atol=0)
    torch.testing.assert_close(one.example, all_.example)


def test_runs_that_differ_by_seed_become_mean_and_spread(tmp_path, data):
    runs = [untrained_run(tmp_path / f"seed{s}", data, seed=s) for s in range(3)]
    other = untrained_run(tmp_path / "other", data, layer="conv_gru")
    together = evaluate([runs[0], other, *runs[1:]])
    alone = [evaluate([run]).models[0] for run in runs]
    assert [(m.label, len(m.runs)) for m in together.models] == [
        ("min_conv_gru", 3),
        ("conv_gru", 1),
    ]
    for metric in ERRORS:
        values = np.stack([a.mean(metric).numpy() for a in alone])
        np.testing.assert_allclose(together.models[0].mean(metric), values.mean(0), rtol=1e-12)
        spread = np.sqrt(((values - values.mean(0)) ** 2).sum(0) / 2)
        np.testing.assert_allclose(together.models[0].spread(metric), spread, rtol=1e-9)
        assert together.models[1].spread(metric) is None


def going_on(run, init):
    """Say in the configuration of a run which one it started from."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["training"]["init"] = init
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def test_runs_that_go_on_from_the_seeds_of_a_series_are_a_series_too(tmp_path, data):
    runs = [untrained_run(tmp_path / f"more{s}", data, seed=s) for s in range(2)]
    own = [going_on(run, f"runs/first/seed_{s}") for s, run in enumerate(runs)]
    assert [len(m.runs) for m in evaluate(own).models] == [2]
    other = [own[0], going_on(runs[1], "runs/first/seed_0")]
    assert [len(m.runs) for m in evaluate(other).models] == [1, 1]


def test_labels_tell_the_models_apart(tmp_path, data):
    paths = [tmp_path / "a/small", tmp_path / "a/large", tmp_path / "b/small"]
    runs = [untrained_run(p, data, hidden=h) for p, h in zip(paths, (4, 5, 6), strict=True)]
    assert [m.label for m in evaluate(runs[:2]).models] == ["small", "large"]
    assert [m.label for m in evaluate(runs).models] == ["a/small", "a/large", "b/small"]
    seeds = [tmp_path / name / "seed_0" for name in ("small", "large")]
    runs = [untrained_run(p, data, hidden=h) for p, h in zip(seeds, (4, 5), strict=True)]
    assert [m.label for m in evaluate(runs).models] == ["small", "large"]


def test_context_and_steps_can_be_chosen(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    evaluation = evaluate([run], context=1, steps=2)
    assert (evaluation.windows, evaluation.steps) == (10, 2)
    assert evaluation.phases["teacher_forced"] == slice(0, 0)
    windows = [s[start : start + 3] for s in np.load(data)[2:] for start in range(0, 15, 3)]
    rmse = np.sqrt((plain_scores(run, windows, 1) ** 2).mean((0, 3, 4)))
    np.testing.assert_allclose(evaluation.models[0].mean("rmse"), rmse, rtol=2e-5)


def test_other_data_are_used_whole_or_by_their_test_part(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "test.npy", np.load(data)[2:])
    assert evaluate([run], data=data).windows == 8
    by_default, given = evaluate([run]), evaluate([run], data=folder)
    assert torch.equal(by_default.models[0].mean("rmse"), given.models[0].mean("rmse"))
    change(run, "data", path=str(folder))
    assert evaluate([run]).windows == 4


def test_on_another_grid_there_is_no_climatology(tmp_path, data):
    np.save(tmp_path / "wide.npy", walk(1, 16, 2, 5, 9))
    run = untrained_run(tmp_path / "run", data)
    evaluation = evaluate_to([run], tmp_path / "out", data=tmp_path / "wide.npy")
    assert [f.label for f in evaluation.baselines] == ["persistence"]


def test_the_report_has_every_number_twice_and_pictures(tmp_path, data, capsys):
    runs = [untrained_run(tmp_path / f"seed{s}", data, seed=s) for s in range(2)]
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    evaluation = evaluate_to(
        [*runs, untrained_run(tmp_path / "other", data, layer="conv_gru")], out
    )
    pictures = ["curves.png", "strips_channel_0.png", "strips_channel_1.png"]
    files = sorted(f.name for f in out.iterdir())
    numbers = ["averages.csv", "differences.csv", "metrics.csv", "metrics.json", "report.html"]
    assert files == sorted([*numbers, "notes.txt", *pictures])
    for picture in pictures:
        pixels = imread(out / picture)
        assert 300 < pixels.shape[0] < 3000
        assert 600 < pixels.shape[1] < 3000
        assert pixels.std() > 0.05
    described = json.loads((out / "metrics.json").read_text())
    assert (described["windows"], described["context"], described["steps"]) == (4, 3, 4)
    assert described["models"][0]["runs"][1]["seed"] == 1
    parameters = sum(p.numel() for p in evaluation.models[1].runs[0].checkpoint.model.parameters())
    assert described["models"][1]["runs"][0]["parameters"] == parameters
    assert described["models"][1]["runs"][0]["epoch"] == 7
    compare(described, list(csv.DictReader((out / "metrics.csv").read_text().splitlines())))
    printed = capsys.readouterr().out
    assert f"{evaluation.baselines[0].mean('rmse')[2, 0]:.3f}" in printed
    assert "(2 seeds)" in printed
    assert f"{100 * evaluation.skill(evaluation.models[1])[0, 1]:+.0f} %" in printed


def compare(described, rows):
    """The rows of metrics.csv are the numbers of metrics.json."""
    models = {m["label"]: m for m in described["models"] + described["baselines"]}
    assert len(rows) == len(models) * 2 * 6 * 6
    for row in rows:
        forced = row["phase"] == "teacher_forced"
        frame, lead = int(row["frame"]), int(row["lead"])
        assert lead == (1 if forced else frame - 3)
        assert float(row["lead_time"]) == described["lead_times"][lead - 1]
        of = models[row["model"]]["metrics"][row["channel"]][row["phase"]][row["metric"]]
        place = frame - 2 if forced else lead - 1
        value = of["value"][place]
        assert math.isnan(float(row["value"])) if value is None else float(row["value"]) == value
        assert row["spread"] == ("" if of["spread"] is None else str(of["spread"][place]))


def test_one_run_needs_no_list(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    alone, text, listed = (evaluate(runs).models[0].mean("rmse") for runs in (run, str(run), [run]))
    np.testing.assert_array_equal(alone, listed)
    np.testing.assert_array_equal(text, listed)


def test_strips_show_truth_forecast_and_error(tmp_path, data):
    evaluation = evaluate([untrained_run(tmp_path / "run", data)], steps=12)
    *panels, values, errors = draw_strips(evaluation, 1).axes
    leads = [0, 1, 3, 5, 7, 9, 11]
    assert len(panels) == 3 * len(leads)
    shown = [panel.images[0].get_array().data for panel in panels]
    truth = np.load(data)[2, CONTEXT:15, 1][leads]
    forecast = evaluation.models[0].example[0, leads, 1].numpy()
    np.testing.assert_allclose(shown, np.concatenate([truth, forecast, forecast - truth]), 1e-4)
    assert values.get_ylim() == (truth.min(), truth.max())
    assert errors.get_ylim()[0] == -errors.get_ylim()[1]


def test_a_forecast_that_explodes_still_makes_a_report(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    evaluation = evaluate([run])
    wild = evaluation.models[0]
    sums = wild.scores[0].sums
    sums = sums | {"squared": sums["squared"] * torch.inf}
    scores = dataclasses.replace(wild.scores[0], sums=sums)
    wild = dataclasses.replace(wild, scores=(scores,), example=wild.example * torch.nan)
    exploded = dataclasses.replace(evaluation, models=(wild,))
    write_report(exploded, tmp_path / "out")
    print_table(exploded)
    described = json.loads((tmp_path / "out/metrics.json").read_text())
    rmse = described["models"][0]["metrics"]["channel_0"]["closed_loop"]["rmse"]["value"]
    assert rmse == [None] * 4


def frames_at(times, **attributes):
    axis = {} if times is None else {"time": Coordinate(("time",), times, attributes)}
    return Frames(torch.zeros(1, 3, 1, 2, 2), (Channel("u"),), coordinates=axis)


@pytest.mark.parametrize(
    ("frames", "expected", "units"),
    [
        (frames_at(None), [1, 2], "frames"),
        (frames_at(np.arange(3) * 0.1, units="s"), [0.1, 0.2], "s"),
        (frames_at(np.arange(3.0), units="1"), [1, 2], "1"),
        (frames_at(np.arange("2020-01-01T00", "2020-01-01T18", 6, "M8[h]")), [6, 12], "h"),
        (frames_at(np.arange("2020-01-01", "2020-01-04", dtype="M8[D]")), [1, 2], "days"),
        (frames_at(np.arange(0, 90, 30).astype("M8[s]")), [30, 60], "s"),
        (frames_at(np.arange("2020-01", "2020-04", dtype="M8[M]").astype("M8[ns]")), [1, 2],
         "months"),
    ],
)  # fmt: skip
def test_lead_times_have_the_units_of_the_time_axis(frames, expected, units):
    times, given = lead_times(frames, 2)
    assert times.tolist() == expected
    assert given == units


def test_labelled_data_are_reported_in_their_units(tmp_path, capsys):
    file = gridded(tmp_path / "air.nc", walk(1, 30, 5, 6)[0])
    evaluate_to([untrained_run(tmp_path / "run", file)], tmp_path / "out")
    described = json.loads((tmp_path / "out/metrics.json").read_text())
    assert described["lead_time_units"] == "h"
    assert described["lead_times"] == [6, 12, 18, 24]
    assert described["data"]["channels"] == [{"name": "air", "units": "K"}]
    assert "RMSE of air (K)" in capsys.readouterr().out


def test_mistakes_are_named_with_their_remedy(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    mistakes = {
        "too few for 3 given and 40": lambda: evaluate([run], steps=40),
        "--context 0 must be at least 1": lambda: evaluate([run], context=0),
        "not a run folder": lambda: evaluate([tmp_path]),
        "no run to evaluate": lambda: evaluate([]),
        "same configuration and seed": lambda: evaluate([run, tmp_path / "." / "run"]),
        "is a file": lambda: evaluate_to([run], data),
        "holds several arrays": lambda: evaluate([run], data=run),
    }
    for message, mistake in mistakes.items():
        with pytest.raises(UserError, match=message):
            mistake()


def test_data_that_lack_a_test_part_are_named(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    with pytest.raises(UserError, match=r"test_fraction 0.*--data"):
        evaluate([change(run, "data", test_fraction=0.0)])
    gone = f"data.path gone.npy does not exist in {Path.cwd()}. Name them, or others, with --data$"
    with pytest.raises(UserError, match=gone):
        evaluate([change(run, "data", path="gone.npy")])
    with pytest.raises(UserError, match=r"config.yaml: data: .*fraction"):
        evaluate([change(run, "data", test_fraction=7.0)])


def test_runs_that_cannot_be_compared_are_named(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    np.save(tmp_path / "one.npy", walk(4, 16, 1, 5, 6))
    other = untrained_run(tmp_path / "other", tmp_path / "one.npy")
    with pytest.raises(UserError, match="cannot be compared"):
        evaluate([run, other])
    third = change(untrained_run(tmp_path / "third", data, hidden=5), "data", test_fraction=0.25)
    with pytest.raises(UserError, match=r"different data.*--data"):
        evaluate([run, third])
    assert evaluate([run, third], data=data).windows == 8


def test_data_unlike_the_training_data_are_named(tmp_path):
    kelvin = gridded(tmp_path / "kelvin.nc", walk(1, 30, 5, 6)[0])
    celsius = gridded(tmp_path / "celsius.nc", walk(1, 30, 5, 6)[0], units="degC")
    run = untrained_run(tmp_path / "run", kelvin)
    with pytest.raises(UserError, match="degC, but the model was trained on K"):
        evaluate([run], data=celsius)
    other = untrained_run(tmp_path / "other", celsius)
    with pytest.raises(UserError, match=r"air \[K\].*air \[degC\]"):
        evaluate([run, other])


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """An evaluation, and the folder of its report, to be copied."""
    folder = tmp_path_factory.mktemp("reported")
    np.save(folder / "walk.npy", walk(4, 16, 2, 5, 6))
    evaluation = evaluate([untrained_run(folder / "run", folder / "walk.npy")])
    write_report(evaluation, folder / "report")
    return evaluation, folder / "report"


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path, reported):
    evaluation, earlier = reported
    out = shutil.copytree(earlier, tmp_path / "report")
    (out / "thesis.txt").write_text("mine")
    write_report(evaluation, out)
    assert (out / "thesis.txt").read_text() == "mine"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "curves.png").write_text("mine")
    with pytest.raises(UserError, match=r"curves.png, which framecast evaluate did not write"):
        evaluate_to([earlier.parent / "run"], mine)
    assert [file.name for file in mine.iterdir()] == ["curves.png"]
    write_report(evaluation, mine, overwrite=True)
    assert (mine / "curves.png").read_bytes() != b"mine"


def test_a_full_disk_is_one_message(tmp_path, reported):
    evaluation, earlier = reported
    out = shutil.copytree(earlier, tmp_path / "report")
    before = {file: file.read_bytes() for file in out.iterdir()}
    with largest_file(1000), pytest.raises(UserError, match=r"metrics.json could not be written"):
        write_report(evaluation, out)
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_a_report_in_the_making_is_left_to_its_process(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    with (
        held_by_another(tmp_path / "report") as process,
        pytest.raises(UserError, match=f"report is in use by process {process.pid} on "),
    ):
        evaluate_to([run], tmp_path / "report")
