"""Events, neighbourhoods and SEEPS, beside another library and by what must hold."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from scores.categorical import BinaryContingencyManager, seeps
from scores.spatial import fss_2d

from framecast.base.errors import UserError
from framecast.frames.frames import Channel, Frames
from framecast.metrics import Scores, Weights
from framecast.metrics.climate import _fields, percentiles, wet_climate
from framecast.metrics.event import Events
from framecast.metrics.neighbourhood import Neighbourhoods
from framecast.metrics.seeps import Seeps, WetClimate, cost_matrix
from framecast.metrics.thresholds import Percentile, Thresholds, parse_threshold

GRID = (9, 7)
ONES = Weights.of(GRID)
THRESHOLDS = Thresholds(torch.tensor([[1.0, 2.0], [0.5, torch.nan]]), (("1", "2"), ("0.5",)))


def rain(seed=0, windows=4, steps=3):
    random = np.random.default_rng(seed)
    truth = random.gamma(0.7, 1.5, (windows, steps, 2, *GRID)).astype(np.float32)
    forecast = truth * random.gamma(2, 0.5, truth.shape).astype(np.float32)
    return torch.from_numpy(forecast), torch.from_numpy(truth)


def labelled(values):
    return xr.DataArray(values.numpy(), dims=("b", "y", "x"))


def each_event():
    """Step, channel, column and value of each threshold."""
    for step in range(3):
        for channel, column in THRESHOLDS.places:
            yield step, channel, column, THRESHOLDS.values[channel, column].item()


def test_scores_of_events_equal_another_library():
    forecast, truth = rain()
    scores = Scores.of(forecast, truth, (Events(ONES, THRESHOLDS),))
    for step, channel, column, threshold in each_event():
        ours, theirs = (labelled(v[:, step, channel]) >= threshold for v in (forecast, truth))
        table = BinaryContingencyManager(ours.astype(float), theirs.astype(float)).transform()
        expected = {
            "csi": table.critical_success_index(),
            "pod": table.probability_of_detection(),
            "far": table.false_alarm_ratio(),
            "frequency_bias": table.frequency_bias(),
            "hss": table.heidke_skill_score(),
            "ets": table.equitable_threat_score(),
        }
        for name, value in expected.items():
            mine = scores.metric(name)[step, 0, channel, column].item()
            assert mine == pytest.approx(value.item(), rel=1e-9), name
    assert scores.metric("csi")[:, 0, 1, 1].isnan().all()


def test_what_was_forecast_perfectly():
    truth = rain()[1]
    families = (Events(ONES, THRESHOLDS), Neighbourhoods(ONES, THRESHOLDS, (1, 3)))
    scores = Scores.of(truth, truth, families)
    values = {name: scores.metric(name)[:, 0, 0, 0].unique().tolist() for name in scores.names}
    assert values == {
        "csi": [1], "pod": [1], "far": [0], "frequency_bias": [1], "hss": [1], "ets": [1],
        "fss": [1],
    }  # fmt: skip


def test_events_are_weighted_by_area_and_kept_by_region():
    forecast, truth = rain()
    area = torch.rand(GRID, generator=torch.Generator().manual_seed(0)) + 0.1
    south = torch.arange(9)[:, None].expand(GRID) > 4
    weights = Weights.of(GRID, area, {"south": south})
    csi = Scores.of(forecast, truth, (Events(weights, THRESHOLDS),)).metric("csi")
    for region, where in enumerate((torch.ones(GRID, dtype=torch.bool), south)):
        ours, theirs = (v[:, 0, 0] >= 1 for v in (forecast, truth))
        w = area.double().where(where, 0.0)
        expected = ((ours & theirs) * w).sum() / ((ours | theirs) * w).sum()
        torch.testing.assert_close(csi[0, region, 0, 0], expected)


@pytest.mark.parametrize("size", [1, 3, 5, 11])
def test_the_fss_equals_a_filter_of_scipy_and_another_library(size):
    forecast, truth = rain()
    scores = Scores.of(forecast, truth, (Neighbourhoods(ONES, THRESHOLDS, (size,)),))
    for step, channel, column, threshold in each_event():
        ours, theirs = (
            np.stack([
                uniform_filter(frame.numpy().astype(float), size, mode="constant")
                for frame in v[:, step, channel] >= threshold
            ])
            for v in (forecast, truth)
        )  # fmt: skip
        expected = 1 - ((ours - theirs) ** 2).sum() / (ours**2 + theirs**2).sum()
        mine = scores.metric("fss")[step, 0, channel, column, 0].item()
        assert mine == pytest.approx(expected, rel=1e-9)
    if size == 1:
        other = fss_2d(
            labelled(forecast[:, 0, 0]), labelled(truth[:, 0, 0]), event_threshold=1.0,
            window_size=(1, 1), spatial_dims=("y", "x"), threshold_operator=np.greater_equal,
        )  # fmt: skip
        assert scores.metric("fss")[0, 0, 0, 0, 0].item() == pytest.approx(other.item(), rel=1e-9)


def test_neighbourhoods_go_round_the_globe():
    forecast, truth = torch.zeros(2, 1, 1, 1, *GRID)
    forecast[..., 4, 0], truth[..., 4, -1] = 2, 2
    thresholds = Thresholds(torch.tensor([[1.0]]), (("1",),))
    flat, round_ = (
        Scores.of(forecast, truth, (Neighbourhoods(ONES, thresholds, (3, 21), wraps),)).metric(
            "fss"
        )
        for wraps in (False, True)
    )
    assert flat[..., 0].item() == 0
    assert 0 < round_[..., 0].item() < 1
    moved = (forecast.roll(3, -1), truth.roll(3, -1))
    rolled = Scores.of(*moved, (Neighbourhoods(ONES, thresholds, (3,), True),)).metric("fss")
    torch.testing.assert_close(rolled[..., 0], round_[..., 0])


def test_a_forecast_beside_the_place_gains_by_larger_neighbourhoods():
    truth = torch.zeros(1, 1, 2, *GRID)
    truth[..., 4, 3] = 3
    fss = Scores.of(truth.roll(2, -1), truth, (Neighbourhoods(ONES, THRESHOLDS, (1, 3, 5, 7)),))
    values = fss.metric("fss")[0, 0, 0, 0]
    assert values[0] == 0
    assert (values.diff() > 0).all()


def test_events_that_are_missing_count_nowhere():
    forecast, truth = rain()
    holes = torch.rand(truth.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    families = (Events(ONES, THRESHOLDS), Neighbourhoods(ONES, THRESHOLDS, (3,)))
    holed = truth.where(~holes, torch.nan)
    one = Scores.of(forecast, holed, families)
    other = Scores.of(forecast.where(~holes, 9.0), holed, families)
    for name in one.names:
        assert torch.equal(one.metric(name).nan_to_num(-9), other.metric(name).nan_to_num(-9))
    assert (one.total().sums["cases"][0, :, 0, :, 0] == (~holes).sum((0, 3, 4))).all()


def climate():
    random = np.random.default_rng(1)
    history = Frames(
        torch.from_numpy(random.gamma(0.7, 1.5, (1, 200, 1, *GRID)).astype(np.float32)),
        (Channel("rain"),),
    )
    return history, wet_climate(history, 0, 0.4)


def test_seeps_equals_another_library():
    forecast, truth = rain()
    _, (_, dry, probability, heavy) = climate()
    scores = Scores.of(forecast, truth, (Seeps(ONES, (WetClimate(1, dry, probability, heavy),)),))
    place = ("y", "x")
    for step in range(3):
        expected = seeps(
            labelled(forecast[:, step, 1]), labelled(truth[:, step, 1]),
            xr.DataArray(probability.numpy(), dims=place), xr.DataArray(heavy.numpy(), dims=place),
            dry_light_threshold=dry,
        )  # fmt: skip
        assert scores.metric("seeps")[step, 0, 1].item() == pytest.approx(expected.item(), rel=1e-5)
    assert scores.metric("seeps")[:, 0, 0].isnan().all()
    perfect = Scores.of(truth, truth, (Seeps(ONES, (WetClimate(1, dry, probability, heavy),)),))
    assert (perfect.metric("seeps")[:, 0, 1] == 0).all()


@given(dry=st.floats(0.1, 0.85))
@settings(max_examples=20, deadline=None)
def test_a_constant_forecast_and_chance_cost_one(dry):
    costs = cost_matrix(torch.tensor([[dry]]).double())[..., 0, 0]
    likely = torch.tensor([dry, 2 * (1 - dry) / 3, (1 - dry) / 3]).double()
    torch.testing.assert_close(costs @ likely, torch.ones(3).double())


def test_the_climate_of_rain_by_place():
    history, found = climate()
    values = history.values[0, :, 0].numpy()
    np.testing.assert_allclose(found.probability, (values < 0.4).mean(0), rtol=1e-6)
    for place in np.ndindex(*GRID):
        series = values[(slice(None), *place)]
        expected = np.quantile(series[series >= 0.4], 2 / 3)
        assert found.heavy[place].item() == pytest.approx(expected, rel=1e-5)


def test_percentiles_are_of_all_that_is_known():
    values = torch.arange(400.0).view(2, 10, 1, 4, 5)
    values[0, 0] = torch.nan
    dims = ("sequence", "time", "y", "x")
    frames = Frames(values, (Channel("rain"),), dims=dims)
    known = values[~values.isnan()].numpy()
    assert percentiles(frames, 0, [10.0, 99.0]) == np.percentile(known, [10, 99]).tolist()
    nothing = Frames(torch.full((1, 2, 1, 2, 2), torch.nan), (Channel("rain"),))
    with pytest.raises(UserError, match="rain is missing in all frames"):
        percentiles(nothing, 0, [10.0])


def test_of_many_frames_one_of_each_stretch_is_looked_at(monkeypatch):
    monkeypatch.setattr("framecast.metrics.climate.MOST", 2000)
    values = torch.arange(2 * 400.0).view(2, 400, 1, 1, 1).expand(2, 400, 1, 4, 5)
    frames = Frames(values.clone(), (Channel("rain"),), dims=("sequence", "time", "y", "x"))
    found = [field[0, 0].item() for field in _fields(frames, 0)]
    assert [place // 8 for place in found] == list(range(100))
    assert {place % 8 for place in found} == set(range(8))  # of a day of eight frames, all hours
    assert percentiles(frames, 0, [50.0]) == [np.median(found)]


def test_how_thresholds_are_written():
    assert parse_threshold("2.5", "rain") == 2.5
    assert parse_threshold("-1e-3", "rain") == -0.001
    assert parse_threshold("p99.5", "rain") == Percentile(99.5)
    for text in ("p", "p0", "p100", "p-1", "nan", "inf", "heavy", ""):
        with pytest.raises(UserError, match=r"--threshold rain: .* is neither a number"):
            parse_threshold(text, "rain")
