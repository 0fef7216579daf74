"""The network: encoder, recurrences, decoder, and its closed loop."""

import itertools

import pytest
import torch

from conftest import close
from framecast.models import Forecaster, ForecasterConfig, layer_names


def make(layer="min_conv_gru", channels=2, out_channels=None, grid=None, **options):
    torch.manual_seed(1)
    config = ForecasterConfig(layer=layer, depth=2, hidden=6, **options)
    return Forecaster(config, channels, out_channels, grid).double()


def context(time=5, channels=2):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, time, channels, 6, 7, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("layer", layer_names())
def test_forecast_is_the_closed_loop_of_steps(layer):
    model, past = make(layer), context()
    forecast = torch.stack([frame for frame, _ in model.forecast(past, 4)], 1)

    state = model.recurrences.initial_state(3, 6, 7, dtype=torch.float64)
    for frame in past.unbind(1):
        prediction, state = model.step(frame, state)
    by_hand = [prediction]
    for _ in range(3):
        prediction, state = model.step(prediction, state)
        by_hand.append(prediction)
    close(forecast, torch.stack(by_hand, 1), 1e-12)


@pytest.mark.parametrize("layer", layer_names())
def test_a_stream_goes_on_from_what_was_yielded(layer):
    model, past = make(layer), context()
    whole = [frame for frame, _ in model.forecast(past, 6)]
    *_, (frame, state) = model.forecast(past, 3)
    rest = [frame for frame, _ in model.forecast(frame.unsqueeze(1), 3, state)]
    close(torch.stack(rest), torch.stack(whole[3:]), 1e-12)


def test_an_observation_may_take_the_place_of_a_prediction():
    model, frames = make(), context(time=8)
    *_, (_, state) = model.forecast(frames[:, :5], 1)
    (frame, _), *_ = model.forecast(frames[:, 5:], 1, state)
    (direct, _), *_ = model.forecast(frames, 1)
    close(frame, direct, 1e-12)


def test_a_forecast_without_end_is_a_generator():
    frames = itertools.islice(make().forecast(context()), 50)
    assert sum(1 for _ in frames) == 50
    assert list(make().forecast(context(), 0)) == []


def test_channels_out_may_differ_from_channels_in_but_not_in_a_closed_loop():
    model = make(channels=3, out_channels=1)
    predictions, _ = model(context(channels=3))
    assert predictions.shape == (3, 5, 1, 6, 7)
    with pytest.raises(ValueError, match="reads 3 channels and predicts 1"):
        model.forecast(context(channels=3), 2)


@pytest.mark.parametrize(
    "option",
    [
        {"norm": "channel"},
        {"norm": "none"},
        {"norm": "grid"},
        {"encoder_activation": "tanh"},
        {"padding": "circular"},
        {"kernel": 5},
    ],
)
def test_each_option_changes_the_output(option):
    base, changed = make(), make(grid=(6, 7), **option)
    assert not torch.allclose(base(context())[0], changed(context())[0])


def test_each_layer_has_residual_and_norm_and_the_decoder_comes_after_the_last():
    model, frames = make(), context()
    x = model.encoder(frames.flatten(0, 1)).unflatten(0, (3, 5))
    for layer, norm in zip(model.recurrences.layers, model.recurrences.norms, strict=True):
        x = norm((x + layer(x)[0]).flatten(0, 1)).unflatten(0, (3, 5))
    expected = model.decoder(x.flatten(0, 1)).unflatten(0, (3, 5))
    close(model(frames)[0], expected, 1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "conv_lsm"}, "did you mean 'conv_lstm'"),
        ({"kernel": 4}, "kernel 4 must be odd"),
        ({"depth": 0}, "depth 0 must be at least 1"),
        ({"hidden": 0}, "hidden 0 must be at least 1"),
    ],
)
def test_impossible_configurations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ForecasterConfig(**options)
