import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from framecast.metrics import METRICS, Scores


def _pair(seed=0, shape=(6, 4, 2, 5, 3)):
    random = np.random.default_rng(seed)
    truth = random.normal(280.0, 20.0, shape).astype(np.float32)
    return truth + random.normal(0.5, 2.0, shape).astype(np.float32), truth


def _scores(predictions, truth):
    return Scores.of(torch.from_numpy(predictions), torch.from_numpy(truth))


@pytest.mark.parametrize("metric", METRICS)
def test_a_perfect_prediction_has_no_error_at_all(metric):
    _, truth = _pair()
    assert torch.equal(getattr(_scores(truth, truth), metric), torch.zeros(4, 2).double())


def test_metrics_equal_independent_arithmetic():
    predictions, truth = _pair()
    scores = _scores(predictions, truth)
    for step in range(4):
        for channel in range(2):
            ours = predictions[:, step, channel].ravel().astype(np.longdouble)
            theirs = truth[:, step, channel].ravel().astype(np.longdouble)
            bias = ours.mean() - theirs.mean()
            mse = np.var(ours - theirs) + bias**2
            expected = {
                "bias": bias,
                "mse": mse,
                "rmse": np.linalg.norm((ours - theirs).astype(float)) / np.sqrt(ours.size),
                "mae": 2 * np.mean(np.maximum(ours, theirs) - ours) + bias,
            }
            for metric, value in expected.items():
                assert getattr(scores, metric)[step, channel].item() == pytest.approx(
                    float(value), rel=1e-10, abs=1e-10
                )


@pytest.mark.parametrize("offset", [3.0, -0.25])
def test_a_constant_offset_is_bias_mae_and_rmse(offset):
    truth = np.random.default_rng(0).integers(-9, 9, (3, 2, 1, 4, 5)).astype(np.float32)
    scores = _scores(truth + np.float32(offset), truth)
    assert (scores.bias == offset).all()
    assert (scores.mae == abs(offset)).all()
    assert (scores.rmse == abs(offset)).all()
    assert (scores.mse == offset**2).all()


def test_rmse_is_the_root_of_the_mean_not_the_mean_of_roots():
    truth = torch.zeros(2, 1, 1, 1, 1)
    predictions = torch.tensor([0.0, 2.0]).reshape(truth.shape)
    assert Scores.of(predictions, truth).rmse.item() == pytest.approx(2**0.5)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)), cuts=st.sets(st.integers(1, 5)))
def test_scores_merge_in_any_order_and_parts(order, cuts):
    predictions, truth = _pair()
    whole = _scores(predictions, truth)
    parts = [_scores(predictions[p], truth[p]) for p in np.split(order, sorted(cuts))]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part
    for metric in METRICS:
        assert torch.allclose(
            getattr(merged, metric), getattr(whole, metric), rtol=1e-12, atol=1e-13
        )


def test_a_stretch_of_steps_scores_as_it_does_alone():
    predictions, truth = _pair()
    part, alone = _scores(predictions, truth)[1:3], _scores(predictions[:, 1:3], truth[:, 1:3])
    assert all(torch.equal(getattr(part, m), getattr(alone, m)) for m in METRICS)


def test_nothing_counted_is_not_a_number():
    assert _scores(*_pair(shape=(0, 1, 1, 2, 2))).rmse.isnan().all()


def test_what_does_not_fit_is_refused():
    predictions, truth = _pair()
    with pytest.raises((ValueError, TypeCheckError)):
        _scores(predictions, truth[:, :1])
    with pytest.raises(ValueError, match="do not merge"):
        _scores(predictions, truth) + _scores(predictions[:, :1], truth[:, :1])
