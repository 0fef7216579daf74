"""ConvS5: against a simulator of linear systems, its own linearity, and published numbers."""

from functools import partial

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F
from torch import nn

from conftest import DATA, close
from framecast.layers import ConvS5
from framecast.layers.readout import ReadoutSettings, make_readout
from framecast.layers.residual import Squeeze, SqueezeExcitation
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.codecs.pyramid import Pyramid, PyramidDecoder, PyramidEncoder

gelu = partial(F.gelu, approximate="tanh")


class Linear(nn.Module):
    """A readout that hands on what the state space model gives."""

    def forward(self, y, u):
        return y


def linear(in_channels=3, out_channels=5, **options):
    torch.manual_seed(4)
    layer = ConvS5(in_channels, out_channels, **options).double()
    layer.readout = Linear()
    return layer


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


def test_with_kernels_of_one_cell_it_is_a_state_space_model_at_each_pixel():
    layer, frames = linear(kernel=1, state_size=8, blocks=2), random(1, 40, 3, 2, 3)
    with torch.no_grad():
        layer.log_step.add_(2)  # states that turn and decay within these frames
        output = layer(frames)[0]

    lam = torch.complex(layer.lam_re, layer.lam_im).detach().numpy()
    step = layer.log_step.exp().detach().numpy()
    b = layer.b.weight.detach()[..., 0, 0].numpy()  # [Re B; Im B]
    c = 2 * layer.c.weight.detach()[..., 0, 0].numpy()  # 2 [Re C, −Im C]
    re, im = np.diag(lam.real), np.diag(lam.imag)
    turn = np.block([[re, -im], [im, re]])
    unit = np.tile(step, 2)[:, None]  # in units of each state's own step, the interval is 1
    a, b, *_ = scipy.signal.cont2discrete((unit * turn, unit * b, c, 0), dt=1, method="zoh")
    for i, j in np.ndindex(2, 3):
        # dlsim's output precedes the update by the input: C x_k is C A x_{k−1} + C B u_k.
        _, expected, _ = scipy.signal.dlsim((a, b, c @ a, c @ b, 1), frames[0, :, :, i, j].numpy())
        close(output[0, :, :, i, j], torch.from_numpy(expected), 1e-10)


def test_a_frame_that_stands_for_two_steps_is_that_frame_twice():
    layer, frames = ConvS5(3, 4).double(), random(2, 4, 3, 6, 5)
    twice = frames.repeat_interleave(torch.tensor([1, 2, 1, 2]), dim=1)
    intervals = torch.tensor([[1.0, 2, 1, 2]] * 2, dtype=torch.float64)
    expected, last = layer(twice)
    output, state = layer(frames, None, intervals)
    close(output, expected[:, [0, 2, 3, 5]], 1e-12)
    close(state, last, 1e-12)


def test_intervals_may_differ_between_sequences_and_be_stepped_through():
    layer, frames = ConvS5(3, 4, discretisation="bilinear").double(), random(2, 4, 3, 6, 5)
    intervals = random(2, 4).exp()
    output, last = layer(frames, None, intervals)
    state = layer.state_for(frames, None)
    for t in range(4):
        out, state = layer.step(frames[:, t], state, intervals[:, t])
        close(out, output[:, t], 1e-12)
    close(state, last, 1e-12)
    close(layer(frames, None, torch.ones_like(intervals))[0], layer(frames)[0], 1e-12)


@pytest.mark.parametrize("options", [{}, {"discretisation": "bilinear", "kernel_c": 1}])
def test_without_readout_inputs_and_states_superpose(options):
    layer = linear(**options)
    u, v = random(2, 2, 7, 3, 6, 5)
    x, z = random(2, 2, layer.state_size, 6, 5)
    mixed, last = layer(2 * u - 3 * v, 2 * x - 3 * z)
    first, second = layer(u, x), layer(v, z)
    close(mixed, 2 * first[0] - 3 * second[0], 1e-12)
    close(last, 2 * first[1] - 3 * second[1], 1e-12)


def test_the_first_weights_are_hippos_in_its_coordinates():
    torch.manual_seed(0)
    layer = ConvS5(64, 96, kernel=3, kernel_c=5, state_size=128, blocks=4)
    assert layer.lam_re.eq(-0.5).all()
    assert layer.lam_im.view(4, -1).diff().gt(0).all()
    step = layer.log_step.exp()
    assert 1e-3 <= step.min() < 2e-3
    assert 5e-2 < step.max() <= 1e-1
    # He-normal in coordinates of the real system; V is an isometry, of half the spectrum.
    b, c = (weight.square().sum().item() for weight in (layer.b.weight, layer.c.weight))
    assert b == pytest.approx(64 * 64 * 9 * 2 / (64 * 9), rel=0.02)
    assert c == pytest.approx(96 * 64 * 25 * 2 / (128 * 25), rel=0.02)


def test_states_that_would_grow_are_kept_stable():
    layer, free = linear(), linear(stable=False)
    with torch.no_grad():
        for each in (layer, free):
            each.lam_re[0] = 0.3
    assert torch.hypot(*layer.sampled()[:2]).max() < 1
    assert torch.hypot(*free.sampled()[:2]).max() > 1


def test_each_setting_changes_the_output():
    frames = random(1, 4, 3, 6, 7)
    settings = [
        {},
        {"state_size": 12},
        {"state_size": 12, "blocks": 2},
        {"kernel_c": 5},
        {"kernel_d": 1},
        {"form": "standard"},
        {"form": "half_glu"},
        {"groups": 2},
        {"squeeze_excitation": True},
        {"form": "standard", "squeeze_excitation": True},
        {"squeeze_excitation": True, "squeeze_minimum": 4},
        {"squeeze_excitation": True, "squeeze_reduction": 2},
        {"form": "linear"},
        {"form": "linear", "kernel_d": 1},
        *({"activation": name} for name in ("elu", "relu", "silu")),
        *({"activation": name, "form": "standard"} for name in ("elu", "relu", "silu")),
        *({"activation": name, "form": "half_glu"} for name in ("elu", "relu", "silu")),
        {"bias": False},
        {"form": "linear", "bias": False},
        {"discretisation": "bilinear"},
        {"first_steps": (0.1, 0.5)},
    ]
    outputs = []
    for options in settings:
        torch.manual_seed(4)
        outputs.append(ConvS5(3, 4, **options).double()(frames)[0])
    for i, output in enumerate(outputs):
        assert not any(torch.allclose(output, other) for other in outputs[:i])


FUNCTIONS = {"gelu": gelu, "elu": F.elu, "relu": F.relu, "silu": lambda x: x * x.sigmoid()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_readout_applies_the_function_that_it_is_told(name):
    function, padding = FUNCTIONS[name], {"padding": 1}
    y, u = random(2, 4, 6, 5), random(2, 3, 6, 5)
    settings = {"kernel": 3, "padding": "zeros", "groups": 2, "activation": name}

    readout = make_readout(ReadoutSettings("standard", **settings), 3, 4).double()
    direct = F.conv2d(u, *readout.feedthrough.parameters(), **padding)
    close(readout(y, u), function(F.group_norm(y + direct, 2, eps=1e-6)), 1e-12)

    block = make_readout(ReadoutSettings("resnet", **settings), 3, 4).double()
    branch = y
    for conv in (block.block.conv_in, block.block.conv_out):
        branch = function(F.group_norm(branch, 2, eps=1e-6))
        branch = F.conv2d(branch, *conv.parameters(), **padding)
    close(block(y, u), function(y + branch), 1e-12)


def test_a_linear_readout_is_the_system_alone():
    layer, (u, v) = ConvS5(3, 4, form="linear", bias=False).double(), random(2, 2, 7, 3, 6, 5)
    mixed, _ = layer(2 * u - 3 * v)
    close(mixed, 2 * layer(u)[0] - 3 * layer(v)[0], 1e-12)
    y, u = random(2, 4, 6, 5), u[:, 0]
    expected = y + F.conv2d(u, layer.readout.feedthrough.weight, padding=1)
    close(layer.readout(y, u), expected, 1e-12)


@pytest.mark.parametrize(
    ("channels", "options", "width"),
    [(64, {}, 4), (8, {}, 1), (8, {"minimum": 4}, 4), (64, {"reduction": 8, "minimum": 4}, 8)],
)
def test_a_gate_of_channels_is_as_wide_as_it_is_told(channels, options, width):
    gate = SqueezeExcitation(channels, Squeeze(**options))
    assert gate.gate[0].out_features == gate.gate[2].in_features == width


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state_size": 6, "blocks": 2}, "6 states do not divide into 2 blocks"),
        ({"groups": 3}, "groups 3 must divide the 4 channels"),
        ({"form": "glu"}, "form 'glu' is not one of resnet, standard, half_glu, linear"),
        ({"form": "linear", "groups": 2}, "'linear' has neither groups nor"),
        ({"form": "linear", "squeeze_excitation": True}, "nor squeeze_excitation"),
        ({"form": "linear", "activation": "relu"}, "'linear' has no activation"),
        ({"activation": "tanh"}, "activation 'tanh' is not one of gelu, elu, relu, silu"),
        ({"squeeze_minimum": 4}, "squeeze_minimum needs squeeze_excitation"),
        ({"squeeze_excitation": True, "squeeze_reduction": 0}, "squeeze_reduction 0 must be"),
        ({"first_steps": (0.1, 0.01)}, r"first_steps \[0.1, 0.01\] must be positive, smallest"),
        ({"form": "half_glu", "groups": 2}, "neither groups nor"),
        ({"form": "half_glu", "kernel_d": 3}, "no kernel_d"),
        ({"discretisation": "euler"}, "not one of zoh, bilinear"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvS5(3, 4, **options)


# Published numbers


def published(name):
    with np.load(DATA / "convssm" / f"{name}.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


def part(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def frames_of(x):
    """[L,B,H,W,C] → [B,T,C,H,W], or [B,H,W,C] → [B,C,H,W]."""
    return x.movedim(-1, -3).transpose(0, 1) if x.ndim == 5 else x.movedim(-1, -3)


def kernels(x):
    return x.permute(3, 2, 0, 1)


NORMS = {"GroupNorm_0": "norm_in", "GroupNorm_1": "norm_out", "LayerNorm_0": "norm"}
KINDS = {"scale": "weight", "bias": "bias"}


def layer_weights(arrays, form):
    """Published weights of a layer (or their gradients) in our names and shapes."""
    states, _, _ = arrays["B"].shape
    k = len(arrays["C"])
    b = arrays["B"].view(states, -1, k, k, 2)
    c = arrays["C"].permute(3, 2, 0, 1, 4)
    ours = {
        "lam_re": arrays["Lambda_re"],
        "lam_im": arrays["Lambda_im"],
        "log_step": arrays["log_step"][:, 0],
        "b.weight": torch.cat([b[..., 0], b[..., 1]]),
        "c.weight": torch.cat([c[..., 0], -c[..., 1]], dim=1),
    }
    names = {"Conv_0": "feedthrough", "GroupNorm_0": "norm"}
    if form == "resnet":
        names = {"Conv_0": "block.conv_in", "Conv_1": "block.conv_out"}
        names |= {k: f"block.{v}" for k, v in NORMS.items()}
    for key, value in part(arrays, "C_D_conv/").items():
        module, kind = key.split("/")
        if kind == "kernel":
            ours[f"readout.{names[module]}.weight"] = kernels(value)
        else:
            ours[f"readout.{names[module]}.{KINDS[kind]}"] = value
    return ours


def assert_published_gradients(module, expected):
    parameters = dict(module.named_parameters())
    assert parameters.keys() == expected.keys()
    for key, parameter in parameters.items():
        close(parameter.grad, expected[key], 1e-4)


@pytest.mark.parametrize("form", ["resnet", "standard"])
def test_a_layer_gives_the_published_outputs_states_and_gradients(form):
    arrays = published(f"ssm_{form}")
    layer = ConvS5(6, 6, state_size=16, form=form, groups=2)
    layer.load_state_dict(layer_weights(part(arrays, "param/"), form))
    frames = frames_of(arrays["input"]).requires_grad_()
    first = frames_of(torch.cat([arrays["x0_re"], arrays["x0_im"]], -1))

    output, last = layer(frames, first)
    (output * frames_of(arrays["loss_weights"])).sum().backward()

    close(output, frames_of(arrays["parallel/output"]), 1e-4)
    end = torch.cat([arrays["parallel/x_last_re"], arrays["parallel/x_last_im"]], -1)
    close(last, frames_of(end), 1e-4)
    close(frames.grad, frames_of(arrays["grad_input"]), 1e-4)
    assert_published_gradients(layer, layer_weights(part(arrays, "grad/"), form))


def stack_weights(arrays):
    ours = {}
    for i in range(2):
        layer = layer_weights(part(arrays, f"layers_{i}/seq/"), "resnet")
        ours |= {f"layers.{i}.{k}": v for k, v in layer.items()}
        norm = part(arrays, f"layers_{i}/norm/")
        ours |= {f"norms.{i}.{KINDS[k]}": v for k, v in norm.items()}
    return ours


def test_a_stack_gives_the_published_outputs_states_and_gradients():
    arrays = published("stack_resnet_postnorm")
    options = {"state_size": 16, "groups": 2}
    config = ForecasterConfig("conv_s5", options, depth=2, hidden=6, norm="channel")
    stack = Forecaster(config, 1).recurrences
    stack.load_state_dict(stack_weights(part(arrays, "param/")))
    frames = frames_of(arrays["input"]).requires_grad_()

    output, states = stack(frames)
    (output * frames_of(arrays["loss_weights"])).sum().backward()

    close(output, frames_of(arrays["output"]), 1e-4)
    for i, state in enumerate(states):
        end = torch.cat([arrays[f"state{i}/x_last_re"], arrays[f"state{i}/x_last_im"]], -1)
        close(state, frames_of(end), 1e-4)
    close(frames.grad, frames_of(arrays["grad_input"]), 1e-4)
    assert_published_gradients(stack, stack_weights(part(arrays, "grad/")))


MODULES = {"Conv_0": "conv", "LayerNorm_0": "norm", "Dense_0": "dense"}
BLOCKS = {"Conv_0": "conv_in", "Conv_1": "conv_out", "AddBias_0": "conv_out", "skip": "skip"}


def pyramid_weights(arrays):
    """Published weights of an encoder or decoder (or their gradients) in our names and shapes."""
    ours = {}
    for key, value in arrays.items():
        *path, kind = key.split("/")
        if path[0].startswith("ResNetBlock_"):
            module = f"blocks.{path[0][12:]}.{(BLOCKS | NORMS)[path[1]]}"
        else:
            module = MODULES[path[0]]
        if kind == "kernel":
            value = kernels(value) if value.ndim == 4 else value.T[..., None, None]
        ours[f"{module}.{KINDS.get(kind, 'weight')}"] = value
    return ours


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_an_encoder_and_a_decoder_give_the_published_outputs_and_gradients(name):
    arrays = published(f"{name}_d4-8-8_b1_g2")
    pyramid = Pyramid(widths=(4, 8, 8), groups=2)
    module = {
        "encoder": PyramidEncoder(1, "zeros", pyramid),
        "decoder": PyramidDecoder(8, 1, "zeros", pyramid),
    }[name]
    module.load_state_dict(pyramid_weights(part(arrays, "param/")))
    frames = frames_of(arrays["input"]).requires_grad_()

    output = module(frames)
    (output * frames_of(arrays["loss_weights"])).sum().backward()

    close(output, frames_of(arrays["output"]), 1e-4)
    close(frames.grad, frames_of(arrays["grad_input"]), 1e-4)
    assert_published_gradients(module, pyramid_weights(part(arrays, "grad/")))
