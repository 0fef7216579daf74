"""What every recurrent layer promises. A newly registered layer is tested for nothing."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from conftest import TOLERANCE, close
from framecast.layers import ResidualStack, SkipStack, TensorTrain, layer_entry, layer_names
from framecast.layers.blocks import ChannelNorm, FrameNorm
from framecast.layers.stacks import layer_channels

B, T, C_IN, C, H, W = 2, 7, 3, 5, 6, 9
VARIANTS = {"conv_lstm, tensor_train": ("conv_lstm", {"tensor_train": TensorTrain()})}
"""Layers that an option makes of others, tested as they are."""
SEEN = {"causal_conv_3d": 3}
"""Layers that see a few frames, the present one included; all others see the whole past."""


def make(name, in_channels=C_IN, out_channels=C, dtype=torch.float64, each=None, **options):
    """A layer; or a stack of those that are named, or of each kind."""
    torch.manual_seed(3)
    each = each or layer_names()
    if name == "stack":
        layers = [make(n, out_channels, out_channels, dtype, **options) for n in each]
        return ResidualStack(layers, [ChannelNorm(out_channels) for _ in layers]).to(dtype)
    if name == "long skips":
        layers = [make(n, out_channels, out_channels, dtype, **options) for n in each]
        norms = [FrameNorm(out_channels) for _ in layers]
        return ResidualStack(layers, norms, norm_position="pre", skip_stride=2).to(dtype)
    if name == "skip":
        widths = [out_channels + i % 3 for i in range(len(each))]
        channels = layer_channels(in_channels, widths, [1] * len(widths), 2)
        names = zip(each, channels, strict=True)
        layers = [make(n, a, b, dtype, **options) for n, (a, b) in names]
        return SkipStack(layers, [FrameNorm(w) for w in widths]).to(dtype)
    name, variant = VARIANTS.get(name, (name, {}))
    return layer_entry(name).layer(in_channels, out_channels, **variant | options).to(dtype)


def frames_for(layer, batch=B, time=T, height=H, width=W):
    dtype = next(layer.parameters()).dtype
    generator = torch.Generator().manual_seed(11)
    return torch.randn(
        batch, time, layer.in_channels, height, width, dtype=dtype, generator=generator
    )


def stepped(layer, frames, state=None):
    state = layer.state_for(frames, state)
    outputs = []
    for frame in frames.unbind(1):
        output, state = layer.step(frame, state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def gradients(layer, run, frames):
    frames = frames.clone().requires_grad_()
    layer.zero_grad()
    output, _ = run(frames)
    weights = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator())
    (output * weights).sum().backward()
    return [frames.grad, *(p.grad.clone() for p in layer.parameters())]


every_layer = pytest.mark.parametrize(
    "name", [*layer_names(), *VARIANTS, "stack", "skip", "long skips"]
)
single_layer = pytest.mark.parametrize("name", [*layer_names(), *VARIANTS])


@every_layer
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_forward_equals_stepping(name, dtype):
    layer = make(name, dtype=dtype)
    frames = frames_for(layer)
    output, state = layer(frames)
    steps, last = stepped(layer, frames)
    assert output.shape == (B, T, layer.out_channels, H, W)
    close(steps, output, TOLERANCE[dtype])
    for a, b in zip(pytree.tree_leaves(last), pytree.tree_leaves(state), strict=True):
        close(a, b, TOLERANCE[dtype])


@every_layer
@settings(max_examples=8, deadline=None, derandomize=True)
@given(time=st.integers(1, 6), data=st.data())
def test_a_sequence_may_be_split_anywhere(name, time, data):
    layer = make(name)
    frames = frames_for(layer, time=time + 1)
    k = data.draw(st.integers(1, time))
    whole, end = layer(frames)
    first, state = layer(frames[:, :k])
    second, split_end = layer(frames[:, k:], state)
    close(torch.cat([first, second], 1), whole, 1e-12)
    for a, b in zip(pytree.tree_leaves(split_end), pytree.tree_leaves(end), strict=True):
        close(a, b, 1e-12)


@every_layer
def test_gradients_of_forward_and_stepping_agree(name):
    layer = make(name)
    frames = frames_for(layer)
    parallel = gradients(layer, layer, frames)
    sequential = gradients(layer, partial(stepped, layer), frames)
    for a, b in zip(parallel, sequential, strict=True):
        close(a, b, 1e-10)


@single_layer
def test_gradients_pass_gradcheck(name):
    layer = make(name, in_channels=2, out_channels=2)
    frames = frames_for(layer, batch=1, time=3, height=2, width=3).requires_grad_()
    state = pytree.tree_map(
        lambda s: (s + 0.1).requires_grad_(), layer.initial_state(1, 2, 3, dtype=torch.float64)
    )
    leaves, spec = pytree.tree_flatten(state)

    def run(frames, *leaves):
        output, last = layer(frames, pytree.tree_unflatten(list(leaves), spec))
        return output, *pytree.tree_leaves(last)

    assert torch.autograd.gradcheck(run, (frames, *leaves))


@every_layer
def test_a_later_frame_changes_no_earlier_output(name):
    layer = make(name)
    frames = frames_for(layer)
    changed = frames.clone()
    changed[:, 4, 0] += 1
    before, after = layer(frames)[0], layer(changed)[0]
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@every_layer
def test_the_past_reaches_the_present(name):
    layer = make(name)
    frames = frames_for(layer)
    changed = frames.clone()
    changed[:, -SEEN.get(name, T), 0] += 1
    assert not torch.allclose(layer(frames)[0][:, -1], layer(changed)[0][:, -1])


@every_layer
def test_sequences_of_a_batch_are_independent(name):
    layer = make(name)
    frames = frames_for(layer)
    alone = torch.cat([layer(frames[i : i + 1])[0] for i in range(B)])
    close(alone, layer(frames)[0], 1e-12)


@every_layer
def test_translation_equivariance_under_circular_padding(name):
    layer = make(name, padding="circular")
    frames = frames_for(layer)
    shifted = layer(frames.roll((2, 5), (-2, -1)))[0]
    close(shifted, layer(frames)[0].roll((2, 5), (-2, -1)), 1e-12)


@every_layer
def test_the_same_weights_run_on_another_grid(name):
    layer = make(name)
    output, _ = layer(frames_for(layer, height=4, width=11))
    assert output.shape[-2:] == (4, 11)
    assert output.isfinite().all()


@every_layer
def test_two_calls_agree_and_leave_their_arguments_alone(name):
    layer = make(name)
    frames = frames_for(layer)
    state = layer(frames)[1]
    kept = pytree.tree_map(torch.clone, (frames, state))
    first, second = layer(frames, state), layer(frames, state)
    for a, b in zip(pytree.tree_leaves(first), pytree.tree_leaves(second), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(pytree.tree_leaves(kept), pytree.tree_leaves((frames, state)), strict=True):
        assert torch.equal(a, b)


@every_layer
def test_state_dict_round_trip(name):
    layer, other = make(name), make(name)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
    frames = frames_for(layer)
    assert not torch.allclose(other(frames)[0], layer(frames)[0])
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(frames)[0], layer(frames)[0])


@single_layer
def test_each_option_changes_the_output(name):
    frames = frames_for(make(name), width=W + W % 2)  # a sphere needs an even number of columns
    outputs = [
        make(name, **options)(frames)[0]
        for options in (
            {"padding": "zeros"},
            {"padding": "circular"},
            {"padding": "cylinder"},
            {"padding": "sphere"},
            {"padding": "sphere_poles"},
            {"padding": "replicate"},
            {"padding": "reflect"},
            {"kernel": 1},
            {"kernel": 5},
        )
    ]
    for i, a in enumerate(outputs):
        for b in outputs[:i]:
            assert not torch.allclose(a, b)


@every_layer
def test_every_parameter_has_a_gradient(name):
    layer = make(name)
    for gradient in gradients(layer, layer, frames_for(layer)):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@every_layer
def test_autocast_to_bfloat16_stays_close(name):
    layer = make(name, dtype=torch.float32)
    frames = frames_for(layer)
    with torch.autocast("cpu", torch.bfloat16):
        parallel, _ = layer(frames)
        sequential, _ = stepped(layer, frames)
    close(parallel, layer(frames)[0], 0.05)
    close(sequential, layer(frames)[0], 0.05)


@every_layer
@pytest.mark.usefixtures("unchecked_types")
def test_step_compiles_and_exports(name):
    torch.compiler.reset()  # each function may be compiled for a few layers only
    each = ["conv_lstm", "min_conv_gru", "conv_s5"]  # of a stack: each kind compiles by itself
    layer = make(name, dtype=torch.float32, each=each)
    frames = frames_for(layer)
    frame, state = frames[:, 0], layer.state_for(frames, None)
    expected = pytree.tree_leaves(layer.step(frame, state))
    compiled = torch.compile(layer.step, fullgraph=True, backend="aot_eager")(frame, state)
    exported = torch.export.export(Stepper(layer), (frame, state)).module()(frame, state)
    for result in (compiled, exported):
        for a, b in zip(pytree.tree_leaves(result), expected, strict=True):
            close(a, b, 1e-6)


class Stepper(torch.nn.Module):
    """`torch.export` takes a module and calls its forward."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, frame, state):
        return self.layer.step(frame, state)
