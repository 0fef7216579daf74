"""Unrolling: teacher forcing, closed loop, and what lies between; the losses."""

import math

import pytest
import torch

from conftest import close
from framecast.layers import layer_names
from framecast.models.unroll import draw_given, unroll
from small import forecast, small_model, small_window


def stepped(model, inputs, given):
    """The definition: one frame at a time, each sequence alone."""
    sequences = []
    for frames, which in zip(inputs, given.tolist(), strict=True):
        frame, state = None, model.forward(frames[None, :1])[1]
        predictions = [model(frames[None, :1])[0][:, 0]]
        for t in range(1, len(frames)):
            frame = frames[None, t] if which[t] else predictions[-1]
            frame, state = model.step(frame, state)
            predictions.append(frame)
        sequences.append(torch.cat(predictions))
    return torch.stack(sequences)


@pytest.mark.parametrize("layer", layer_names())
@pytest.mark.parametrize("teacher_forcing", [0.0, 0.5, 1.0])
def test_each_sequence_reads_what_it_is_given(layer, teacher_forcing):
    model, inputs = small_model(layer=layer), small_window(9)
    given = draw_given(3, 9, 3, teacher_forcing)
    close(unroll(model, inputs, given)[0], stepped(model, inputs, given), 1e-12)


def test_without_teacher_forcing_the_window_is_a_forecast():
    model, inputs = small_model(), small_window(7)
    predictions, _ = unroll(model, inputs, draw_given(3, 7, 5, 0.0))
    close(predictions[:, :5], model(inputs[:, :5])[0], 1e-12)
    ahead = torch.stack([f for f, _ in forecast(model, inputs[:, :5], 3)], 1)
    close(predictions[:, 4:], ahead, 1e-12)


def test_full_teacher_forcing_is_one_pass(monkeypatch):
    model, inputs = small_model(), small_window()
    monkeypatch.setattr(model, "step", None)
    assert torch.equal(unroll(model, inputs, draw_given(3, 8, 2, 1.0))[0], model(inputs)[0])


def test_frames_that_are_not_given_are_not_read():
    model, inputs = small_model(), small_window()
    given = draw_given(3, 8, 2, 0.5)
    hidden = inputs.masked_fill(~given[:, :, None, None, None], math.nan)
    read, blind = (unroll(model, frames, given)[0] for frames in (inputs, hidden))
    assert torch.equal(read, blind)
    blind.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("teacher_forcing", [0.1, 0.5, 0.9])
def test_each_sequence_and_frame_is_given_by_a_chance_of_its_own(teacher_forcing):
    given = draw_given(2000, 12, 4, teacher_forcing)
    assert given[:, :4].all()
    chances = given[:, 4:].double()
    deviation = math.sqrt(teacher_forcing * (1 - teacher_forcing))
    assert (chances.mean(0) - teacher_forcing).abs().max() < 5 * deviation / math.sqrt(2000)
    assert torch.corrcoef(chances.T).fill_diagonal_(0).abs().max() < 5 / math.sqrt(2000)
