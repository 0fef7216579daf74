"""The loss of ensembles, beside definitions, closed forms and another library."""

import math

import pytest
import scoringrules
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import close
from framecast.models.crps import (
    almost_fair_crps,
    measure_members,
    scale_shares,
    spectral_crps,
)


def sample(members, *shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(members + 1, *shape, dtype=dtype, generator=generator)
    return values[1:], values[0]


@pytest.mark.parametrize("members", [2, 3, 8])
@pytest.mark.parametrize(("epsilon", "estimator"), [(0, "fair"), (1, "nrg")])
def test_the_ends_are_the_fair_and_the_plain_score_of_another_library(members, epsilon, estimator):
    x, y = sample(members, 4, 5)
    ours = almost_fair_crps(x, y, epsilon / members)
    theirs = scoringrules.crps_ensemble(y.numpy(), x.movedim(0, -1).numpy(), estimator=estimator)
    close(ours, torch.from_numpy(theirs), 1e-12)


@settings(max_examples=20)
@given(members=st.integers(2, 6), alpha=st.floats(0, 1), seed=st.integers(0, 99))
def test_between_them_it_is_their_mixture_and_never_negative(members, alpha, seed):
    x, y = sample(members, 6, seed=seed)
    fair, plain = almost_fair_crps(x, y), almost_fair_crps(x, y, 1 / members)
    between = almost_fair_crps(x, y, (1 - alpha) / members)
    close(between, alpha * fair + (1 - alpha) * plain, 1e-11)
    assert (between >= -1e-12).all()


def test_its_expectation_is_the_exact_score_of_the_distribution():
    """Normal members and truth: E CRPS = σ / √π, whatever the number of members."""
    for members in (2, 5):
        x, y = sample(members, 200_000)
        assert almost_fair_crps(x, y).mean().item() == pytest.approx(1 / math.sqrt(math.pi), 0.01)


def test_members_that_all_equal_the_truth_but_one_are_told_apart_by_epsilon_alone():
    truth = torch.zeros(1)
    members = torch.tensor([[0.0], [0.0], [3.0]])
    assert almost_fair_crps(members, truth).item() == pytest.approx(0, abs=1e-7)
    assert almost_fair_crps(members, truth, 0.1).item() > 0.05


@settings(max_examples=15)
@given(shape=st.tuples(*[st.integers(1, 3)] * 5), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_it_is_a_weighted_mean_over_what_is_known(shape, share, seed):
    members, truth = sample(3, *shape, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    known = torch.rand(shape, generator=generator) < share
    area = torch.rand(shape[-2:], dtype=torch.float64, generator=generator) + 0.1
    found = measure_members(members, truth, known, area)
    weights = known * area
    close(found.sums, (almost_fair_crps(members, truth) * weights).sum((0, 1, 3, 4)), 1e-12)
    close(found.weights, weights.sum((0, 1, 3, 4)), 1e-12)


def test_what_is_not_known_changes_nothing():
    members, truth = sample(3, 2, 4, 2, 5, 6)
    known = torch.rand(truth.shape) < 0.5
    other = truth.where(known, 7.0)
    one, two = (measure_members(members, y, known, None, 0.1, 0.5) for y in (truth, other))
    assert torch.equal(one.sums, two.sums)


def test_the_spectral_part_is_added_for_each_frame_by_its_weight():
    members, truth = sample(3, 2, 4, 2, 5, 6)
    area = torch.rand(5, 6, dtype=torch.float64)
    with_it, without = (measure_members(members, truth, None, area, 0.0, w) for w in (0.5, 0.0))
    expected = 0.5 * (spectral_crps(members, truth) * area.sum()).sum((0, 1))
    close(with_it.sums - without.sums, expected, 1e-12)
    assert torch.equal(with_it.weights, without.weights)


def test_every_scale_counts_alike():
    shares = scale_shares(8, 8)
    assert shares.sum().item() == pytest.approx(1)
    waves = torch.hypot(*torch.meshgrid(*[torch.fft.fftfreq(8) * 8] * 2, indexing="ij")).round()
    each = [shares[waves == scale].sum().item() for scale in waves.unique()]
    assert each == pytest.approx([each[0]] * len(each))


def test_a_wave_of_the_wrong_phase_or_scale_is_seen_on_its_scale():
    x = torch.arange(16.0).expand(16, 16)
    truth = torch.sin(2 * math.pi * x / 8)
    right = truth.expand(2, 16, 16)
    assert spectral_crps(right, truth).item() == pytest.approx(0, abs=1e-5)
    shifted = torch.cos(2 * math.pi * x / 8).expand(2, 16, 16)
    # Two coefficients of modulus 8 are off by 8 √2, among the 12 of their scale.
    waves = torch.hypot(*torch.meshgrid(*[torch.fft.fftfreq(16) * 16] * 2, indexing="ij")).round()
    scales, count = len(waves.unique()), (waves == 2).sum()
    expected = 2 * 8 * math.sqrt(2) / count / scales
    assert spectral_crps(shifted, truth).item() == pytest.approx(expected.item(), rel=1e-4)
