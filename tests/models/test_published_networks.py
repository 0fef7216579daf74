"""The published networks, weights and all: the same outputs and gradients.

Arrays in tests/data/min_conv_rnn come from the networks that their authors published; here
their weights are put in this project's order, and what comes out is compared.
"""

import numpy as np
import pytest
import torch

from conftest import DATA, close
from framecast.models import Forecaster, ForecasterConfig

LAYERS = {
    "convgru": "conv_gru",
    "convlstm": "conv_lstm",
    "minconvgru": "min_conv_gru",
    "minconvlstm": "min_conv_lstm",
    "minconvexplstm": "min_conv_exp_lstm",
}
VARIANTS = {
    "circular_layernorm": {"padding": "circular", "norm": "grid"},
    "zeros_groupnorm1": {"padding": "zeros", "norm": "frame"},
}
TEACHER_FORCED, WIDTH = 6, 6


def translate(published: dict[str, torch.Tensor], layer: str) -> dict[str, torch.Tensor]:
    """Rename and reorder published weights (or their gradients) into ours."""
    ours = {}
    for key, value in published.items():
        group, *rest = key.split(".")
        if group == "encoder":
            ours["encoder.0." + rest[-1]] = value
        elif group == "decoder":
            ours["decoder." + rest[-1]] = value
        elif group == "norms":
            ours[f"recurrences.norms.{rest[0]}.{rest[-1]}"] = value
        else:
            prefix = f"recurrences.layers.{rest[0]}."
            ours |= {prefix + k: v for k, v in convolution(layer, rest[1], rest[-1], value)}
    if layer == "conv_gru":
        ours = join_input_convolutions(ours)
    return ours


def convolution(layer, name, kind, value):
    """Weights over [x, h] become an input and a state convolution; gates in our order."""
    if layer.startswith("min_conv"):
        return [(f"conv.{kind}", value)]
    if layer == "conv_lstm":
        value = torch.cat([value[WIDTH:], value[:WIDTH]])  # [g, i, f, o] → [i, f, o, g]
        state = "state_conv"
    else:
        state = {"conv_a": "gate_conv", "conv_b": "candidate_conv"}[name]
    joint = "input_conv" if layer == "conv_lstm" else f"{name}.input_conv"
    if kind == "bias":
        return [(f"{joint}.bias", value)]
    x, h = value.split(WIDTH, dim=1)
    return [(f"{joint}.weight", x), (f"{state}.weight", h)]


def join_input_convolutions(ours):
    for i in range(2):
        for kind in ("weight", "bias"):
            parts = [ours.pop(f"recurrences.layers.{i}.conv_{n}.input_conv.{kind}") for n in "ab"]
            ours[f"recurrences.layers.{i}.input_conv.{kind}"] = torch.cat(parts)
    return ours


def part(of, prefix):
    return {k.removeprefix(prefix): v for k, v in of.items() if k.startswith(prefix)}


def unroll(model, frames):
    """Six teacher-forced steps, then each prediction is the next input."""
    predictions, state = model(frames[:, :TEACHER_FORCED])
    outputs = list(predictions.unbind(1))
    while len(outputs) < frames.shape[1]:
        prediction, state = model(outputs[-1].unsqueeze(1), state)
        outputs.append(prediction.squeeze(1))
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("published", LAYERS)
def test_outputs_and_gradients_are_the_published_ones(published, variant):
    with np.load(DATA / "min_conv_rnn" / f"{published}_{variant}.npz") as file:
        arrays = {key: torch.from_numpy(value) for key, value in file.items()}
    layer = LAYERS[published]
    stack = {"last_residual": layer != "conv_gru"}
    settings = {"depth": 2, "hidden": WIDTH, "stack_options": stack} | VARIANTS[variant]
    model = Forecaster(ForecasterConfig(layer, **settings), 1, grid=(12, 10))
    unused = "norms.1." if layer == "conv_gru" else ()  # their last norm is never reached
    weights = {k: v for k, v in part(arrays, "param/").items() if not k.startswith(unused)}
    model.load_state_dict(translate(weights, layer))

    frames = arrays["input"].clone().requires_grad_()
    output = unroll(model, frames)
    (output * arrays["loss_weights"]).sum().backward()

    close(output, arrays["f64/output"], 1e-4)
    close(frames.grad, arrays["f64/grad_input"], 1e-4)
    gradients = translate(part(arrays, "grad/"), layer)
    for key, parameter in model.named_parameters():
        close(parameter.grad, gradients[key], 1e-4)
