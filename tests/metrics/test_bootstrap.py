"""Intervals by resampling blocks."""

import numpy as np
import pytest
import scipy.stats
import torch

from framecast.metrics.bootstrap import by_steps, draw, interval
from framecast.metrics.scores import Scores


def test_draws_keep_the_number_of_blocks_and_are_always_the_same():
    draws = draw(12)
    assert draws.shape == (1000, 12)
    assert (draws.sum(1) == 12).all()
    assert torch.equal(draws, draw(12))
    assert abs(draws.mean().item() - 1) < 1e-9
    assert draws.std() == pytest.approx((11 / 12) ** 0.5, rel=0.05)


def test_the_interval_of_a_mean_is_that_of_theory_and_of_scipy():
    values = torch.from_numpy(np.random.default_rng(0).normal(3, 2, 80))
    found = interval(draw(80) @ values / 80)
    error = values.std().item() / 80**0.5
    mean = values.mean().item()
    assert found.low.item() == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert found.high.item() == pytest.approx(mean + 1.96 * error, abs=0.15 * error)
    theirs = scipy.stats.bootstrap(
        (values.numpy(),), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.low.item() == pytest.approx(theirs.low, abs=0.2 * error)
    assert found.high.item() == pytest.approx(theirs.high, abs=0.2 * error)


def test_intervals_hold_the_mean_as_often_as_they_say():
    random = np.random.default_rng(0)
    draws, hits = draw(40), 0
    for _ in range(400):
        low, high = interval(draws @ torch.from_numpy(random.normal(size=40)) / 40)
        hits += bool(low <= 0 <= high)
    assert 0.91 < hits / 400 < 0.97


def test_what_is_no_number_is_left_out():
    values = torch.linspace(0, 1, 1000).double()[:, None].repeat(1, 3)
    values[::2, 1] = torch.nan
    values[:, 2] = torch.nan
    low, high = interval(values)
    assert low[0].item() == pytest.approx(0.025)
    assert high[1].item() == pytest.approx(0.975, abs=2e-3)
    assert low[2].isnan()
    assert high[2].isnan()


def test_infinite_values_are_greatest_and_least_of_all():
    values = torch.linspace(0, 1, 1000).double()[:, None].repeat(1, 3)
    values[960:, 0] = torch.inf  # more than the upper tail
    values[:40, 1] = -torch.inf
    values[:500, 1] = values[:500, 1].where(values[:500, 1].isinf(), torch.nan)
    values[:, 2] = torch.inf
    low, high = interval(values)
    assert low[0].item() == pytest.approx(0.025, abs=2e-3)
    assert high[0] == torch.inf
    assert low[1] == -torch.inf
    assert high[1].item() == pytest.approx(0.987, abs=2e-3)
    assert low[2] == high[2] == torch.inf


def test_an_infinite_window_is_in_the_resamples_that_draw_it_alone():
    truth = torch.zeros(12, 1, 1, 2, 2)
    predictions = torch.ones_like(truth)
    predictions[3] = torch.inf
    draws = draw(12)
    found = Scores.of(predictions, truth).resampled("rmse", draws)[:, 0, 0]
    assert torch.equal(found == torch.inf, draws[:, 3] > 0)
    assert torch.equal(found == 1, draws[:, 3] == 0)
    assert interval(found).high == torch.inf


def test_steps_are_taken_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("framecast.metrics.bootstrap._NUMBERS", 1000 * 5 * 2)
    values, widths = torch.rand(1000, 7, 3).double(), []

    def some(steps):
        widths.append(values[:, steps].shape[1])
        return values[:, steps], -values[:, steps]

    ours, negated = by_steps(some, 7, 5)
    assert widths == [2, 2, 2, 1]
    torch.testing.assert_close(ours, interval(values))
    torch.testing.assert_close(negated.low, -ours.high)
