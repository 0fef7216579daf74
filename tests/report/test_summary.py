"""What is said of an evaluation, on evaluations that are made up to be good, bad or unsure."""

import torch
from made_up import CONTEXT, made_up, off_by

from framecast.frames.channels import Channel
from framecast.metrics import MetricChoice
from framecast.report.page.summary import describe_states, summarise

TIMES = ["6 h", "12 h", "18 h", "24 h"]
STILL = off_by(1.0, 1.0, 1.0, 1.0, seed=9)
MIXED = off_by(0.3, 0.5, 1.0, 1.5, seed=9)
"""Better at first, then exactly as good, then worse."""


def sentences(evaluation):
    (finding,) = summarise(evaluation).findings
    return finding.sentences


def test_states_are_told_by_where_they_hold():
    def told(*states):
        return describe_states(states, TIMES, "persistence")

    good, bad, open_, none = "better", "worse", "unclear", "unknown"
    assert told(*[good] * 4) == "better than persistence at all lead times, up to 24 h"
    assert told(*[bad] * 4) == "worse than persistence at all lead times, up to 24 h"
    assert told(good, good, open_, open_) == "better than persistence up to 12 h"
    assert told(good, good, open_, bad) == "better than persistence up to 12 h, but worse at 24 h"
    assert told(*[open_] * 4) == "no better than persistence at any lead time"
    assert told(open_, open_, bad, bad) == (
        "no better than persistence at any lead time, and worse from 18 h on"
    )
    assert told(open_, good, good, open_) == "better than persistence from 12 h to 18 h"
    assert told(*[none] * 4) == "cannot be compared with persistence, since an error is not known"
    assert describe_states([good], ["6 h"], "persistence") == "better than persistence at 6 h"


def test_a_state_that_comes_and_goes_is_counted():
    times = [f"{n} h" for n in range(8)]
    assert describe_states(["better", "unclear"] * 4, times, "it") == (
        "better than it at 4 of 8 lead times"
    )


def test_a_good_model_is_said_to_be_better_as_far_as_it_is():
    evaluation = made_up({"model": MIXED, "persistence": STILL})
    assert "Better than persistence up to 12 h, but worse at 24 h." in sentences(evaluation)
    (headline,) = summarise(evaluation).headlines
    assert headline.startswith("model is better than persistence up to 12 h, but worse at 24 h")


def test_a_bad_model_is_said_to_be_worse():
    evaluation = made_up({"model": off_by(2.0, 2.0, 2.0, 2.0), "persistence": STILL})
    assert "Worse than persistence at all lead times, up to 24 h." in sentences(evaluation)


def test_what_may_be_chance_is_not_called_better():
    def uneven(truth):
        size = torch.tensor([1.4, 0.5]).repeat_interleave(len(truth) // 2)
        return truth + (STILL(truth) - truth) * size[:, None, None, None, None]

    evaluation = made_up({"model": uneven, "persistence": STILL})
    assert "No better than persistence at any lead time." in sentences(evaluation)


def test_too_few_windows_are_said_to_prove_nothing():
    evaluation = made_up({"model": off_by(0.1, 0.1, 0.1, 0.1), "persistence": STILL}, windows=1)
    summary = summarise(evaluation)
    assert "too few windows to be sure" in summary.headlines[0]
    assert summary.findings[0].sentences[0].startswith("In these few windows better than")
    assert "1 window only" in summary.cautions[0]
    few = summarise(made_up({"model": STILL, "persistence": STILL}, windows=12)).cautions[0]
    assert "rough" in few


def test_an_unknown_error_is_no_success():
    evaluation = made_up({"model": lambda truth: truth[None] * torch.nan, "persistence": STILL})
    assert sentences(evaluation)[0] == (
        "Cannot be compared with persistence, since an error is not known."
    )


def test_a_bias_is_named_with_its_size():
    evaluation = made_up({"model": lambda truth: truth[None] - 0.5, "persistence": STILL})
    assert "Too low by 0.5 K on average." in sentences(evaluation)


def test_blur_is_told_from_where_on_and_below_which_size():
    def blurred(truth):
        forecast = truth.clone()
        smooth = truth[:, CONTEXT + 1 :].mean((-1, -2), keepdim=True)
        forecast[:, CONTEXT + 1 :] = smooth + 0.01 * truth[:, CONTEXT + 1 :]
        return forecast[None]

    metrics = MetricChoice(("rmse", "effective_resolution"))
    evaluation = made_up({"model": blurred, "persistence": STILL}, metrics=metrics)
    assert "Blurred at all scales from 18 h on." in sentences(evaluation)
    sharp = made_up({"model": lambda t: t[None], "persistence": STILL}, metrics=metrics)
    assert any(text.startswith("As detailed as the truth") for text in sentences(sharp))


def test_an_ensemble_that_is_too_sure_is_said_to_be():
    def narrow(truth):
        random = torch.Generator().manual_seed(3)
        shared = torch.randn(truth.shape, generator=random)
        return truth + shared + 0.2 * torch.randn((5, *truth.shape), generator=random)

    texts = sentences(made_up({"model": narrow, "persistence": STILL}, members=5))
    assert any(text.startswith("Too sure: the spread of its members is 0.2") for text in texts)


def test_several_variables_are_counted_in_the_headline():
    channels = (Channel("air"), Channel("rain"))
    evaluation = made_up({"model": MIXED, "persistence": STILL},
                         channels=channels)  # fmt: skip
    summary = summarise(evaluation)
    said = "Of 8 scores of model (RMSE of 2 variables at 4 lead times), 4 better than persistence"
    assert summary.headlines[0].startswith(said)
    assert [finding.channel for finding in summary.findings] == ["air", "rain"]


def test_without_baselines_nothing_is_compared():
    evaluation = made_up({"model": STILL}, baselines=0)
    assert "stands alone" in summarise(evaluation).headlines[0]
