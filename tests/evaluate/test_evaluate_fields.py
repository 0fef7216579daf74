"""Evaluation of fields on a grid: area, regions, events, spectra, protocols, to the files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.evaluate import evaluate
from framecast.evaluate.scoring import ScoredWindows, score
from framecast.frames.batch import Place
from framecast.frames.frames import Channel, Frames
from framecast.metrics import ERRORS, MetricChoice, Subject, prepare
from framecast.metrics.catalogue import METRICS, of_families
from judged import plain_scores
from small import CONTEXT, untrained_run

LATITUDES = np.linspace(80, -80, 9)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_rain(path, columns=16, length=160, step=22.5):
    random = np.random.default_rng(0)
    values = random.gamma(0.8, 2, (length, 9, columns)).astype(np.float32)
    times = np.datetime64("2020-01-01", "ns") + np.arange(length) * np.timedelta64(6, "h")
    coordinates = {"time": times, "lat": LATITUDES, "lon": np.arange(columns) * step}
    rain = (("time", "lat", "lon"), values, {"units": "mm"})
    xr.Dataset({"rain": rain}, coordinates).to_netcdf(path, engine="h5netcdf")
    return path, values


@pytest.fixture
def rain(tmp_path):
    return write_rain(tmp_path / "rain.nc")


@pytest.fixture
def run(tmp_path, rain):
    return untrained_run(tmp_path / "run", rain[0])


def windows_of(values):
    """The test part, in windows side by side: [B,L,1,H,W]."""
    test = values[80:]
    return [test[n : n + 7, None] for n in range(0, 74, 7)]


def test_cells_count_by_area_where_there_are_latitudes(run, rain):
    by_area, alike = (evaluate([run], metrics=MetricChoice(weights=w)) for w in (None, "none"))
    squared = plain_scores(run, windows_of(rain[1]), CONTEXT) ** 2
    w = np.cos(np.deg2rad(LATITUDES))[:, None]
    expected = (squared * w).sum((0, 3, 4)) / (w.sum() * 16 * len(squared))
    np.testing.assert_allclose(by_area.models[0].mean("mse"), expected, rtol=1e-4)
    np.testing.assert_allclose(alike.models[0].mean("mse"), squared.mean((0, 3, 4)), rtol=1e-4)
    assert (by_area.measure.weights.kind, alike.measure.weights.kind) == ("area", "none")


def test_fields_are_judged_by_anomalies_and_spectra_without_being_asked(tmp_path):
    data, values = write_rain(tmp_path / "large.nc")
    run = untrained_run(tmp_path / "large", data)
    assert evaluate([run]).metrics == (*ERRORS, "acc", "activity")  # 9×16 is a small grid
    asked = evaluate([run], metrics=MetricChoice(("sharpness", "power_truth")))
    assert asked.metrics == ("sharpness", "power_truth")
    assert asked.measure.bins.kind == "zonal"
    power = asked.baselines[0].mean("power_truth")[2:, 0]
    windows = np.stack(windows_of(values))[:, 3:, 0]
    w = np.cos(np.deg2rad(LATITUDES))
    coefficients = np.abs(np.fft.rfft(windows)) ** 2 / 16**2
    zonal = np.einsum("h,bkhf->kf", w / w.sum(), coefficients) / len(windows)
    np.testing.assert_allclose(power[:, :-1], 2 * zonal[:, 1:-1], rtol=1e-4)
    persistence = asked.baselines[0].mean("sharpness")[2:, 0]
    assert ((persistence - 1).abs() < 0.3).all()
    assert (asked.baselines[1].mean("sharpness")[2:, 0] < 0.2).all()


def test_the_anomaly_correlation_of_persistence(run, rain):
    train, windows = rain[1][:80].mean(0), np.stack(windows_of(rain[1]))[:, :, 0]
    theirs, ours = windows[:, 3:] - train, windows[:, 2:3] - train
    w = np.cos(np.deg2rad(LATITUDES))[:, None]
    products = [(w * a * b).sum((0, 2, 3)) for a, b in ((ours, theirs), (ours, ours + 0 * theirs))]
    expected = products[0] / np.sqrt(products[1] * (w * theirs**2).sum((0, 2, 3)))
    found = evaluate([run]).baselines[0].mean("acc")[2:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_events_regions_and_rain_from_the_command_line_to_the_files(tmp_path, run, rain, capsys):
    values = rain[1]
    arguments = ["evaluate", str(run), "--out", "out", "--threshold", "rain=2,p90"]
    arguments += ["--neighbourhood", "1", "3", "--dry", "rain=0.4"]
    arguments += ["--region", "north=lat>30", "box=lat>-30,lat<30,lon>-30,lon<100"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    percentile = float(np.percentile(values[:80], 90))
    for text in ("Events of rain, over lead", f"p90={percentile:.4g}", "3 cells", "SEEPS", "box"):
        assert text in printed
    described = json.loads((tmp_path / "out/metrics.json").read_text())
    assert described["weights"] == "area"
    assert described["regions"] == ["all", "north", "box"]
    assert described["axes"]["thresholds"]["rain"]["p90"] == pytest.approx(percentile)
    windows = np.stack(windows_of(values))[:, :, 0]
    w = np.cos(np.deg2rad(LATITUDES))[:, None] * np.ones((9, 16))
    ours, theirs = windows[:, 2:3] >= percentile, windows[:, 3:] >= percentile
    csi = {
        region: ((ours & theirs) * own).sum((0, 2, 3)) / ((ours | theirs) * own).sum((0, 2, 3))
        for region, own in (("all", w), ("north", w * (LATITUDES > 30)[:, None]))
    }  # fmt: skip
    (persistence, _) = described["baselines"]
    found = persistence["metrics"]["rain"]["closed_loop"]["csi"]["value"]
    np.testing.assert_allclose(np.array(found)[:, 1], csi["all"], rtol=1e-6)
    rows = list(csv.DictReader((tmp_path / "out/metrics.csv").read_text().splitlines()))
    wanted = {"model": "persistence", "metric": "csi", "region": "north", "phase": "closed_loop"}
    chosen = [
        r for r in rows
        if r["threshold"].startswith("p90") and all(r[k] == v for k, v in wanted.items())
    ]  # fmt: skip
    np.testing.assert_allclose([float(r["value"]) for r in chosen], csi["north"], rtol=1e-6)
    assert all(float(r["low"]) < float(r["value"]) < float(r["high"]) for r in chosen)
    compare_differences(rows, (tmp_path / "out/differences.csv").read_text())
    assert {r["weights"] for r in rows} == {"area"}
    fss = {(r["threshold"], r["neighbourhood"]) for r in rows if r["metric"] == "fss"}
    assert fss == {(t, n) for t in ("2", chosen[0]["threshold"]) for n in ("1", "3")}
    north = persistence["regions"]["north"]["averages"]["metrics"]["rain"]["seeps"]["value"]
    assert 0 < north[0] < 3


def compare_differences(rows, text):
    """The rows of differences.csv are those of metrics.csv, subtracted."""
    what = ("lead", "channel", "metric", "region", "threshold", "neighbourhood")
    values = {
        (r["model"], *(r[k] for k in what)): float(r["value"])
        for r in rows
        if r["phase"] == "closed_loop"
    }
    leads = [r for r in csv.DictReader(text.splitlines()) if r["lead"] != "all"]
    assert {r["region"] for r in leads} == {"all", "north", "box"}
    for r in leads:
        ours, theirs = (values[r[who], *(r[k] for k in what)] for who in ("model", "reference"))
        np.testing.assert_allclose(float(r["difference"]), ours - theirs, rtol=1e-9, atol=1e-12)
        if r["metric"] == "rmse":
            assert float(r["skill"]) == pytest.approx(1 - ours / theirs)
            assert float(r["low"]) < float(r["difference"]) < float(r["high"])


def test_curves_have_a_file_of_their_own(tmp_path, run):
    from framecast.report import evaluate_to

    evaluation = evaluate_to([run], "out", metrics=MetricChoice(of_families("spectrum")))
    rows = list(csv.DictReader((tmp_path / "out/curves.csv").read_text().splitlines()))
    assert len(rows) == 3 * 3 * 4 * 8  # forecasts, curves, leads, wavelengths
    last = rows[-1]
    assert (last["axis"], last["lead"]) == ("wavelength", "4")
    lengths = evaluation.measure.wavelengths
    assert float(last["at"]) == pytest.approx(lengths[-1], rel=1e-5)
    evaluate_to([run], "out", metrics=MetricChoice(("rmse",)))
    assert not (tmp_path / "out/curves.csv").exists()


def test_the_spectrum_of_a_network_that_goes_round_is_periodic(tmp_path):
    np.save("waves.npy", np.random.default_rng(0).normal(size=(4, 16, 1, 32, 32)).astype("f4"))
    for padding, kind in (("circular", "periodic"), ("zeros", "windowed")):
        run = untrained_run(tmp_path / padding, tmp_path / "waves.npy", padding=padding)
        assert evaluate([run]).measure.bins.kind == kind
    chosen = evaluate([run], metrics=MetricChoice(spectrum="periodic"))
    assert chosen.measure.bins.kind == "periodic"
    assert chosen.metrics == (*ERRORS, "acc", "activity", "sharpness", "effective_resolution")


def test_protocols_say_what_they_take(run, capsys):
    assert main(["evaluate", str(run), "--out", "out", "--protocol", "weatherbench"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "weatherbench: cells count by the cosine of latitude" in printed
    assert "ACC of rain" in printed
    described = json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))
    assert described["protocol"].startswith("weatherbench: ")
    video = MetricChoice(protocol="openstl", data_range=(0.0, 60.0))
    evaluation = evaluate([run], metrics=video)
    assert evaluation.metrics == ("psnr", "mse_openstl", "mae_openstl", "ssim_openstl")
    assert evaluation.measure.weights.kind == "none"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"thresholds": {"rian": (1,)}}, r"--threshold rian: no such variable .* mean rain\?"),
        ({"thresholds": {"rain": ("p101",)}}, "p101 is neither a number"),
        ({"thresholds": {"rain": (1, "1")}}, "give each threshold once"),
        ({"neighbourhoods": (3,)}, "--neighbourhood is for events"),
        ({"neighbourhoods": (4,), "thresholds": {"rain": (1,)}}, "has an odd side"),
        ({"names": ("csi",)}, "csi needs to know what an event is: --threshold"),
        ({"names": ("fss",), "thresholds": {"rain": (1,)}}, "fss needs sizes of neighbourhoods"),
        ({"names": ("rmse",), "thresholds": {"rain": (1,)}}, "rmse does not read --threshold"),
        ({"names": ("rmse",), "spectrum": "zonal"}, "does not read --spectrum: .* as sharpness"),
        ({"names": ("seeps",)}, "seeps needs to know what is dry: --dry"),
        ({"dry": {"snow": 0.1}}, "--dry snow: no such variable"),
        ({"names": ("spread",)}, "spread needs 2 members"),
        ({"protocol": "openstl", "names": ("rmse",)}, "says which metrics are taken"),
        ({"protocol": "openstl", "weights": "area"}, "--protocol openstl has --weights none"),
        ({"protocol": "openstl"}, "psnr needs the range of the data"),
        ({"regions": ("far=lat>85",)}, "no cell of .*rain.nc lies there"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_words(run, choice, message):
    with pytest.raises(UserError, match=message):
        evaluate([run], metrics=MetricChoice(**choice))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "rain"], "--threshold rain: write --threshold VARIABLE=5,10"),
        (["--threshold", "rain=1", "rain=2"], "--threshold rain is given twice"),
        (["--dry", "rain=1,2"], "--dry rain=1,2: give one number"),
    ],
)
def test_what_cannot_be_read_is_refused(run, capsys, arguments, message):
    assert main(["evaluate", str(run), "--out", "out", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_weights_of_area_need_latitudes(tmp_path):
    np.save("plain.npy", np.random.default_rng(0).normal(size=(4, 16, 1, 5, 6)).astype("f4"))
    run = untrained_run(tmp_path / "plain", tmp_path / "plain.npy")
    with pytest.raises(UserError, match="has no latitude"):
        evaluate([run], metrics=MetricChoice(weights="area"))
    assert evaluate([run]).measure.weights.kind == "none"


class Ensemble:
    """The truth with noise of the size that its members say: a reliable forecast."""

    def __init__(self, members):
        self.random, self.members = torch.Generator().manual_seed(0), members

    def predict(self, stretch, state):
        clean = stretch.values[:, 1:] - self.shift(stretch)
        shape = (self.members, *clean.shape)
        return clean + torch.randn(shape, generator=self.random), None

    @staticmethod
    def shift(stretch):
        random = torch.Generator().manual_seed(1000 + stretch.places[0].start)
        return torch.randn(stretch.values[:, 1:].shape, generator=random)


def test_ensembles_are_scored_with_what_needs_members():
    values = torch.zeros(1, 400, 1, 6, 7)
    frames = Frames(values, (Channel("t"),))
    groups = {"": [Place(0, n) for n in range(0, 390, 5)]}
    windows = ScoredWindows(frames, 1, 1, 4, groups, size=4)
    choice = MetricChoice(thresholds={"t": (0.0,)})
    measure = prepare(choice, Subject(frames, frames.channels, 4, members=8))
    assert set(of_families("ensemble", "probability", "event")) < set(measure.names)
    several, one = score([Ensemble(8), Ensemble(1)], windows, measure, progress=False)
    assert several.example.shape == (8, 4, 1, 6, 7)
    scores, single = several.groups[""], one.groups[""]
    ratio, ranks = (scores.pool().metric(name) for name in ("spread_skill", "rank_histogram"))
    assert ratio.item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(ranks.flatten(), torch.full((9,), 1 / 9).double(), rtol=0.15, atol=0)
    crps = [s.pool().metric("crps").item() for s in (scores, single)]
    assert crps[0] == pytest.approx(1 / np.pi**0.5, rel=0.05)  # of N(0, 1), where it is right
    assert crps[1] == pytest.approx(2 / np.pi**0.5, rel=0.05)
    assert not {n for n in single.names if METRICS[n].members > 1}
