"""Forecasts in files, ours or anybody's, are scored beside the truth."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.evaluate import score_files
from framecast.evaluate.blocks import assign
from framecast.evaluate.score_files import _spans
from framecast.evaluate.shown_files import examples_of_file
from framecast.frames.batch import Place

TIMES = np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(6, "h")
LAT, LON = np.array([60.0, 40, 20]), np.array([0.0, 90, 180, 270])
NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}
UNITS = {"units": "K"}
HOURS = {"units": "hours", "standard_name": "forecast_period"}
STARTS = np.arange(4, 30, 5)


@pytest.fixture(autouse=True)
def truth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    values = 280 + rng.normal(size=(40, 3, 4)).cumsum(0)
    data = xr.Dataset(
        {"t": (("time", "lat", "lon"), values, UNITS), "q": (("time", "lat", "lon"), values)},
        {"time": TIMES, "lat": ("lat", LAT, NORTH), "lon": ("lon", LON, EAST)},
    )
    data.to_netcdf("truth.nc", engine="h5netcdf")
    return data


def made(truth, error=1.0, members=None, leads=(1, 2, 3)):
    """Forecasts that are off by an error that grows with the lead time."""
    ahead = np.stack([truth["t"].values[STARTS + lead] + error * lead for lead in leads], axis=1)
    dims = ("init_time", "lead", "lat", "lon")
    coordinates = {
        "init_time": TIMES[STARTS],
        "lead": ("lead", 6.0 * np.array(leads), HOURS),
        "lat": ("lat", LAT, NORTH),
        "lon": ("lon", LON, EAST),
    }
    if members:
        noise = np.random.default_rng(1).normal(size=(members, *ahead.shape))
        ahead, dims = ahead + noise - noise.mean(0), ("member", *dims)
    return xr.Dataset({"t": (dims, ahead, UNITS)}, coordinates)


def write(data, name):
    data.to_netcdf(name, engine="h5netcdf")
    return name


def rmse(evaluation, place=0):
    return evaluation.models[place].mean("rmse")[:, 0].tolist()


def test_starts_and_lead_times(truth):
    evaluation = score_files([write(made(truth, 2), "f.nc")], "truth.nc")
    assert rmse(evaluation) == pytest.approx([2, 4, 6], rel=1e-4)
    assert evaluation.windows == len(STARTS)
    values = truth["t"].values
    expected = [
        np.sqrt(np.average((values[STARTS + k] - values[STARTS]) ** 2, axis=(0, 1, 2),
                weights=np.broadcast_to(np.cos(np.deg2rad(LAT))[:, None], (6, 3, 4))))
        for k in (1, 2, 3)
    ]  # fmt: skip
    assert evaluation.baselines[0].label == "persistence"
    assert evaluation.baselines[0].mean("rmse")[:, 0].tolist() == pytest.approx(expected, rel=1e-4)


def test_valid_times_alone(truth):
    """One forecast with the dates of its frames: it starts a step before the first."""
    data = truth[["t"]].isel(time=slice(10, 14)) + 1
    evaluation = score_files([write(data, "f.nc")], "truth.nc")
    assert rmse(evaluation) == pytest.approx([1, 1, 1, 1], rel=1e-4)
    assert evaluation.windows == 1


def test_the_analysis_at_lead_time_0_is_no_forecast(truth):
    write(made(truth, 2, leads=(0, 1, 2)), "f.nc")
    with pytest.warns(UserWarning, match="f: 1 frame of each start, of lead time 0 or less"):
        evaluation = score_files(["f.nc"], "truth.nc")
    assert rmse(evaluation) == pytest.approx([2, 4], rel=1e-4)
    shown = examples_of_file("f.nc").examples[0]
    assert shown.window.length == 3  # the start, and what is forecast
    assert np.allclose(shown.forecasts[0][0, 0, 0], truth["t"][STARTS[0] + 1] + 2)


def test_valid_times_from_the_reference_time_on(truth):
    data = truth[["t"]].isel(time=slice(10, 14)) + 1
    reference = ((), TIMES[10], {"standard_name": "forecast_reference_time"})
    write(data.assign_coords(forecast_reference_time=reference), "f.nc")
    with pytest.warns(UserWarning, match="of lead time 0"):
        assert rmse(score_files(["f.nc"], "truth.nc")) == pytest.approx([1, 1, 1], rel=1e-4)
    write(data.isel(time=[0]).assign_coords(forecast_reference_time=reference), "g.nc")
    with pytest.raises(UserError, match="has no frame after its start, 2020-01-03T12"):
        score_files(["g.nc"], "truth.nc")


def test_members_have_probabilities(truth):
    evaluation = score_files([write(made(truth, 0, members=8), "f.nc")], "truth.nc")
    model = evaluation.models[0]
    assert model.members == 8
    assert rmse(evaluation) == pytest.approx([0, 0, 0], abs=1e-4)
    assert {"crps", "spread_skill"} <= set(evaluation.metrics)
    assert model.mean("crps").max() < 0.3


@pytest.mark.parametrize("change", ["flipped", "rolled", "celsius", "larger grid"])
def test_the_same_grid_in_another_order_and_other_units(truth, change):
    data = made(truth, 2)
    if change == "flipped":
        data = data.isel(lat=slice(None, None, -1))
    if change == "rolled":
        data = data.roll(lon=2, roll_coords=True)
        data["lon"] = ("lon", [-180.0, -90, 0, 90], EAST)
    if change == "celsius":
        data["t"] = (data["t"] - 273.15).assign_attrs(units="degC")
    if change == "larger grid":
        data = data.isel(lat=slice(0, 2), lon=slice(1, 3))
    assert rmse(score_files([write(data, "f.nc")], "truth.nc")) == pytest.approx(
        [2, 4, 6], rel=1e-4
    )


def curvilinear(data, east=0.0):
    """The same values with the latitude and longitude of each point, and no coordinate else."""
    north, lon = np.meshgrid(data["lat"].values, data["lon"].values + east, indexing="ij")
    places = {"lat": (("y", "x"), north + lon / 100, NORTH), "lon": (("y", "x"), lon, EAST)}
    return data.rename(lat="y", lon="x").drop_vars(["y", "x"]).assign_coords(places)


@pytest.mark.parametrize("turned", [[], ["y"], ["x"], ["x", "y"]])
def test_points_of_a_curvilinear_grid_are_compared(truth, turned):
    write(curvilinear(truth), "truth.nc")
    data = curvilinear(made(truth, 2)).isel(dict.fromkeys(turned, slice(None, None, -1)))
    data["lon"] = data["lon"] % 360
    assert rmse(score_files([write(data, "f.nc")], "truth.nc")) == pytest.approx(
        [2, 4, 6], rel=1e-2
    )


def test_points_elsewhere_on_a_curvilinear_grid(truth):
    write(curvilinear(truth, east=60), "truth.nc")
    write(curvilinear(made(truth)), "f.nc")
    with pytest.raises(UserError, match="has no point at latitude 60, longitude 0, where"):
        score_files(["f.nc"], "truth.nc")


def test_several_are_scored_where_all_are(truth):
    first = made(truth, 1)
    second = made(truth, 3, leads=(2, 3)).isel(init_time=slice(1, None))
    with pytest.warns(UserWarning, match="1 starts are not in all files"):
        evaluation = score_files([write(first, "a.nc"), write(second, "b.nc")], "truth.nc")
    assert [model.label for model in evaluation.models] == ["a", "b"]
    assert rmse(evaluation) == pytest.approx([2, 3], rel=1e-4)
    assert rmse(evaluation, 1) == pytest.approx([6, 9], rel=1e-4)
    assert evaluation.windows == 5


def test_leads_that_are_not_even_are_named_as_they_are(truth, tmp_path):
    write(made(truth, 1, leads=(1, 2, 4)), "f.nc")
    assert main(["score", "f.nc", "truth.nc", "--out", "scores"]) == 0
    told = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert (told["lead_times"], told["lead_time_units"]) == ([6, 12, 24], "h")
    page = (tmp_path / "scores" / "report.html").read_text(encoding="utf-8")
    assert re.search(r'"times": ?\[0\.0, ?6\.0, ?12\.0, ?24\.0\]', page)
    assert (
        main(["score", "f.nc", "truth.nc", "--out", "scores"]) == 0
    )  # an earlier report is replaced


def test_a_climatology_is_a_baseline_and_gives_anomalies(truth):
    write(made(truth, 1), "f.nc")
    evaluation = score_files(["f.nc"], "truth.nc", climatology="truth.nc")
    assert [b.label for b in evaluation.baselines] == ["persistence", "climatology"]
    assert "acc" in evaluation.metrics


def test_a_forecast_called_as_a_baseline_keeps_a_name_of_its_own(truth):
    write(made(truth), "climatology.nc")
    write(made(truth, 2.0), "persistence.nc")
    evaluation = score_files(["climatology.nc", "persistence.nc"], "truth.nc")
    assert [model.label for model in evaluation.models] == ["climatology.nc", "persistence.nc"]
    assert [b.label for b in evaluation.baselines] == ["persistence"]


def test_there_are_no_anomalies_where_nothing_is_usual(truth):
    write(made(truth, 1), "f.nc")
    here = truth.where(truth.lon < LON[2])
    write(here, "usual.nc")
    write(here, "known.nc")
    some = score_files(["f.nc"], "truth.nc", climatology="usual.nc").models[0]
    those = score_files(["f.nc"], "known.nc", climatology="usual.nc").models[0]
    assert np.allclose(some.mean("acc"), those.mean("acc"), rtol=1e-6)


def test_forecasts_that_overlap_are_drawn_together():
    starts = np.arange(60) * np.timedelta64(1, "D") + np.datetime64("2020-01-01", "ns")
    places, length = _spans(starts, starts + np.timedelta64(10, "D"))
    assert (places[3], length) == (Place(0, 3), 10)
    assert len(set(assign(places, length))) == 6
    assert _spans(np.array([6.0, 12.0, 30.0]), np.array([18.0, 24.0, 42.0]))[1] == 2
    assert _spans(starts[:1], starts[:1]) == ([Place(0, 0)], 1)


def test_our_own_forecasts(truth):
    for name in ("persistence", "damped_persistence"):
        command = f"forecast {name} truth.nc --data.variables [t] --start 12 20 30 --steps 3"
        assert main([*command.split(), "--out", f"{name}.nc"]) == 0
    evaluation = score_files(["persistence.nc", "damped_persistence.nc"], "truth.nc")
    ours, baseline = evaluation.models[0], evaluation.baselines[0]
    assert np.allclose(ours.mean("rmse"), baseline.mean("rmse"), rtol=1e-5)


def test_our_own_start_counts_not_that_of_the_input(truth):
    reference = ((), TIMES[0], {"standard_name": "forecast_reference_time"})
    write(truth.assign_coords(forecast_reference_time=reference), "in.nc")
    command = "forecast persistence in.nc --data.variables [t] --start 12 --steps 3 --out f.nc"
    assert main(command.split()) == 0
    with xr.open_dataset("f.nc", engine="h5netcdf", decode_timedelta=False) as file:
        older = file.load().assign_coords(forecast_reference_time=reference)
    write(older, "older.nc")
    for name in ("f.nc", "older.nc"):
        evaluation = score_files([name], "truth.nc")
        ours, baseline = evaluation.models[0], evaluation.baselines[0]
        assert np.allclose(ours.mean("rmse"), baseline.mean("rmse"), rtol=1e-5)


def test_a_cell_that_a_file_lacks_counts_for_none(truth):
    lacking, whole = made(truth, 2), made(truth, 2)
    lacking["t"][:, :, 0, 0] = np.nan
    whole["t"][:, :, 0, 0] += 1000
    write(lacking, "a.nc")
    write(whole, "b.nc")
    with pytest.warns(UserWarning, match="a: 1 of the 12 values of a frame are missing"):
        evaluation = score_files(["a.nc", "b.nc"], "truth.nc")
    assert rmse(evaluation) == pytest.approx([2, 4, 6], rel=1e-4)
    assert rmse(evaluation, 1) == pytest.approx([2, 4, 6], rel=1e-4)


def test_a_value_that_a_file_lacks_is_said(truth):
    data = made(truth, 2)
    data["t"][3, 1, 0, 0] = np.nan
    write(data, "f.nc")
    with pytest.warns(UserWarning, match=r"f: 0.00463 of its values are missing"):  # 1 of 216
        evaluation = score_files(["f.nc"], "truth.nc")
    assert rmse(evaluation) == pytest.approx([2, np.nan, 6], rel=1e-4, nan_ok=True)


def test_what_the_truth_lacks_may_be_missing(truth, recwarn):
    data = made(truth, 2)
    data["t"][3, 1, 0, 0] = np.nan
    truth["t"][STARTS[3] + 2, 0, 0] = np.nan
    write(data, "f.nc")
    write(truth, "truth.nc")
    assert rmse(score_files(["f.nc"], "truth.nc")) == pytest.approx([2, 4, 6], rel=1e-4)
    assert not [w for w in recwarn if "missing" in str(w.message)]


def test_dates_of_another_calendar(truth):
    data = truth.drop_vars("time").assign_coords(
        time=xr.date_range("2001-02-20", periods=40, freq="D", calendar="360_day", use_cftime=True)
    )
    write(data, "truth.nc")
    command = "forecast persistence truth.nc --data.variables [t] --start 5 12 20 --steps 3"
    assert main([*command.split(), "--out", "f.nc"]) == 0
    assert main(["score", "f.nc", "truth.nc", "--out", "scores", "--climatology", "truth.nc"]) == 0
    told = json.loads(Path("scores/metrics.json").read_text())
    assert (told["lead_times"], told["lead_time_units"]) == ([1, 2, 3], "days")
    evaluation = score_files(["f.nc"], "truth.nc")
    ours, baseline = evaluation.models[0], evaluation.baselines[0]
    assert np.allclose(ours.mean("rmse"), baseline.mean("rmse"), rtol=1e-5)
    assert evaluation.windows == 3
    assert examples_of_file("f.nc").starts == 3


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_months_are_counted_from_each_start(truth, held, calendar):
    months = xr.date_range("2001-01-01", periods=40, freq="MS", calendar=calendar)
    truth = truth.assign_coords(time=months)
    write(truth, "truth.nc")
    command = "forecast persistence truth.nc --data.variables [t] --start 5 12 20 --steps 3"
    assert main([*command.split(), "--out", "f.nc"]) == 0
    if not held:
        with xr.open_dataset("f.nc", engine="h5netcdf", decode_timedelta=False) as file:
            write(file.load().drop_vars("time"), "g.nc")
    evaluation = score_files(["f.nc" if held else "g.nc"], "truth.nc")
    values = truth["t"].values
    areas = np.broadcast_to(np.cos(np.deg2rad(LAT))[:, None], (3, 3, 4))
    starts = np.array([5, 12, 20])
    expected = [np.average((values[starts + k] - values[starts]) ** 2, weights=areas) ** 0.5
                for k in (1, 2, 3)]  # fmt: skip
    assert rmse(evaluation) == pytest.approx(expected, rel=1e-4)
    if held:
        last = examples_of_file("f.nc").examples[-1].window
        assert last.times.tolist() == months.values[20:24].astype(last.times.dtype).tolist()


def test_frames_without_truth_are_counted(truth):
    write(made(truth, 2), "f.nc")
    write(truth.drop_isel(time=STARTS[2] + 3), "truth.nc")
    with pytest.warns(UserWarning, match="1 of 18 frames count in no score"):
        assert rmse(score_files(["f.nc"], "truth.nc")) == pytest.approx([2, 4, 6], rel=1e-4)


def test_times_of_two_kinds_are_named(truth):
    write(made(truth), "f.nc")
    write(truth.assign_coords(time=np.arange(40)), "numbers.nc")
    with pytest.raises(UserError, match=r"numbers.nc are numbers, and .* --data.time_units"):
        score_files(["f.nc"], "numbers.nc")
    write(truth.convert_calendar("noleap", use_cftime=True), "noleap.nc")
    with pytest.raises(UserError, match=r"are dates of the calendar noleap, .* starts at dates"):
        score_files(["f.nc"], "noleap.nc")


def test_rows_with_names(truth):
    def named(data, names):
        return data.drop_vars("lat").assign_coords(lat=("lat", list(names)))

    write(named(truth, "abc"), "truth.nc")
    write(named(made(truth, 2), "abc").isel(lat=[2, 0]), "f.nc")
    assert rmse(score_files(["f.nc"], "truth.nc")) == pytest.approx([2, 4, 6], rel=1e-4)
    write(named(made(truth), "abd"), "f.nc")
    with pytest.raises(UserError, match="has no point at d"):
        score_files(["f.nc"], "truth.nc")


def test_times_without_truth_do_not_count(truth):
    late = made(truth, 1)
    late["init_time"] = late["init_time"] + np.timedelta64(60, "h")
    with pytest.warns(UserWarning, match="starts are left out: .* has no frame of their times"):
        evaluation = score_files([write(late, "f.nc")], "truth.nc")
    assert evaluation.windows < len(STARTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("name", "they have no variable in common"),
        ("grid", "has no point at 55"),
        ("years", "no forecast is for a time of its frames"),
        ("start", "neither starts nor members"),
        ("units", "cannot be converted to K"),
    ],
)
def test_what_does_not_fit_is_named(truth, change, words):
    data = made(truth)
    if change == "name":
        data = data.rename(t="u")
    if change == "grid":
        data["lat"] = ("lat", [55.0, 35, 15], NORTH)
    if change == "years":
        data["init_time"] = data["init_time"] + np.timedelta64(9000, "D")
    if change == "start":
        data = data.rename(init_time="case").assign_coords(case=np.arange(6))
    if change == "units":
        data["t"].attrs["units"] = "m"
    with pytest.raises(UserError, match=words):
        score_files([write(data, "f.nc")], "truth.nc")


def test_the_truth_must_be_named(capsys):
    assert main(["score", "truth.nc", "--out", "scores"]) == 2
    assert "name the forecasts, then the truth" in capsys.readouterr().err
