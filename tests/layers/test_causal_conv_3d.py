"""Causal 3-D convolution: against torch's own, and how far back it sees."""

import pytest
import torch
import torch.nn.functional as F

from conftest import close
from framecast.layers import CausalConv3D

B, T, C_IN, C, H, W = 2, 6, 3, 5, 4, 7


def make(**options):
    torch.manual_seed(3)
    return CausalConv3D(C_IN, C, **options).double()


def frames():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, T, C_IN, H, W, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("span", [2, 3, 4, 9])
@pytest.mark.parametrize(("activation", "function"), [("relu", F.relu), ("tanh", torch.tanh)])
def test_it_is_a_convolution_in_three_dimensions_of_the_frames_before(span, activation, function):
    layer = make(frames=span, activation=activation)
    torch.nn.init.normal_(layer.conv.bias)
    weight = layer.conv.weight.view(C, span, C_IN, 3, 3).transpose(1, 2)
    volume = F.pad(frames().transpose(1, 2), (1, 1, 1, 1, span - 1, 0))
    expected = function(F.conv3d(volume, weight, layer.conv.bias)).transpose(1, 2)
    close(layer(frames())[0], expected, 1e-12)


@pytest.mark.parametrize("span", [2, 3, 5])
def test_it_sees_so_many_frames_and_none_before(span):
    layer = make(frames=span, activation="tanh")
    seen = frames().requires_grad_()
    layer(seen)[0][:, -1].sum().backward()
    reached = seen.grad.abs().amax((0, 2, 3, 4)) > 0
    assert reached.tolist() == [False] * (T - span) + [True] * span


def test_the_state_is_the_last_frames():
    layer = make(frames=4)
    _, state = layer(frames())
    assert torch.equal(state, frames()[:, -3:])
    assert torch.equal(layer.initial_state(B, H, W), torch.zeros(B, 3, C_IN, H, W))


def test_weights_start_xavier_normal_and_biases_at_zero():
    torch.manual_seed(0)
    layer = CausalConv3D(40, 60, frames=3)
    variance = 2 / (27 * (40 + 60))  # fan-in and fan-out of a convolution in three dimensions
    assert layer.conv.weight.var().item() == pytest.approx(variance, rel=0.02)
    assert not layer.conv.bias.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"frames": 1}, "frames 1 must be at least 2"), ({"kernel": 4}, "must be odd")],
)
def test_what_is_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
