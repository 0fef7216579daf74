"""Distribution heads beside closed forms, alone and in a network."""

import math

import pytest
import scoringrules
import torch

from conftest import close
from framecast.frames.batch import Batch, Conditions, Limits
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.heads import Bins, Normal, Quantiles, make_head
from framecast.models.spec import Ports
from framecast.models.unroll import Unrolling, draw_given, unroll
from small import small_window

HEADS = [("normal", {}), ("quantiles", {"count": 5}), ("bins", {"count": 12, "low": -3})]
every_head = pytest.mark.parametrize(("kind", "options"), HEADS)


def said_by(head, *shape, last=0.0):
    generator = torch.Generator().manual_seed(1)
    raw = torch.randn(*shape, head.size, 4, 5, dtype=torch.float64, generator=generator)
    return head.describe(raw, last)


def network(kind="normal", options=None, ports=2, **config):
    torch.manual_seed(0)
    keys = {"depth": 2, "hidden": 4, "head": kind, "head_options": options or {}}
    return Forecaster(ForecasterConfig(**keys | config), ports).double()


@every_head
def test_what_is_drawn_has_the_distribution_that_is_said(kind, options):
    """The share of draws at or below each value is the probability that its score implies."""
    head = make_head(kind, options)
    said = said_by(head)
    at = torch.linspace(0.5 / 4000, 1 - 0.5 / 4000, 4000, dtype=torch.float64)
    noise = torch.special.ndtri(at)[:, None, None].expand(4000, 4, 5)
    draws = head.sample(said.expand(4000, *said.shape), noise)
    assert (draws.diff(dim=0) >= -1e-12).all()  # a higher number is a higher value
    if kind == "normal":
        close(draws.mean(0), said[0], 1e-3)
        close(draws.std(0), said[1], 1e-2)
    elif kind == "quantiles":
        for place in range(head.count):
            below = (draws <= said[place]).double().mean(0)
            close(below, torch.full_like(below, (place + 0.5) / head.count), 2e-3)
    else:
        edges = head.low + head.width * torch.arange(head.count + 1)
        for place in range(head.count):
            inside = ((draws > edges[place]) & (draws <= edges[place + 1])).double().mean(0)
            close(inside, said[place].exp(), 1e-2)
    mean_or_median = draws.quantile(0.5, dim=0) if kind == "quantiles" else draws.mean(0)
    close(head.point(said), mean_or_median, 5e-3)


def test_the_normal_score_is_the_negative_log_likelihood():
    said, truth = said_by(Normal()), torch.randn(4, 5, dtype=torch.float64)
    expected = -torch.distributions.Normal(said[0], said[1]).log_prob(truth)
    close(Normal().score(said, truth), expected, 1e-12)


def test_the_quantile_score_is_the_pinball_loss_of_another_library():
    head, truth = Quantiles(7), torch.randn(4, 5, dtype=torch.float64)
    said = said_by(head)
    assert (said.diff(dim=0) > 0).all()
    levels = (torch.arange(7) + 0.5) / 7
    theirs = [
        scoringrules.quantile_score(truth.numpy(), said[k].numpy(), float(levels[k]))
        for k in range(7)
    ]
    close(head.score(said, truth), 2 * torch.tensor(sum(theirs) / 7), 1e-6)


def test_many_quantiles_of_a_normal_distribution_have_its_crps():
    head = Quantiles(801)
    levels = (torch.arange(801, dtype=torch.float64) + 0.5) / 801
    said = torch.special.ndtri(levels)[:, None, None].expand(801, 4, 5)
    truth = torch.randn(4, 5, dtype=torch.float64)
    theirs = torch.from_numpy(scoringrules.crps_normal(truth.numpy(), 0, 1))
    close(head.score(said, truth), theirs, 3e-3)


def test_the_score_of_bins_is_the_cross_entropy_and_the_outer_ones_hold_the_rest():
    head = Bins(6, -3.0, 3.0)
    said = said_by(head)
    truth = torch.tensor([-9.0, -2.5, 0.5, 2.9, 7.0], dtype=torch.float64).expand(4, 5)
    places = torch.tensor([0, 0, 3, 5, 5]).expand(4, 5)
    expected = torch.nn.functional.cross_entropy(said[None], places[None], reduction="none")[0]
    close(head.score(said, truth), expected, 1e-12)


@every_head
def test_steps_equal_a_pass(kind, options):
    model, frames = network(kind, options), small_window(5)
    conditions = Conditions(noise=torch.randn(3, 5, 2, 5, 6, dtype=torch.float64))
    whole, _ = model(frames, None, conditions)
    assert whole.shape[2] == 2 + 2 * model.head.size
    _, state = model(frames[:, :2], None, conditions.between(0, 2))
    for t in range(2, 5):
        prediction, state = model.step(frames[:, t], state, conditions.at(t))
        close(prediction, whole[:, t], 1e-11)


@every_head
def test_without_noise_the_forecast_is_the_mean_or_the_median(kind, options):
    model, frames = network(kind, options), small_window(3)
    prediction = model(frames)[0]
    said = prediction[:, :, 2:].unflatten(2, (2, model.head.size))
    close(model.frame_of(prediction), model.head.point(said), 1e-12)


@every_head
def test_the_closed_loop_reads_what_was_drawn(kind, options):
    model, frames = network(kind, options), small_window(6)
    conditions = Conditions(noise=torch.randn(3, 6, 2, 5, 6, dtype=torch.float64))
    predictions, _ = unroll(model, frames, draw_given(3, 6, 3, 0.0), conditions)
    first, state = model(frames[:, :3], None, conditions.between(0, 3))
    frame = first[:, -1, :2]
    for t in range(3, 6):
        prediction, state = model.step(frame, state, conditions.at(t))
        frame = prediction[:, :2]
        close(predictions[:, t], prediction, 1e-11)
    assert torch.equal(model.feed_back(prediction, Limits()), frame)


@every_head
def test_the_loss_is_the_score_of_what_is_said(kind, options):
    model, batch = network(kind, options), Batch(small_window(6))
    torch.manual_seed(3)
    (loss,) = model.losses(batch, Unrolling(context=5, loss="head"))
    said = model(batch.frames[:, :-1])[0][:, :, 2:].unflatten(2, (2, model.head.size))
    expected = model.head.score(said, batch.frames[:, 1:])
    close(loss.mean(), expected.mean(), 1e-12)
    loss.mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("kind", ["normal", "quantiles"])
def test_changes_move_the_whole_distribution(kind):
    ports = Ports(prognostic=1, diagnostic=1)
    change, frame = (network(kind, ports=ports, predicts=p) for p in ("change", "frame"))
    frames = small_window(3)[:, :, :1]
    moved, still = (m(frames)[0].unflatten(2, (2, -1)) for m in (change, frame))
    size = change.head.size
    said, before = (m(frames)[0][:, :, 2:].unflatten(2, (2, size)) for m in (change, frame))
    shift = said - before
    part = slice(0, 1) if kind == "normal" else slice(None)
    close(shift[:, :, 0, part], frames.expand(-1, -1, size, -1, -1)[:, :, part], 1e-10)
    close(shift[:, :, 1], torch.zeros_like(shift[:, :, 1]), 1e-10)
    assert moved.shape == still.shape


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"head": "normal", "noise_channels": 2}, "both make members: choose one"),
        ({"head": "normal", "output": "tanh"}, "needs output linear"),
        ({"head": "bins", "predicts": "change"}, "needs predicts frame"),
        ({"head": "quantiles", "head_options": {"count": 4}}, "count 4 must be odd"),
        ({"head": "bins", "head_options": {"low": 5}}, "must be below high"),
        ({"head": "bins", "head_options": {"count": 10**9}}, "at most 1000"),
        ({"head": "normal", "head_options": {"count": 4}}, "head_options of normal"),
        ({"head_options": {"count": 4}}, "head point takes no options"),
    ],
)
def test_impossible_heads_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        ForecasterConfig(**config)


def test_a_normal_head_learns_mean_and_deviation_of_noise():
    """Frames that are noise of deviation 0.5 about 1: what is to be said of them is known."""
    model = network(ports=1)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(300):
        batch = Batch(1 + 0.5 * torch.randn(8, 3, 1, 4, 4, dtype=torch.float64))
        (loss,) = model.losses(batch, Unrolling(context=2, loss="head"))
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
    said = model(1 + 0.5 * torch.randn(64, 2, 1, 4, 4, dtype=torch.float64))[0][:, :, 1:]
    mean, deviation = said.mean((0, 1, 3, 4)).tolist()
    assert mean == pytest.approx(1, abs=0.12)
    assert deviation == pytest.approx(0.5, abs=0.08)
    assert loss.mean().item() == pytest.approx(
        math.log(0.5) + 0.5 * math.log(2 * math.pi * math.e), abs=0.15
    )
