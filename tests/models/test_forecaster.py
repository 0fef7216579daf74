"""The network: encoder, recurrences, decoder, and its closed loop."""

import itertools

import pytest
import torch

from conftest import close
from framecast.frames.batch import NO_CONDITIONS
from framecast.layers import layer_names
from framecast.layers.recurrence import per_frame
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.spec import Ports
from framecast.models.unroll import Carry, closed_loop
from small import forecast


def make(layer="min_conv_gru", channels=2, grid=None, **options):
    torch.manual_seed(1)
    config = ForecasterConfig(**{"layer": layer, "depth": 2, "hidden": 6} | options)
    return Forecaster(config, channels, grid).double()


def context(time=5, channels=2):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, time, channels, 6, 7, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("layer", layer_names())
def test_forecast_is_the_closed_loop_of_steps(layer):
    model, past = make(layer), context()
    frames = torch.stack([frame for frame, _ in forecast(model, past, 4)], 1)

    state = model.recurrences.initial_state(3, 6, 7, dtype=torch.float64)
    for frame in past.unbind(1):
        prediction, state = model.step(frame, state)
    by_hand = [prediction]
    for _ in range(3):
        prediction, state = model.step(prediction, state)
        by_hand.append(prediction)
    close(frames, torch.stack(by_hand, 1), 1e-12)


@pytest.mark.parametrize("layer", layer_names())
def test_a_stream_goes_on_from_what_was_yielded(layer):
    model, past = make(layer), context()
    whole = [frame for frame, _ in forecast(model, past, 6)]
    *_, (frame, state) = forecast(model, past, 3)
    rest = [frame for frame, _ in forecast(model, frame.unsqueeze(1), 3, state)]
    close(torch.stack(rest), torch.stack(whole[3:]), 1e-12)


def test_an_observation_may_take_the_place_of_a_prediction():
    model, frames = make(), context(time=8)
    *_, (_, state) = forecast(model, frames[:, :5], 1)
    (frame, _), *_ = forecast(model, frames[:, 5:], 1, state)
    (direct, _), *_ = forecast(model, frames, 1)
    close(frame, direct, 1e-12)


def test_a_forecast_without_end_is_a_generator():
    model = make()
    predictions, state = model(context())
    carry = Carry(state, predictions[:, -1])
    frames = itertools.islice(closed_loop(model, carry, itertools.repeat(NO_CONDITIONS)), 50)
    assert sum(1 for _ in frames) == 50


def test_diagnostic_channels_are_predicted_and_not_read():
    model = make(channels=Ports(prognostic=3, diagnostic=2))
    predictions, _ = model(context(channels=3))
    assert predictions.shape == (3, 5, 5, 6, 7)
    frame, _ = forecast(model, context(channels=3), 4)[-1]
    assert frame.shape == (3, 5, 6, 7)
    batch = torch.cat([context(channels=3), torch.full((3, 5, 2, 6, 7), torch.nan)], 2)
    assert torch.equal(model.read(batch), context(channels=3))


@pytest.mark.parametrize(
    "option",
    [
        {"norm": "channel"},
        {"norm": "none"},
        {"norm": "grid"},
        {"encoder_activation": "tanh"},
        {"padding": "circular"},
        {"kernel": 5},
        {"output": "sigmoid"},
        {"output": "tanh"},
        {"predicts": "change"},
        {"stack": "skip", "hidden": 6, "depth": 4},
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


SKIP = {"layer": "conv_lstm", "stack": "skip", "encoder": "none", "norm": "none"}


def test_blocks_are_joined_by_the_one_two_before():
    model, frames = make(**SKIP, hidden=[3, 4, 5, 6], depth=4), context()
    a, b, c, d = model.recurrences.layers
    first = a(frames)[0]
    second = b(first)[0]
    third = torch.cat([c(second)[0], first], dim=2)
    last = torch.cat([d(third)[0], second], dim=2)
    expected = model.decoder(last.flatten(0, 1)).unflatten(0, (3, 5))
    close(model(frames)[0], expected, 1e-12)


def test_blocks_may_differ_in_layers_and_be_joined_by_the_one_before():
    stack = {"depth": [1, 2, 1], "hidden": [3, 4, 5], "stack_options": {"skip_stride": 1}}
    model, frames = make(**SKIP | stack), context()
    a, b, c, d = model.recurrences.layers
    first = a(frames)[0]
    second = c(b(first)[0])[0]
    third = d(torch.cat([second, first], dim=2))[0]
    last = torch.cat([third, second], dim=2)
    expected = model.decoder(last.flatten(0, 1)).unflatten(0, (3, 5))
    close(model(frames)[0], expected, 1e-12)


@pytest.mark.parametrize("position", ["post", "pre"])
def test_a_plain_stack_has_norms_and_no_residuals(position):
    stack = {"stack": "plain", "hidden": [3, 5], "norm_position": position, "norm": "channel"}
    model, frames = make(**stack), context()
    x = model.encoder(frames.flatten(0, 1)).unflatten(0, (3, 5))
    for layer, norm in zip(model.recurrences.layers, model.recurrences.norms, strict=True):
        pre = position == "pre"
        x = layer(per_frame(norm, x))[0] if pre else per_frame(norm, layer(x)[0])
    close(model(frames)[0], per_frame(model.decoder, x), 1e-12)


def test_long_skips_run_beside_residual_connections():
    model = make(depth=[1, 1, 2], stack_options={"skip_stride": 2})
    stack, frames = model.recurrences, context()
    plain = make(depth=4).recurrences
    plain.load_state_dict({k: v for k, v in stack.state_dict().items() if "joins" not in k})
    x = per_frame(model.encoder, frames)
    first = per_frame(stack.norms[0], x, stack.layers[0](x)[0])
    close(stack(x)[0], plain(x)[0] + first, 1e-12)  # the mix starts as a sum
    with torch.no_grad():
        stack.joins[0].weight[:, :6] = 0
    close(stack(x)[0], first, 1e-12)


def test_one_number_of_layers_stands_for_four_blocks_where_there_are_skips():
    model = make(depth=8, stack_options={"skip_stride": 1})
    assert model.recurrences.blocks == [2, 2, 2, 2]
    assert make(depth=8).recurrences.blocks == [8]


@pytest.mark.parametrize(
    ("layer", "options", "millions"),
    [
        ({"layer": "conv_lstm"}, {}, 3.97),
        ({"layer": "conv_tt_lstm"}, {"order": 3, "history": 3}, 2.69),
        ({"layer": "conv_tt_lstm"}, {"order": 3, "history": 5}, 3.26),
    ],
)
def test_the_paper_s_networks_have_their_numbers_of_parameters(layer, options, millions):
    """Conv-TT-LSTM (2020), table 4; its text has M = 5 steps, its table the number of M = 3."""
    network = SKIP | layer | {"depth": 12, "hidden": [32, 48, 48, 32], "kernel": 5}
    model = Forecaster(ForecasterConfig(**network, options=options), 1)
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == pytest.approx(millions * 1e6, abs=0.005e6)


@pytest.mark.parametrize(("output", "low"), [("sigmoid", 0), ("tanh", -1)])
def test_an_output_keeps_within_its_range(output, low):
    model = make(output=output)
    with torch.no_grad():
        model.decoder.weight *= 1e3
    predictions = model(context())[0].detach()
    assert predictions.min() == pytest.approx(low, abs=1e-6)
    assert predictions.max() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("stack", [{}, SKIP | {"hidden": [6, 4, 6], "depth": 3}])
def test_steps_equal_a_pass(stack):
    model, past = make(**stack), context()
    predictions, _ = model(past)
    state = model.recurrences.initial_state(3, 6, 7, dtype=torch.float64)
    for frame, expected in zip(past.unbind(1), predictions.unbind(1), strict=True):
        prediction, state = model.step(frame, state)
        close(prediction, expected, 1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "conv_lsm"}, "did you mean conv_lstm"),
        ({"options": {"star": 1}}, "options of min_conv_gru: no option 'star': it takes bias"),
        ({"layer": "conv_lstm", "options": {"star": 1}}, r"'star': it takes"),
        (
            {"layer": "conv_lstm", "options": {"initialisation": 1}},
            "initialisation: expected one of",
        ),
        ({"layer": "conv_lstm", "options": {"kernel": 5}}, "no option 'kernel'"),
        ({"hidden": [4, 4, 4]}, "one number; a list, .* needs stack skip"),
        ({"encoder": "none"}, "encoder none needs stack skip or plain"),
        ({"stack": "skip", "hidden": [4, 4]}, "needs at least 3, but there are 2"),
        ({"stack": "skip", "hidden": [4, 0, 4], "depth": 3}, "must be at least 1"),
        ({"stack": "skip", "depth": 6}, "depth 6 does not make 4 blocks of equal numbers"),
        ({"stack": "skip", "encoder": "none", "encoder_activation": "tanh"}, "encoder is none"),
        ({"stack": "skip", "depth": [1, 2, 1], "hidden": [4, 4]}, "another number of blocks"),
        ({"stack": "skip", "stack_options": {"skip_stride": 4}}, "at least 5, but there are 4"),
        ({"stack": "skip", "stack_options": {"skip_stride": 0}}, "skip_stride 0 must be at least"),
        ({"stack": "skip", "stack_options": {"stride": 1}}, r"did you mean skip_stride\?"),
        ({"stack": "plain", "stack_options": {"skip_stride": 1}}, "plain: no option 'skip_stride'"),
        ({"stack": "skip", "depth": [1, 0, 1]}, r"depth \[1, 0, 1\] must be at least 1"),
        ({"depth": []}, r"depth \[\] must be at least 1"),
        ({"depth": [2, 2]}, r"depth \[2, 2\]: blocks of equal channels without skips"),
        ({"stack": "plain", "depth": [2, 2]}, "without skips are one block"),
        ({"stack": "plain", "hidden": [4, 6], "depth": 3}, "does not make 2 blocks of equal"),
        ({"stack_options": {"skip_stride": 4}}, "at least 5, but there are 4"),
        (
            {"stack_options": {"last_residual": False}, "norm_position": "pre"},
            "false leaves out a norm after the layer",
        ),
        ({"kernel": 4}, "kernel 4 must be odd"),
        ({"depth": 0}, "depth 0 must be at least 1"),
        ({"hidden": 0}, "hidden 0 must be at least 1"),
    ],
)
def test_impossible_configurations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ForecasterConfig(**options)
