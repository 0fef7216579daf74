"""ConvSSM with k×k state kernels, beyond the contract that every layer keeps."""

import pytest
import scipy.signal
import torch

from conftest import close
from framecast.layers import ConvSSM
from framecast.layers.conv_ssm import FOURIER_FROM

both_kinds = pytest.mark.parametrize("mixing", ["depthwise", "dense"])


def make(padding="circular", **options):
    torch.manual_seed(2)
    layer = ConvSSM(3, 4, padding=padding, **options).double()
    with torch.no_grad():
        layer.a.add_(0.3 * torch.randn_like(layer.a))
    return layer


def stay(layer):
    """Keep each state where it is, but for its decay."""
    layer.a.zero_()
    layer.a[:, :, 1, 1] = 1


def frames(batch=2, time=9, channels=3, height=6, width=7):
    return torch.randn(batch, time, channels, height, width, dtype=torch.float64)


def stepped(layer, sequence):
    state = layer.state_for(sequence, None)
    outputs = []
    for frame in sequence.unbind(1):
        output, state = layer.step(frame, state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def gradients(run, layer, sequence):
    sequence = sequence.clone().requires_grad_()
    output, state = run(sequence)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    loss = (output * weights).sum() + state.square().sum()
    return torch.autograd.grad(loss, [sequence, *layer.parameters()])


@pytest.mark.parametrize("padding", ["circular", "zeros", "cylinder"])
@pytest.mark.parametrize(
    ("mixing", "state_kernel"),
    [("depthwise", 3), ("depthwise", 5), ("dense", 1), ("dense", 3), ("dense", 5)],
)
def test_a_sequence_equals_stepping_with_gradients(mixing, padding, state_kernel):
    layer = make(padding, mixing=mixing, state_kernel=state_kernel, state_size=5)
    sequence = frames()
    for got, want in zip(layer(sequence), stepped(layer, sequence), strict=True):
        close(got, want, 1e-10)
    parallel = gradients(layer, layer, sequence)
    sequential = gradients(lambda x: stepped(layer, x), layer, sequence)
    for got, want in zip(parallel, sequential, strict=True):
        close(got, want, 1e-10)


@both_kinds
def test_fourier_space_in_float32(mixing):
    layer = make(mixing=mixing, state_kernel=FOURIER_FROM).float()
    sequence = frames(time=60).float()
    close(layer(sequence)[0], stepped(layer, sequence)[0], 1e-4)


@both_kinds
def test_gradcheck_in_fourier_space(mixing):
    layer = make(mixing=mixing, state_kernel=FOURIER_FROM, state_size=2, form="half_glu")
    sequence = frames(1, 3, height=3, width=4).requires_grad_()
    state = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: layer(*x), (sequence, state))


@both_kinds
def test_translation_equivariance_in_fourier_space(mixing):
    layer = make(mixing=mixing, state_kernel=FOURIER_FROM)
    sequence = frames()
    shifted = layer(sequence.roll((2, 5), (-2, -1)))[0]
    close(shifted, layer(sequence)[0].roll((2, 5), (-2, -1)), 1e-12)


@both_kinds
@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_states_superpose(mixing, padding):
    layer = make(padding, mixing=mixing, state_kernel=FOURIER_FROM)
    first, second = frames(), frames()
    x0 = torch.randn(2, 4, 6, 7, dtype=torch.float64)
    apart = layer.scan(first, x0) + layer.scan(second, torch.zeros_like(x0))
    close(apart, layer.scan(first + second, x0), 1e-12)


def test_a_state_that_stays_is_a_recursive_filter_at_every_pixel():
    layer = make()
    sequence = frames()
    with torch.no_grad():
        stay(layer)
        states = layer.scan(sequence, layer.state_for(sequence, None))
        driven = layer._drive(sequence.flatten(0, 1)).view(2, 9, 4, 6, 7)
        pole = layer.state_kernel()[1, 0, 1, 1]
    filtered = scipy.signal.lfilter([1.0], [1.0, -float(pole)], driven[0, :, 1, 2, 3].numpy())
    close(states[0, :, 1, 2, 3], torch.from_numpy(filtered), 1e-12)


@both_kinds
@pytest.mark.parametrize("padding", ["circular", "zeros", "replicate"])
def test_a_thousand_steps_stay_bounded_whatever_the_weights(mixing, padding):
    layer = make(padding, mixing=mixing)
    with torch.no_grad():
        layer.a.mul_(1e4)
        layer.log_rate.fill_(-20)
        kernel = layer.state_kernel()
        state = torch.randn(1, 4, 6, 7, dtype=torch.float64)
        largest = state.norm(dim=1).amax()
        for _ in range(1000):
            state = layer._move(kernel, state)
    assert state.norm(dim=1).amax() <= largest * (1 + 1e-12)


def test_half_of_the_states_move_at_first():
    torch.manual_seed(0)
    layer = ConvSSM(3, 32, padding="circular")
    state = torch.randn(1, 32, 6, 7)
    with torch.no_grad():
        moved = layer._move(layer.state_kernel(), state) / torch.exp(-layer.log_rate.exp()).view(
            -1, 1, 1
        )
    stays = (moved - state).abs().amax((0, 2, 3)) < 1e-5
    assert stays[:16].all()
    assert 0 < stays[16:].sum() < 8
    close(moved.square().sum((2, 3)), state.square().sum((2, 3)), 1e-5)


def test_a_constant_input_leads_to_a_state_of_its_own_size():
    layer = make()
    with torch.no_grad():
        stay(layer)
        layer.log_rate.fill_(-1)
        constant = frames(time=1, height=4, width=4).expand(-1, 60, -1, -1, -1)
        states = layer.scan(constant, layer.state_for(constant, None))
        close(states[:, -1], layer.b(constant[:, 0]), 1e-8)


def test_each_option_changes_the_output():
    sequence = frames()
    outputs = [
        make(**options)(sequence)[0]
        for options in (
            {},
            {"state_size": 8},
            {"state_kernel": 5},
            {"mixing": "dense"},
            {"form": "standard"},
            {"form": "half_glu"},
            {"groups": 2},
        )
    ]
    for i, a in enumerate(outputs):
        for b in outputs[:i]:
            assert not torch.allclose(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing": "sparse"}, "mixing 'sparse' is not one of depthwise, dense"),
        ({"state_kernel": 1}, "the layer conv_s5"),
        ({"state_kernel": 2}, "state_kernel 2 must be odd"),
        ({"form": "none"}, "form 'none'"),
        ({"groups": 3}, "groups 3 must divide"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvSSM(3, 4, **options)
