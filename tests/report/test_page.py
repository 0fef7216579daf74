"""The page of an evaluation: one file that holds all, and lets nothing in."""

import html
import json
import re
import tomllib
from pathlib import Path

import pytest
import torch
from made_up import CONTEXT, made_up, off_by

from framecast.frames.channels import Channel
from framecast.metrics import METRICS, MetricChoice
from framecast.report.page import MOST_BYTES, draw_page
from framecast.report.page.frames import BUDGET

STILL = off_by(1.0, 1.0, 1.0, 1.0, seed=9)
HOSTILE = """</script><script>alert('1')</script>"><img src=x onerror="alert(2)">&'"""


def data_of(page, name):
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    return json.loads(text)


@pytest.fixture(scope="module")
def evaluation():
    return made_up({"model": off_by(0.3, 0.5, 1.0, 1.5), "persistence": STILL})


def test_the_numbers_of_the_page_are_those_of_the_evaluation(evaluation):
    page = draw_page(evaluation, "a test")
    charts = data_of(page, "charts")
    rmse = next(chart for chart in charts if chart["title"] == "RMSE by lead time")
    leads = slice(CONTEXT - 1, None)
    for line, forecasts in zip(rmse["series"], evaluation.forecasts, strict=True):
        expected = forecasts.mean("rmse")[leads, 0]
        torch.testing.assert_close(
            torch.tensor(line["values"]), expected.float(), rtol=1e-4, atol=0
        )
        ends = forecasts.interval("rmse")
        torch.testing.assert_close(
            torch.tensor(line["low"]), ends.low[leads, 0].float(), rtol=1e-4, atol=0
        )
    assert rmse["x"] == [6, 12, 18, 24]
    table = re.sub(r"<[^>]+>", " ", page)
    value = evaluation.models[0].mean("rmse")[CONTEXT - 1, 0].item()
    assert f"{value:.4g} (" in table


def test_each_region_has_curves_of_its_own():
    forecasts = {"model": off_by(0.3, 0.5, 1.0, 1.5), "persistence": STILL}
    evaluation = made_up(forecasts, metrics=MetricChoice(regions=("north=lat>40",)))
    charts = {chart["title"]: chart for chart in data_of(draw_page(evaluation, "a test"), "charts")}
    shown = charts["RMSE in north by lead time"]["series"][0]
    leads = slice(CONTEXT - 1, None)
    model, reference = evaluation.models[0], evaluation.baselines[0]
    expected, ends = model.mean("rmse", 1)[leads, 0], model.interval("rmse", 1)
    assert not torch.allclose(expected, model.mean("rmse")[leads, 0], rtol=1e-3)
    for values, numbers in (("values", expected), ("low", ends.low[leads, 0])):
        torch.testing.assert_close(torch.tensor(shown[values]), numbers.float(), rtol=1e-4, atol=0)
    skill = charts["skill beside persistence in north by lead time"]["series"][0]["values"]
    wanted = evaluation.compare(model, reference, "rmse", 1).skill[leads, 0]
    torch.testing.assert_close(torch.tensor(skill), wanted.float(), rtol=1e-4, atol=1e-5)


def test_a_page_asks_for_nothing_and_runs_its_own_scripts_alone(evaluation):
    page = draw_page(evaluation, "a test")
    outside = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://|@import|url\(|src=|href=", outside)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in html.unescape(policy)
    assert "unsafe" not in policy
    assert len(page.encode()) < MOST_BYTES


def test_names_from_files_cannot_break_out_of_the_page():
    channels = (Channel(HOSTILE, {"units": HOSTILE}),)
    evaluation = made_up({HOSTILE: off_by(0.5, 1.0, 1.0, 1.0), "persistence": STILL},
                         windows=6, channels=channels)  # fmt: skip
    page = draw_page(evaluation, HOSTILE)
    assert page.count("<script") == page.count("</script>") == 3
    assert "<img" not in page
    assert data_of(page, "scene")["channels"][0]["name"] == HOSTILE


def test_events_spectra_and_ensembles_have_their_charts():
    names = tuple(
        n for n, m in METRICS.items() if m.family not in ("image", "age", "clip", "anomaly")
    )
    choice = MetricChoice(names, thresholds={"air": ("0.5", "p90")}, neighbourhoods=(1, 3),
                          dry={"air": 0.2})  # fmt: skip
    evaluation = made_up({"model": off_by(0.3, 0.5, 1.0, 1.5, members=5), "persistence": STILL},
                         metrics=choice, members=5)  # fmt: skip
    page = draw_page(evaluation, "a test")
    titles = [chart["title"] for chart in data_of(page, "charts")]
    for wanted in (
        "spectrum at 6 h", "spectrum at 24 h", "CSI (at least 0.5) by lead time",
        "FSS (at least 0.5, 3 cells) by lead time", "ranks of the truth among the members of model",
        "reliability of model, at least 0.5", "spread and error of model by lead time",
    ):  # fmt: skip
        assert wanted in titles
    assert not any(title.startswith("reliability of persistence") for title in titles)
    scene = data_of(page, "scene")
    assert [source["parts"] for source in scene["sources"]] == [4, 1]
    ranks = next(c for c in data_of(page, "charts") if c["title"].startswith("ranks"))
    assert sum(ranks["series"][0]["values"]) == pytest.approx(1, abs=1e-3)


def test_what_is_not_known_is_drawn_as_nothing(evaluation):
    gone = made_up({"model": lambda truth: truth[None] * torch.nan, "persistence": STILL})
    page = draw_page(gone, "a test")
    rmse = next(c for c in data_of(page, "charts") if c["title"] == "RMSE by lead time")
    assert rmse["series"][0]["values"] == [None] * 4


def test_the_budget_leaves_room_for_all_else():
    assert BUDGET < 0.7 * MOST_BYTES


def test_all_files_of_the_page_are_in_the_package():
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["framecast"]
    package = root / "src/framecast"
    held = {path for pattern in patterns for path in package.glob(pattern)}
    there = {p for p in (package / "report/page").iterdir() if p.suffix not in (".py", "")}
    assert there <= held


def test_coasts_are_rings_around_land():
    folder = Path(__file__).parents[2] / "src/framecast/report/page"
    land = json.loads((folder / "land.json").read_text())
    areas = []
    for ring in land["rings"]:
        steps = torch.tensor(ring).reshape(-1, 2) * land["degrees"]
        points = steps.cumsum(0)
        assert points[0].tolist() == pytest.approx(points[-1].tolist(), abs=1e-3)
        assert points[:, 0].abs().max() <= 180.001
        assert points[:, 1].abs().max() <= 90.001
        x, y = points.deg2rad().T
        areas.append(abs(float(torch.trapezoid(y.sin(), x))))
    # Land is 29 % of the sphere, whose area is 4 π.
    assert 0.26 < sum(areas) / (4 * torch.pi) < 0.32
