"""Each option of layers, stacks and codecs changes the output, and survives being saved."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from conftest import close
from framecast.layers import layer_entry, layer_names
from framecast.models import Forecaster, ForecasterConfig

SMALL = {"depth": 2, "hidden": 6}
PYRAMID = {"encoder": "pyramid", "encoder_options": {"widths": [4, 6], "groups": 2}}

STRIDED = {"encoder": "strided", "encoder_options": {"widths": [5, 4]}}


def build(**options):
    torch.manual_seed(1)
    return Forecaster(ForecasterConfig(**SMALL | options), 2, grid=(8, 8)).double()


def frames(time=4):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, time, 2, 8, 8, dtype=torch.float64, generator=generator)


OPTIONS = [
    *(({"layer": name}, {"options": {"bias": False}}) for name in layer_names()),
    ({"layer": "conv_lstm"}, {"options": {"initialisation": "xavier_normal"}}),
    ({"layer": "conv_lstm"}, {"options": {"tensor_train": {"order": 3, "ranks": [2, 4]}}}),
    ({"layer": "conv_tt_lstm"}, {"options": {"history": 4}}),
    ({"layer": "causal_conv_3d"}, {"options": {"frames": 2}}),
    ({"layer": "causal_conv_3d"}, {"options": {"activation": "tanh"}}),
    *(
        ({"layer": name}, {"options": options})
        for name in ("conv_s5", "conv_ssm")
        for options in ({"activation": "silu"}, {"form": "linear"}, {"form": "half_glu"})
    ),
    *(
        ({"layer": "conv_s5"}, {"options": options})
        for options in (
            {"activation": "elu", "form": "standard"},
            {"squeeze_excitation": True, "squeeze_minimum": 4, "squeeze_reduction": 8},
            {"first_steps": [0.1, 0.5]},
        )
    ),
    *(
        (PYRAMID, {"encoder_options": PYRAMID["encoder_options"] | options})
        for options in (
            {"blocks": 2},
            {"blocks": [1, 2]},
            {"decoder_blocks": [2, 1]},
            {"out_width": 4},
            {"out_width": 6},
        )
    ),
    (PYRAMID, {"hidden": 4}),
    (STRIDED, {"encoder_options": {"widths": [5, 6]}}),
    (STRIDED, {"encoder_options": {"widths": [4]}}),
    (STRIDED, {"hidden": 4}),
    (STRIDED, {"stack": "plain"}),
    (STRIDED, {"padding": "circular"}),
    (STRIDED, {"patch": 2}),
    ({}, STRIDED),
    ({}, {"stack": "plain"}),
    ({}, {"depth": [1, 1], "stack_options": {"skip_stride": 1}}),
    ({}, {"stack_options": {"last_residual": False}}),
    ({"stack": "plain"}, {"hidden": [6, 5]}),
    ({"stack": "plain"}, {"norm_position": "pre"}),
    ({"stack": "plain"}, {"encoder": "none"}),
    ({"stack": "plain", "hidden": [6, 5]}, {"depth": [1, 2]}),
    ({"stack": "skip", "depth": 4}, {"stack_options": {"skip_stride": 1}}),
    ({"stack": "skip", "depth": 4}, {"depth": [1, 2, 1]}),
    ({"stack": "skip", "depth": 4}, {"norm_position": "pre"}),
]
"""What a network has, and what is changed of it."""


@pytest.mark.parametrize(("base", "option"), OPTIONS)
def test_each_option_changes_the_output(base, option):
    before, after = build(**base), build(**base | option)
    assert not torch.allclose(before(frames())[0], after(frames())[0])


@pytest.mark.parametrize(("base", "option"), OPTIONS)
def test_each_option_survives_being_saved(base, option):
    model = build(**base | option)
    saved = json.loads(json.dumps(dataclasses.asdict(model.config)))
    torch.manual_seed(5)
    rebuilt = Forecaster(ForecasterConfig(**saved), 2, grid=(8, 8)).double()
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(model(frames())[0], rebuilt(frames())[0])


@pytest.mark.parametrize(("base", "option"), OPTIONS)
def test_with_each_option_steps_equal_a_pass(base, option):
    model = build(**base | option)
    given = frames()
    expected = model(given)[0]
    state = None
    for t in range(4):
        prediction, state = model(given[:, t : t + 1], state)
        close(prediction[:, 0], expected[:, t], 1e-12)
    step, _ = model.step(given[:, 3], model(given[:, :3])[1])
    close(step, expected[:, 3], 1e-12)


@pytest.mark.parametrize("name", layer_names())
def test_without_bias_no_convolution_of_a_layer_has_one(name):
    layer = layer_entry(name).layer(3, 4, bias=False)
    convolutions = [m for m in layer.modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.bias is None for conv in convolutions)
    norms = {f"{n}.bias" for n, m in layer.named_modules() if "Norm" in type(m).__name__}
    assert {key for key in layer.state_dict() if "bias" in key} <= norms
