import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from framecast.metrics import ERRORS, Scores, Truth
from framecast.metrics.numbers import FrameNumbers, sum_numbers


def _pair(seed=0, shape=(6, 4, 2, 5, 3)):
    random = np.random.default_rng(seed)
    truth = random.normal(280.0, 20.0, shape).astype(np.float32)
    return truth + random.normal(0.5, 2.0, shape).astype(np.float32), truth


def _scores(predictions, truth):
    return Scores.of(torch.from_numpy(predictions), torch.from_numpy(truth))


def _value(scores, metric):
    """[S,C]: there is one region."""
    return scores.metric(metric)[:, 0]


@pytest.mark.parametrize("metric", ERRORS)
def test_a_perfect_prediction_has_no_error_at_all(metric):
    _, truth = _pair()
    assert torch.equal(_value(_scores(truth, truth), metric), torch.zeros(4, 2).double())


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
                assert _value(scores, metric)[step, channel].item() == pytest.approx(
                    float(value), rel=1e-10, abs=1e-10
                )


@pytest.mark.parametrize("offset", [3.0, -0.25])
def test_a_constant_offset_is_bias_mae_and_rmse(offset):
    truth = np.random.default_rng(0).integers(-9, 9, (3, 2, 1, 4, 5)).astype(np.float32)
    scores = _scores(truth + np.float32(offset), truth)
    expected = {"bias": offset, "mae": abs(offset), "rmse": abs(offset), "mse": offset**2}
    for metric, value in expected.items():
        assert (scores.metric(metric) == value).all()


def test_rmse_is_the_root_of_the_mean_not_the_mean_of_roots():
    truth = torch.zeros(2, 1, 1, 1, 1)
    predictions = torch.tensor([0.0, 2.0]).reshape(truth.shape)
    assert Scores.of(predictions, truth).metric("rmse").item() == pytest.approx(2**0.5)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)), cuts=st.sets(st.integers(1, 5)))
def test_scores_merge_in_any_order_and_parts(order, cuts):
    predictions, truth = _pair()
    whole = _scores(predictions, truth)
    parts = [_scores(predictions[p], truth[p]).total() for p in np.split(order, sorted(cuts))]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part
    for metric in ERRORS:
        torch.testing.assert_close(
            merged.metric(metric), whole.metric(metric), rtol=1e-12, atol=1e-13
        )


def test_stretches_of_steps_are_put_behind_one_another():
    predictions, truth = _pair()
    whole = _scores(predictions, truth)
    stretches = (slice(0, 1), slice(1, 3), slice(3, 4))
    joined = Scores.cat([_scores(predictions[:, s], truth[:, s]) for s in stretches])
    assert all(torch.equal(joined.metric(m), whole.metric(m)) for m in ERRORS)


def test_steps_that_are_pooled_score_as_one_step_of_all_their_frames():
    predictions, truth = _pair()
    one = [array[:, 1:].reshape(18, 1, 2, 5, 3) for array in (predictions, truth)]
    pooled, expected = _scores(predictions, truth).pool(slice(1, None)), _scores(*one)
    assert pooled.metric("rmse").shape == (1, 1, 2)
    for metric in ERRORS:
        torch.testing.assert_close(pooled.metric(metric), expected.metric(metric))


def _with_numbers(numbers):
    numbers = torch.tensor(numbers).double()
    frames = torch.zeros(*numbers.shape, 1, 2, 2)
    family = FrameNumbers(("psnr",), torch.tensor([[0.0, 1.0]]))
    return Scores(sum_numbers({"psnr": numbers}, Truth(frames)), (family,))


def test_numbers_of_frames_are_means_over_frames():
    some, more = _with_numbers([[10.0, 20.0]]), _with_numbers([[16.0, 26.0], [22.0, 32.0]])
    both = some + more.total()
    assert both.metric("psnr").tolist() == [[[16.0]], [[26.0]]]
    assert both.pool().metric("psnr").tolist() == [[[21.0]]]
    assert Scores.cat([both, both]).metric("psnr").shape == (4, 1, 1)


def test_frames_that_equal_the_truth_are_left_out_of_a_mean():
    scores = _with_numbers([[30.0, torch.inf], [torch.inf, torch.inf], [40.0, torch.inf]])
    assert scores.metric("psnr").flatten().tolist() == [35.0, torch.inf]
    assert scores.left_out("psnr").tolist() == [1, 3]
    assert scores.pool().metric("psnr").item() == 35.0


def test_an_infinite_forecast_is_infinitely_wrong_in_every_mean_over_frames():
    truth = torch.zeros(2, 1, 1, 2, 2)
    predictions = torch.zeros_like(truth)
    predictions[1, 0, 0, 0, 0] = torch.inf
    family = FrameNumbers(("image_mse", "mse_openstl"), torch.tensor([[0.0, 1.0]]))
    scores = Scores.of(predictions, truth, (family,))
    assert scores.metric("mse_openstl").item() == torch.inf
    assert scores.metric("image_mse").item() == 0.125  # an image ends where its range does
    assert scores.left_out("mse_openstl").tolist() == [0]


def test_sets_of_windows_are_gathered_in_place():
    predictions, truth = _pair()
    sets, whole = torch.tensor([2, 0, 2, 1, 1, 0]), _scores(predictions, truth)
    halves = [_scores(predictions[h], truth[h]) for h in (slice(0, 3), slice(3, 6))]
    gathered = halves[1].gather(sets[3:], 3, halves[0].gather(sets[:3], 3))
    assert gathered.sets == 3
    for place in range(3):
        own = _scores(predictions[sets == place], truth[sets == place]).total()
        for name, each in own.sums.items():
            torch.testing.assert_close(gathered.sums[name][place], each[0])
    torch.testing.assert_close(gathered.metric("mae"), whole.metric("mae"))
    drawn = whole.resampled("mae", torch.tensor([[0, 2, 0, 1, 0, 0.0]]).double())[0]
    twice = [1, 1, 3]
    torch.testing.assert_close(drawn, _value(_scores(predictions[twice], truth[twice]), "mae"))


def test_a_number_that_is_none_is_seen():
    assert _with_numbers([[30.0], [torch.nan]]).metric("psnr").isnan().all()


def test_nothing_counted_is_not_a_number():
    assert _scores(*_pair(shape=(0, 1, 1, 2, 2))).metric("rmse").isnan().all()


def test_what_does_not_fit_is_refused():
    predictions, truth = _pair()
    with pytest.raises((ValueError, TypeCheckError)):
        _scores(predictions, truth[:, :1])
    with pytest.raises(ValueError, match="do not merge"):
        _scores(predictions, truth) + _scores(predictions[:, :1], truth[:, :1])
    with pytest.raises(ValueError, match="do not merge"):
        _with_numbers([[1.0]]) + _scores(*np.zeros((2, 1, 1, 1, 2, 2), np.float32))
    with pytest.raises(ValueError, match="no clip"):
        _scores(predictions, truth).metric("fvd")
    with pytest.raises(ValueError, match="no metric crps: they have rmse, mae, mse, bias"):
        _scores(predictions, truth).metric("crps")
