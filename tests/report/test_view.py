"""framecast view: a page for a forecast in a file, or for a run."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from test_page import data_of

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.report.page.coding import Coding
from framecast.report.view import view
from small import untrained_run

TIMES = np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(6, "h")
LAT, LON = [60.0, 40, 20], [0.0, 90, 180, 270]


@pytest.fixture(autouse=True)
def truth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(280, 5, (20, 3, 4)).astype(np.float32)
    data = xr.Dataset(
        {"t": (("time", "lat", "lon"), values, {"units": "K"})},
        {"time": TIMES, "lat": LAT, "lon": LON},
    )
    data.to_netcdf("truth.nc", engine="h5netcdf")
    return values


def write_members(truth, name="members.nc"):
    """Three members from two starts, at three lead times: the truth, 1 K too high, 5 K too low."""
    ahead = np.stack([truth[place + 1 : place + 4] for place in (4, 8)])
    values = np.stack([ahead, ahead + 1, ahead - 5])
    hours = ("lead", [6.0, 12, 18], {"units": "hours", "standard_name": "forecast_period"})
    coordinates = {"init_time": TIMES[[4, 8]], "lead": hours, "lat": LAT, "lon": LON}
    dims = ("member", "init_time", "lead", "lat", "lon")
    xr.Dataset({"t": (dims, values, {"units": "K"})}, coordinates).to_netcdf(
        name, engine="h5netcdf"
    )
    return values


def fields(scene, text, coding="values"):
    coding = Coding(*(scene["channels"][0][coding][key] for key in Coding._fields))
    return coding.decode(text, (-1, 3, 4))


def test_members_are_shown_by_mean_spread_and_range_beside_the_truth(truth, capsys):
    values = write_members(truth)
    assert main(["view", "members.nc", "--truth", "truth.nc", "--out", "page.html"]) == 0
    assert capsys.readouterr().out == "page.html\n"
    scene = data_of(Path("page.html").read_text(), "scene")
    assert [w["name"] for w in scene["windows"]] == ["from 2020-01-02", "from 2020-01-03"]
    second = scene["windows"][1]
    assert second["valid"] == [
        "2020-01-03",
        "2020-01-03 06:00",
        "2020-01-03 12:00",
        "2020-01-03 18:00",
    ]
    mean, spread, least, greatest = second["forecasts"][0][0]
    for text, expected in (
        (mean, values[:, 1].mean(0)), (least, values[:, 1].min(0)), (greatest, values[:, 1].max(0)),
        (second["truth"][0], truth[8:12]),
    ):  # fmt: skip
        np.testing.assert_allclose(fields(scene, text), expected, atol=1e-3)
    np.testing.assert_allclose(fields(scene, spread, "spread"), 3.2146, atol=1e-3)
    assert scene["leads"] == ["6 h", "12 h", "18 h"]


def test_without_truth_the_forecast_stands_alone(truth):
    values = write_members(truth)
    page = view("members.nc")
    assert page.name == "members.html"
    scene = data_of(page.read_text(), "scene")
    assert not scene["known"]
    text = scene["windows"][0]["forecasts"][0][0][0]
    np.testing.assert_allclose(fields(scene, text), values[:, 0].mean(0), atol=1e-3)
    assert scene["grid"]["geographic"]


def test_a_plain_series_is_a_forecast_from_the_step_before(truth):
    xr.open_dataset("truth.nc", engine="h5netcdf").isel(time=slice(5, 8)).to_netcdf("series.nc")
    scene = data_of(view("series.nc", truth="truth.nc").read_text(), "scene")
    assert scene["windows"][0]["name"] == "from 2020-01-02"
    np.testing.assert_allclose(
        fields(scene, scene["windows"][0]["truth"][0]), truth[4:8], atol=1e-3
    )


def test_a_run_is_evaluated(truth, tmp_path):
    run = untrained_run(tmp_path / "run", tmp_path / "truth.nc")
    page = view(run, progress=False)
    assert page == run / "view.html"
    scene = data_of(page.read_text(), "scene")
    assert [source["label"] for source in scene["sources"]][:2] == ["min_conv_gru", "persistence"]
    with pytest.raises(UserError, match="brings its own truth"):
        view(run, truth="truth.nc")


def test_what_is_no_page_of_ours_stays(truth):
    write_members(truth)
    Path("mine.html").write_text("<p>mine</p>")
    with pytest.raises(UserError, match="add --overwrite"):
        view("members.nc", out="mine.html")
    assert Path("mine.html").read_text() == "<p>mine</p>"
    view("members.nc", out="mine.html", overwrite=True)
    view("members.nc", out="mine.html")
    with pytest.raises(UserError, match="folder"):
        view("members.nc", out=".")


def test_what_is_not_there_is_named(truth):
    with pytest.raises(UserError, match=r"nothing\.nc"):
        view("nothing.nc")
