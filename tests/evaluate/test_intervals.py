"""Blocks of windows, the intervals that follow from them, and comparisons of forecasts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framecast.evaluate import Evaluation, evaluate
from framecast.evaluate.blocks import MOST, assign
from framecast.evaluate.results import Forecasts, compare
from framecast.frames.batch import Place
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.metrics import MetricChoice, Scores, Subject, prepare
from framecast.report import print_table, write_report
from judged import walk
from small import untrained_run


def windows(sequences, count, stride):
    return [Place(n, stride * k) for n in range(sequences) for k in range(count)]


def test_windows_that_share_frames_share_a_block():
    blocks = assign(windows(1, 12, 1), 4)
    assert blocks == [0] * 4 + [1] * 4 + [2] * 4
    assert assign(windows(1, 6, 2), 4) == [0, 0, 1, 1, 2, 2]


def test_windows_side_by_side_make_blocks_of_the_cube_root_of_their_number():
    assert assign(windows(1, 27, 5), 5) == [n // 3 for n in range(27)]
    assert assign(windows(1, 3, 5), 5) == [0, 1, 2]
    assert assign(windows(1, 1, 5), 5) == [0]


def test_sequences_do_not_share_a_block():
    assert assign(windows(3, 2, 5), 5) == [0, 1, 2, 3, 4, 5]
    assert assign(windows(2, 3, 1), 5) == [0, 0, 0, 1, 1, 1]


@settings(max_examples=30, deadline=None)
@given(
    sequences=st.integers(1, 300), count=st.integers(1, 40),
    stride=st.integers(1, 9), length=st.integers(2, 9),
)  # fmt: skip
def test_there_are_never_more_than_a_hundred_blocks(sequences, count, stride, length):
    blocks = assign(windows(sequences, count, stride), length)
    assert len(blocks) == sequences * count
    assert blocks[0] == 0
    assert set(np.diff(blocks)) <= {0, 1}
    assert blocks[-1] < MOST


def evaluation_of(errors, thresholds=None):
    """Forecasts of one window a block, from errors [blocks, S] of one value each."""
    frames = Frames(torch.zeros(1, 4, 1, 1, 1), (Channel("t"),))
    measure = prepare(
        MetricChoice(thresholds=thresholds or {}), Subject(frames, frames.channels, 3)
    )
    forecasts = []
    for label, error in errors.items():
        predictions = error.float()[None, :, :, None, None, None]
        truth = torch.zeros_like(predictions[0])
        scores = Scores.of(predictions, truth, measure.families)
        forecasts.append(Forecasts(label, (), (scores,), torch.zeros(1, 3, 1, 1, 1)))
    return Evaluation(frames, 40, 1, tuple(forecasts[:-1]), tuple(forecasts[-1:]), measure)


def errors(seed=0, scale=1.0, blocks=40):
    random = torch.Generator().manual_seed(seed)
    return scale * torch.randn(blocks, 3, generator=random).double()


def test_an_interval_is_made_of_resampled_blocks():
    error = errors()
    evaluation = evaluation_of({"ours": error, "zero": 0 * error})
    low, high = evaluation.models[0].interval("mae")
    deviation = error.abs().std(0) / 40**0.5
    mean = error.abs().mean(0)
    torch.testing.assert_close(low[:, 0], mean - 1.96 * deviation, rtol=0.1, atol=0)
    torch.testing.assert_close(high[:, 0], mean + 1.96 * deviation, rtol=0.1, atol=0)
    zero = evaluation.baselines[0].interval("rmse")
    assert (zero.low == 0).all()
    assert (zero.high == 0).all()


def test_a_difference_is_surer_than_its_parts():
    """Two forecasts err alike in each window, and one a little more."""
    one = errors()
    other = one.sign() * (one.abs() + 0.05)
    evaluation = evaluation_of({"ours": one, "theirs": other, "zero": 0 * one})
    ours, theirs = evaluation.models
    apart = [f.interval("mae") for f in (ours, theirs)]
    assert (apart[0].high > apart[1].low).all()
    compared = evaluation.compare(ours, theirs, "mae")
    torch.testing.assert_close(compared.difference, torch.full((3, 1), -0.05).double())
    assert compared.certain.all()
    torch.testing.assert_close(compared.interval.low, compared.difference)
    mae = [f.mean("mae") for f in (ours, theirs)]
    torch.testing.assert_close(compared.skill, 1 - mae[0] / mae[1])
    low, high = compared.skill_interval
    assert ((low < compared.skill) & (compared.skill < high)).all()


def test_a_difference_by_chance_is_not_certain():
    found = [
        compare(*evaluation_of({"a": errors(2 * n), "b": errors(2 * n + 1)}).forecasts, "mse")
        for n in range(40)
    ]
    certain = torch.stack([compared.certain for compared in found]).double().mean()
    assert certain < 0.12


def test_skill_is_one_for_a_perfect_forecast_whatever_the_metric():
    """CSI is perfect at 1, errors are at 0."""
    error = errors().abs() + 0.1
    evaluation = evaluation_of({"perfect": 0 * error, "poor": error}, {"t": (0.0,)})
    perfect, poor = evaluation.forecasts
    for metric in ("rmse", "csi"):
        assert (compare(perfect, poor, metric).skill.nan_to_num(1.0) == 1).all()
    high, low = evaluation_of({"high": 0 * error + 2, "low": 0 * error - 4}).forecasts
    assert (compare(high, low, "bias").skill == 0.5).all()  # either sign is as bad
    with pytest.raises(ValueError, match="the values of power are not to be subtracted"):
        compare(perfect, poor, "power")


def test_few_blocks_have_no_interval_and_the_table_says_so(capsys):
    evaluation = evaluation_of({"ours": errors(blocks=4), "base": errors(1, blocks=4)})
    assert evaluation.models[0].interval("rmse") is None
    compared = evaluation.compare(*evaluation.forecasts)
    assert compared.interval is None
    assert not compared.certain.any()
    print_table(evaluation)
    printed = " ".join(capsys.readouterr().out.split())
    assert "no intervals, which need 5 blocks of windows and not 4" in printed


def test_a_report_of_forecasts_without_runs(tmp_path, capsys):
    """As those of a file are: nothing of the evaluation or the report needs a run."""
    one = errors()
    evaluation = evaluation_of({"ours": one, "same": 1.001 * one, "base": 1.3 * one})
    print_table(evaluation)
    printed = capsys.readouterr().out
    assert "+23 %" in printed
    assert "in brackets where the interval of the difference" in " ".join(printed.split())
    write_report(evaluation, tmp_path / "out")
    rows = (tmp_path / "out/differences.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 4 * (3 + 1)  # pairs, metrics, leads and their average


def test_intervals_of_several_seeds_resample_all_of_them_alike(tmp_path):
    np.save(tmp_path / "frames.npy", walk(12, 16, 1, 5, 6))
    runs = [untrained_run(tmp_path / f"s{s}", tmp_path / "frames.npy", seed=s) for s in range(2)]
    together = evaluate(runs).models[0]
    alone = [evaluate([run]).models[0] for run in runs]
    low, high = together.interval("rmse")
    mean = together.mean("rmse")
    assert ((low < mean) & (mean < high)).all()
    widths = [(f.interval("rmse").high - f.interval("rmse").low) for f in alone]
    assert ((high - low) < torch.maximum(*widths) + 1e-9).all()


def test_sums_do_not_grow_with_the_number_of_windows(tmp_path):
    np.save(tmp_path / "frames.npy", walk(2, 900, 1, 3, 4))
    run = untrained_run(tmp_path / "run", tmp_path / "frames.npy")
    few = evaluate([run], steps=1, context=1, stride=4)
    many = evaluate([run], steps=1, context=1, stride=1)
    assert (few.windows, many.windows) == (225, 899)
    sizes = [sum(each.numel() for each in e.models[0].scores[0].sums.values()) for e in (few, many)]
    assert max(e.models[0].blocks for e in (few, many)) <= MOST
    assert max(sizes) < 100 * 12
