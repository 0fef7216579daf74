"""What must hold of every metric of the catalogue: a new one is tested here for nothing."""

from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from framecast.frames.batch import Place
from framecast.metrics import METRICS, Scores, Truth, Weights
from framecast.metrics.ages import NEITHER, NEW
from framecast.metrics.anomaly import Anomalies
from framecast.metrics.ensemble import Energy, FairCrps, Ranks, Spread
from framecast.metrics.error import Errors
from framecast.metrics.event import Events
from framecast.metrics.lpips import Lpips
from framecast.metrics.neighbourhood import Neighbourhoods
from framecast.metrics.numbers import FrameNumbers
from framecast.metrics.probability import Probabilities
from framecast.metrics.seeps import Seeps, WetClimate
from framecast.metrics.spectrum import Spectra, isotropic_bins
from framecast.metrics.thresholds import Thresholds
from judged import random_weights

GRID, STEPS, CHANNELS, MEMBERS = (33, 32), 3, 3, 3
NAMES = tuple(name for name in METRICS if name != "fvd")  # which tests/metrics/test_fvd.py judges
SIZES = {
    "threshold": 2, "neighbourhood": 2, "wavelength": 16, "rank": 4, "probability": 4, "age": 3
}  # fmt: skip


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    random = torch.Generator().manual_seed(0)
    south = torch.arange(GRID[0])[:, None].expand(GRID) > 20
    weights = Weights.of(GRID, torch.rand(GRID, generator=random) + 0.1, {"south": south})
    thresholds = Thresholds(
        torch.tensor([[0.3, 0.6], [0.5, torch.nan], [0.2, 0.4]]), (("a", "b"), ("c",), ("d", "e"))
    )
    file = tmp_path_factory.mktemp("weights") / "lpips.safetensors"
    save_file(random_weights(), file)
    wet = WetClimate(0, 0.3, torch.full(GRID, 0.4), torch.full(GRID, 0.7))
    images = tuple(name for name in NAMES if METRICS[name].family == "image")
    return (
        *(f(weights) for f in (Errors, Anomalies, FairCrps, Spread, Energy, Ranks)),
        Events(weights, thresholds),
        Probabilities(weights, thresholds),
        Neighbourhoods(weights, thresholds, (1, 5)),
        Seeps(weights, (wet,)),
        Spectra(isotropic_bins(GRID, "windowed", None)),
        FrameNumbers(
            images,
            torch.tensor([[0.0, 1.0]] * CHANNELS),
            Lpips.load(file),
            ("psnr", "ssim", "lpips"),
            (8, 16),
        ),
    )


def forecasts(windows=4, members=MEMBERS, seed=0, holes=False):
    """Members and truth in [0, 1], smooth enough for a spectrum, with the usual state."""
    random = np.random.default_rng(seed)
    truth = torch.from_numpy(random.random((windows, STEPS, CHANNELS, *GRID), np.float32))
    noise = torch.from_numpy(random.random((members, *truth.shape), np.float32))
    if holes:
        truth[1, :, 0, :9] = torch.nan
    places = tuple(Place(0, 5 * n) for n in range(windows))
    usual = torch.full_like(truth, 0.5)
    ages = torch.tensor([NEW, 5, 12, NEITHER])[torch.arange(windows * STEPS) % 4].view(-1, STEPS)
    members = 0.6 * truth.nan_to_num(0.5) + 0.4 * noise
    return members, Truth(truth, usual, places, ages=ages)


def part(truth, windows):
    places = tuple(truth.places[n] for n in windows)
    values, usual, ages = (x[windows] for x in (truth.values, truth.climatology, truth.ages))
    return Truth(values, usual, places, ages=ages)


@pytest.fixture(scope="module")
def scores(families):
    return Scores.of(*forecasts(), families)


def test_each_metric_is_given_by_one_family(families, scores):
    given_by = [name for family in families for name in family.metrics]
    assert sorted(given_by) == sorted(NAMES)
    statistics = [name for family in families for name in family.statistics]
    assert len(statistics) == len(set(statistics))
    assert set(statistics) == set(scores.sums)
    assert set(scores.names) == set(NAMES)
    assert {each.dtype for each in scores.sums.values()} == {torch.float64}
    assert {each.shape[:2] for each in scores.sums.values()} == {(4, STEPS)}


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name, families):
    metric = METRICS[name]
    family = next(f for f in families if name in f.metrics)
    if metric.family not in ("image", "age"):
        assert len(getattr(type(family), name).__doc__) > 20
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in page
    assert metric.summary
    assert metric.label


@pytest.mark.parametrize("name", NAMES)
def test_its_values_have_the_axes_that_it_declares(name, scores):
    metric = METRICS[name]
    channels = CHANNELS if metric.per == "channel" else 1
    shape = (STEPS, 2 if metric.regional else 1, channels, *(SIZES[axis] for axis in metric.axes))
    values = scores.metric(name)
    assert values.shape == shape
    assert values.dtype == torch.float64
    assert values.isfinite().any()


@pytest.mark.parametrize("name", [name for name in NAMES if METRICS[name].perfect is not None])
def test_a_perfect_forecast_has_its_perfect_value(name, families):
    _, truth = forecasts()
    members = truth.values.expand(METRICS[name].members, *truth.values.shape)
    values = Scores.of(members, truth, families).metric(name)
    known = values[~values.isnan()]
    torch.testing.assert_close(
        known, torch.full_like(known, METRICS[name].perfect), atol=1e-7, rtol=0
    )
    assert len(known) or name == "spread_skill"  # without spread and error there is no ratio


@pytest.mark.parametrize("name", NAMES)
def test_a_worse_forecast_is_worse(name, scores, families):
    """Where the catalogue says which way is better; of forecasts of an other truth."""
    members, truth = forecasts()
    worse = Scores.of(members.roll(7, -1).roll(5, -2), truth, families)
    ours, theirs = (s.pool().metric(name)[0, 0, 0].flatten()[0] for s in (scores, worse))
    better = METRICS[name].better
    if better == "lower" and name != "effective_resolution":
        assert theirs > ours
    elif better == "higher":
        assert theirs < ours
    elif name in ("power", "power_truth", "sharpness", "spread", "brier_uncertainty"):
        torch.testing.assert_close(ours, theirs, rtol=0.5, atol=0)  # moved, and as rough as before


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(4)), cuts=st.sets(st.integers(1, 3)))
def test_all_merge_in_any_order_and_parts(families, order, cuts):
    members, truth = forecasts(holes=True)
    whole = Scores.of(members, truth, families)
    parts = [list(map(int, p)) for p in np.split(np.array(order), sorted(cuts))]
    merged = reduce(
        add, (Scores.of(members[:, p], part(truth, p), families).total() for p in parts)
    )
    for name in NAMES:
        torch.testing.assert_close(
            merged.metric(name), whole.metric(name), rtol=1e-6, atol=1e-9, equal_nan=True
        )


@pytest.mark.parametrize("name", NAMES)
def test_steps_that_are_pooled_count_as_one(name, families, scores):
    members, truth = forecasts()
    one = members.flatten(1, 2)[:, :, None]
    values, usual, ages = (
        each.flatten(0, 1)[:, None] for each in (truth.values, truth.climatology, truth.ages)
    )
    together = Truth(values, usual, ages=ages)
    expected = Scores.of(one, together, families).metric(name)
    torch.testing.assert_close(
        scores.pool().metric(name), expected, rtol=1e-6, atol=1e-9, equal_nan=True
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_of_the_truth_counts_nowhere(name, families):
    members, truth = forecasts(holes=True)
    wild = members.where(~truth.values.isnan(), 77.0)
    one, other = (Scores.of(each, truth, families).metric(name) for each in (members, wild))
    torch.testing.assert_close(one, other, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_that_is_not_a_number_is_no_score(name, families):
    """It must not pass for dry, or for no event; and where the truth is missing it is nothing."""
    members, truth = forecasts(holes=True)
    members[0, 1, 2, 0, 0, 0] = torch.nan  # under the gap of the truth
    one = Scores.of(members, truth, families).metric(name)
    assert one[2, 0, 0].isfinite().any()
    members[1, 0, 1, 0, 20, 5] = torch.nan
    other = Scores.of(members, truth, families).metric(name)
    assert other[1, :, 0].isnan().all()
    if METRICS[name].per == "channel":
        torch.testing.assert_close(other[:, :, 1:], one[:, :, 1:], equal_nan=True)
    torch.testing.assert_close(other[[0, 2]], one[[0, 2]], equal_nan=True)


def test_resamples_of_each_window_once_are_the_whole(scores):
    draws = torch.tensor([[1, 1, 1, 1], [0, 3, 1, 0]]).double()
    for name in NAMES:
        once, other = scores.resampled(name, draws)
        torch.testing.assert_close(once, scores.metric(name)[:, 0], equal_nan=True)
        if METRICS[name].regional:
            south = scores.resampled(name, draws, region=1)[0]
            torch.testing.assert_close(south, scores.metric(name)[:, 1], equal_nan=True)
        assert name == "brier_uncertainty" or not torch.equal(
            other.nan_to_num(0.0), once.nan_to_num(0.0)
        ), name
