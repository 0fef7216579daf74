"""Metrics of ensembles and probabilities, beside two other libraries and by what must hold."""

import itertools

import numpy as np
import pytest
import scoringrules
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scores.probability import brier_score_for_ensemble, crps_for_ensemble

from framecast.frames.batch import Place
from framecast.metrics import Scores, Truth, Weights
from framecast.metrics.ensemble import Energy, FairCrps, Ranks, Spread, fair_crps
from framecast.metrics.probability import Probabilities
from framecast.metrics.thresholds import Thresholds

WEIGHTS = Weights.of((5, 3), torch.linspace(0.5, 1.5, 15).view(5, 3))
THRESHOLDS = Thresholds(torch.tensor([[0.0, 1.0], [0.5, torch.nan]]), (("0", "1"), ("0.5",)))
FAMILIES = (
    FairCrps(WEIGHTS),
    Spread(WEIGHTS),
    Energy(WEIGHTS),
    Ranks(WEIGHTS),
    Probabilities(WEIGHTS, THRESHOLDS),
)


def ensemble(members, shape=(4, 3, 2, 5, 3), seed=0, scale=1.0):
    random = torch.Generator().manual_seed(seed)
    truth = torch.randn(shape, generator=random)
    return scale * torch.randn((members, *shape), generator=random), truth


def labelled(values, dims=("b", "s", "c", "y", "x")):
    return xr.DataArray(values.numpy(), dims=dims)


def weighted(values):
    """Mean over windows and cells, [S,C]."""
    w = WEIGHTS.values[0].numpy()
    return (np.asarray(values) * w).sum((0, 3, 4)) / (w.sum() * len(values))


@pytest.mark.parametrize("members", [2, 3, 12])
def test_the_crps_equals_two_other_libraries(members):
    x, y = ensemble(members)
    ours = Scores.of(x, y, FAMILIES).metric("crps")[:, 0].numpy()
    scored = scoringrules.crps_ensemble(y.numpy(), x.numpy(), m_axis=0, estimator="fair")
    np.testing.assert_allclose(ours, weighted(scored), rtol=1e-5)
    dims = ("m", "b", "s", "c", "y", "x")
    theirs = crps_for_ensemble(
        labelled(x, dims), labelled(y), "m", method="fair", preserve_dims="all"
    )
    np.testing.assert_allclose(ours, weighted(theirs.transpose("b", "s", "c", "y", "x")), rtol=1e-5)


def test_the_crps_of_one_member_is_its_error():
    x, y = ensemble(1)
    scores = Scores.of(x, y, (FairCrps(WEIGHTS), Energy(WEIGHTS)))
    np.testing.assert_allclose(scores.metric("crps")[:, 0], weighted((x[0] - y).abs()), rtol=1e-6)
    rms = ((x[0] - y).double().square() * WEIGHTS.values).sum((-2, -1)) / WEIGHTS.values.sum()
    torch.testing.assert_close(scores.metric("energy_score")[:, 0], rms.sqrt().mean(0))


def test_the_fair_crps_does_not_depend_on_the_number_of_members():
    """The mean over all subsets of any size is that of the whole ensemble."""
    x, y = ensemble(6, (2, 1, 1, 2, 2))
    whole = fair_crps(x, y)
    for size in range(2, 6):
        subsets = [fair_crps(x[[*chosen]], y) for chosen in itertools.combinations(range(6), size)]
        torch.testing.assert_close(torch.stack(subsets).mean(0), whole)


@given(order=st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_members_have_no_order(order):
    x, y = ensemble(5)
    one, other = Scores.of(x, y, FAMILIES), Scores.of(x[order], y, FAMILIES)
    for name in one.names:
        torch.testing.assert_close(
            one.metric(name), other.metric(name), rtol=1e-6, atol=1e-9, equal_nan=True
        )


def test_the_energy_score_equals_another_library():
    x, y = ensemble(4)
    root = (WEIGHTS.values[0] / WEIGHTS.values.sum()).sqrt()
    ours = Scores.of(x, y, FAMILIES).metric("energy_score")[:, 0]
    members = (x.double() * root).flatten(-2).movedim(0, -2).numpy()
    theirs = scoringrules.es_ensemble(
        (y.double() * root).flatten(-2).numpy(), members, estimator="fair"
    )
    np.testing.assert_allclose(ours, np.asarray(theirs).mean(0), rtol=1e-8)


def test_spread_equals_skill_for_members_that_are_like_the_truth():
    x, y = ensemble(5, (400, 2, 2, 5, 3))
    ratio = Scores.of(x, y, FAMILIES).metric("spread_skill")
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0.03, atol=0)
    narrow = Scores.of(x / 2, y, FAMILIES).metric("spread")
    torch.testing.assert_close(narrow, torch.full_like(narrow, 0.5), rtol=0.03, atol=0)
    mean = weighted((x.mean(0) - y).square()) ** 0.5
    variance = weighted(x.double().var(0))
    expected = np.sqrt(6 / 5 * variance) / mean
    np.testing.assert_allclose(ratio[:, 0], expected, rtol=1e-5)


def test_ranks_of_a_reliable_ensemble_are_flat_and_those_of_a_narrow_one_are_not():
    x, y = ensemble(4, (400, 1, 1, 5, 3))
    x, y = x.round(decimals=0), y.round(decimals=0)  # with ties
    flat = Scores.of(x, y, (Ranks(WEIGHTS),)).metric("rank_histogram")[0, 0, 0]
    torch.testing.assert_close(flat, torch.full((5,), 0.2).double(), rtol=0.1, atol=0)
    narrow = Scores.of(x / 4, y, (Ranks(WEIGHTS),)).metric("rank_histogram")[0, 0, 0]
    assert narrow[[0, 4]].min() > 0.3
    x = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1, 1, 1)
    for value, rank in ((0.5, 0), (1.5, 1), (2.5, 2), (9.0, 3)):
        y = torch.full((1, 1, 1, 1, 1), value)
        counts = Scores.of(x, y, (Ranks(Weights.of((1, 1))),)).metric("rank_histogram").flatten()
        assert counts.argmax() == rank


def test_ties_are_broken_by_the_place_and_not_by_the_batch():
    x, y = torch.zeros(3, 4, 2, 1, 5, 3), torch.zeros(4, 2, 1, 5, 3)
    places = tuple(Place(0, 7 * n) for n in range(4))
    together = Scores.of(x, Truth(y, places=places), (Ranks(WEIGHTS),)).total()
    apart = [
        Scores.of(x[:, n : n + 1], Truth(y[n : n + 1], places=places[n : n + 1]), (Ranks(WEIGHTS),))
        for n in range(4)
    ]
    summed = apart[0] + apart[1] + apart[2] + apart[3]
    torch.testing.assert_close(summed.sums["rank_weight"], together.sums["rank_weight"])
    assert (together.sums["rank_weight"] > 0).all()


@pytest.mark.parametrize("members", [1, 2, 7])
def test_the_brier_score_equals_another_library_and_its_parts_add_up(members):
    x, y = ensemble(members)
    scores = Scores.of(x, y, FAMILIES)
    dims = ("m", "b", "s", "c", "y", "x")
    theirs = brier_score_for_ensemble(
        labelled(x, dims), labelled(y), "m", [0.0, 0.5, 1.0],
        preserve_dims="all", fair_correction=False,
    ).transpose("threshold", "b", "s", "c", "y", "x")  # fmt: skip
    brier = scores.metric("brier")[:, 0]
    np.testing.assert_allclose(brier[:, 0, 0], weighted(theirs[0])[:, 0], rtol=1e-6)
    np.testing.assert_allclose(brier[:, 0, 1], weighted(theirs[2])[:, 0], rtol=1e-6)
    np.testing.assert_allclose(brier[:, 1, 0], weighted(theirs[1])[:, 1], rtol=1e-6)
    assert brier[:, 1, 1].isnan().all()
    reliability, resolution, uncertainty = (
        scores.metric(f"brier_{part}")[:, 0]
        for part in ("reliability", "resolution", "uncertainty")
    )
    torch.testing.assert_close(reliability - resolution + uncertainty, brier, equal_nan=True)


def test_the_reliability_diagram_by_hand():
    """Of four cells, two have the probability 1/2, and one of them has an event."""
    x = torch.tensor([[1.0, 1, 1, 0], [1, 0, 0, 0]]).view(2, 1, 1, 1, 2, 2)
    y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 1, 2, 2)
    family = Probabilities(Weights.of((2, 2)), Thresholds(torch.tensor([[0.5]]), (("0.5",),)))
    scores = Scores.of(x, y, (family,))
    assert scores.metric("reliability").flatten().tolist() == [0, 0.5, 1]
    assert scores.metric("probability_share").flatten().tolist() == [0.25, 0.5, 0.25]
    assert scores.metric("brier").item() == pytest.approx((0 + 0.25 + 0.25 + 0) / 4)


def test_one_member_has_no_spread_and_no_rank():
    scores = Scores.of(*ensemble(1), FAMILIES)
    names = ("crps", "energy_score", *Probabilities.metrics)
    assert scores.names == names


def test_what_is_missing_of_the_truth_counts_nowhere():
    x, y = ensemble(3)
    holes = torch.rand(y.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    holed = y.where(~holes, torch.nan)
    wild = x.where(~holes, 1e9)
    one, other = (Scores.of(members, holed, FAMILIES) for members in (x, wild))
    for name in one.names:
        torch.testing.assert_close(one.metric(name), other.metric(name), equal_nan=True)
        assert not torch.equal(one.metric(name), Scores.of(x, y, FAMILIES).metric(name))
    nothing = Scores.of(x, torch.full_like(y, torch.nan), FAMILIES)
    assert all(nothing.metric(name).isnan().all() for name in nothing.names)
