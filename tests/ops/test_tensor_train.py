"""The convolutional tensor-train: both evaluations, and the layers made of it."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from conftest import close
from framecast import UserError, train
from framecast.layers import ConvLSTM, ConvTTLSTM, TensorTrain
from framecast.layers.blocks import convolve
from framecast.models import ForecasterConfig
from framecast.ops import (
    conv_tensor_train,
    conv_tensor_train_reconstructed,
    lstm_cell,
    reconstruct_kernels,
    train_matrices,
)
from small import experiment

circular = partial(convolve, padding="circular")
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-10}


def make(channels=(5, 3, 4, 2), kernel=3, grid=(9, 11), dtype=torch.float64):
    """States H(1..N) of channels[1:], and factors from each down to the one before."""
    random = torch.Generator().manual_seed(0)

    def draw(*size):
        return torch.randn(*size, generator=random, dtype=dtype).requires_grad_()

    states = [draw(2, c, *grid) for c in channels[1:]]
    return states, [draw(below, above, kernel, kernel) for below, above in pairwise(channels)]


def with_gradients(function, states, factors, **options):
    output = function(states, factors, **options)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return [output, *torch.autograd.grad((output * weights).sum(), [*states, *factors])]


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("channels", "kernel"), [((5, 3, 4, 2), 3), ((4, 3), 5), ((2,) * 6, 1)])
def test_both_evaluations_agree_with_gradients(dtype, channels, kernel):
    states, factors = make(channels, kernel, dtype=dtype)
    fast = with_gradients(conv_tensor_train, states, factors, convolve=circular)
    slow = with_gradients(conv_tensor_train_reconstructed, states, factors, convolve=circular)
    for a, b in zip(fast, slow, strict=True):
        close(a, b, LIMITS[dtype])


def test_both_agree_with_zeros_beyond_the_edges_where_these_do_not_reach():
    """In a margin of zeros that is wider than all factors reach, nothing is cut off."""
    states, factors = make()
    reach = len(factors)
    wide = [F.pad(state, (reach,) * 4) for state in states]
    fast = conv_tensor_train(wide, factors)[..., reach:-reach, reach:-reach]
    slow = conv_tensor_train_reconstructed(states, factors)
    close(fast, slow, 1e-10)
    inside = (..., slice(reach, -reach), slice(reach, -reach))
    close(conv_tensor_train(states, factors)[inside], slow[inside], 1e-10)


def test_kernels_are_the_sums_over_ranks_that_define_them():
    """Eq. 8, term by term: an impulse through one chain of filters after the other."""
    _, (g1, g2, g3) = make()
    kernels = reconstruct_kernels([g1, g2, g3])
    assert [k.shape[-1] for k in kernels] == [3, 5, 7]
    expected = torch.zeros(5, 2, 7, 7, dtype=torch.float64)
    for c0, c1, c2, c3 in torch.cartesian_prod(*map(torch.arange, (5, 3, 4, 2))).tolist():
        chain = polynomial(polynomial(g1[c0, c1], g2[c1, c2]), g3[c2, c3])
        expected[c0, c3] += chain.detach()
    close(kernels[2], expected, 1e-12)


def polynomial(a, b):
    """Convolve two filters, as coefficients of polynomials in two variables are multiplied."""
    size = a.shape[-1] + b.shape[-1] - 1
    product = torch.fft.rfft2(a, (size, size)) * torch.fft.rfft2(b, (size, size))
    return torch.fft.irfft2(product, (size, size))


def test_gradients_pass_gradcheck():
    states, factors = make((2, 2, 1), grid=(3, 4))

    def run(*tensors):
        return conv_tensor_train(list(tensors[:2]), list(tensors[2:]))

    assert torch.autograd.gradcheck(run, (*states, *factors))


def test_what_does_not_fit_is_refused():
    states, factors = make()
    with pytest.raises(ValueError, match="2 states and 3 factors"):
        conv_tensor_train(states[:2], factors)
    with pytest.raises(ValueError, match=r"factor 2 maps 2 channels to 4, expected 4 .* to 3"):
        conv_tensor_train(states, [factors[0], factors[2], factors[1]])


def direct(layer, frames, order, history, window):
    """The layer by its equations: all hidden states kept, each window stacked and convolved."""
    width = layer.out_channels
    span = history - order + 1 if window == "sliding" else history
    zeros = frames.new_zeros(len(frames), width, *frames.shape[-2:])
    hidden, c = [zeros] * history, zeros  # newest first
    kernels = layer.window_conv.weight.unflatten(0, (span, -1))
    kernels = [k.transpose(0, 1).flatten(1, 2) for k in kernels.split(layer.ranks, dim=1)]
    biases = layer.window_bias.flatten().split(layer.ranks)
    for x in frames.unbind(1):
        firsts = range(order) if window == "sliding" else [0] * order
        compressed = [
            F.conv2d(torch.cat(hidden[first : first + span], 1), k, b, padding=k.shape[-1] // 2)
            for first, k, b in zip(firsts, kernels, biases, strict=True)
        ]
        total = conv_tensor_train(compressed, list(layer.factors))
        h, c = lstm_cell(layer.input_conv(x) + total, c)
        hidden = [h, *hidden[:-1]]
    return h


@pytest.mark.parametrize(
    "options",
    [
        {"order": 3, "history": 3},
        {"order": 3, "history": 5, "ranks": [2, 3, 4]},
        {"order": 2, "history": 5, "window": "fixed", "ranks": [2, 3]},
        {"order": 1, "history": 1},
        {"order": 1, "history": 4},
        {"order": 3, "history": 3, "factor_kernel": 1},
        {"order": 2, "history": 2, "factor_kernel": 5},
    ],
)
def test_the_layer_is_its_equations(options):
    torch.manual_seed(0)
    layer = ConvTTLSTM(3, 4, **{"ranks": 2} | options).double()
    torch.nn.init.normal_(layer.window_bias)
    frames = torch.randn(2, 7, 3, 5, 6, dtype=torch.float64)
    window = options.get("window", "sliding")
    expected = direct(layer, frames, options["order"], options["history"], window)
    close(layer(frames)[0][:, -1], expected, 1e-12)


@pytest.mark.parametrize(
    "option",
    [
        {"order": 2},
        {"history": 4},
        {"ranks": 4},
        {"ranks": [8, 8, 4]},
        {"factor_kernel": 1},
        {"window": "fixed"},
    ],
)
def test_each_option_changes_the_output(option):
    def output(**options):
        torch.manual_seed(0)
        layer = ConvTTLSTM(2, 3, **options)
        return layer(torch.ones(1, 5, 2, 4, 4))[0]

    assert not torch.allclose(output(), output(**option))


def test_the_past_reaches_as_far_as_the_history_says():
    """With everything else shut, the gates at t see hidden states back to t − M and no further."""
    torch.manual_seed(0)
    layer = ConvTTLSTM(1, 2, order=2, history=4).double()
    projected = torch.randn(1, 8, 5, 5, dtype=torch.float64)
    state = layer.initial_state(1, 5, 5, dtype=torch.float64)
    impulse = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    windows = layer._extended(state.windows, impulse)
    quiet, _ = layer.update(projected, state)
    for _ in range(4):
        h, _ = layer.update(projected, state._replace(windows=windows))
        assert not torch.allclose(h, quiet)
        windows = layer._extended(windows, torch.zeros_like(impulse))
    h, _ = layer.update(projected, state._replace(windows=windows))
    assert torch.equal(h, quiet)


def test_weights_start_xavier_normal():
    torch.manual_seed(0)
    layer = ConvTTLSTM(32, 32, 5, history=5)
    joint = (2 / (25 * (32 + 8) + 25 * 128)) ** 0.5
    assert layer.input_conv.weight.std().item() == pytest.approx(joint, rel=0.03)
    assert layer.factors[0].std().item() == pytest.approx(joint, rel=0.03)
    assert layer.factors[1].std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.06)
    window = (2 / (25 * 32 * 3 + 25 * 8)) ** 0.5
    assert layer.window_conv.weight.std().item() == pytest.approx(window, rel=0.03)
    assert not layer.input_conv.bias.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 4}, "order 4 must be at least 1, and history 3 at least the order"),
        ({"order": 0}, "order 0 must be"),
        ({"ranks": [8, 8]}, r"ranks \[8, 8\] must be one number, or 3"),
        ({"ranks": 0}, "all positive"),
        ({"factor_kernel": 2}, "factor_kernel 2 must be odd"),
    ],
)
def test_impossible_histories_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvTTLSTM(2, 2, **options)


def test_a_network_that_cannot_be_built_is_refused_before_a_run_begins(tmp_path):
    options = {"order": 4, "history": 3}
    impossible = experiment(tmp_path, model={"layer": "conv_tt_lstm", "options": options})
    with pytest.raises(UserError, match="the network cannot be built: order 4"):
        train(impossible, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def classic(order, ranks, out_factors, in_factors, kernel=3):
    """A layer, and the kernel that its factors stand for, summed element by element (Eq. 13)."""
    torch.manual_seed(0)
    outputs, inputs = math.prod(out_factors), math.prod(in_factors)
    train = TensorTrain(order, ranks, out_factors, in_factors)
    layer = ConvLSTM(inputs, outputs // 4, kernel, tensor_train=train).double()
    conv = layer.input_conv
    letters = "abcdefgh"
    terms = ["aij"] + [letters[n : n + 2] + "tuvw"[n] + "pqrs"[n] for n in range(order - 1)]
    result = "tuvw"[: order - 1] + "pqrs"[: order - 1] + "ij"
    kernel = torch.einsum(",".join(terms) + f"->{result}", conv.filters, *conv.cores)
    return layer, kernel.reshape(outputs, inputs, *kernel.shape[-2:])


@pytest.mark.parametrize(
    ("order", "ranks", "out_factors", "in_factors"),
    [
        (2, 3, [8], [5]),
        (3, [2, 4], [4, 3], [2, 3]),
        (4, [2, 3, 2], [2, 2, 5], [3, 1, 2]),
        (2, 1, [64], [16]),  # cheaper without the kernel
    ],
)
def test_a_compressed_convolution_is_that_of_the_whole_kernel(
    order, ranks, out_factors, in_factors
):
    layer, kernel = classic(order, ranks, out_factors, in_factors)
    frames = torch.randn(2, kernel.shape[1], 5, 6, dtype=torch.float64, requires_grad=True)
    weights = layer.input_conv.parameters()
    output, expected = layer.input_conv(frames), F.conv2d(frames, kernel, padding=1)
    close(output, expected, 1e-12)
    loss = torch.randn_like(output)
    inputs = [frames, *(p for p in weights if p is not layer.input_conv.bias)]
    ours = torch.autograd.grad((output * loss).sum(), inputs)
    theirs = torch.autograd.grad((expected * loss).sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b, 1e-12)


def test_factors_of_channels_are_as_equal_as_can_be_and_the_kernel_starts_xavier_normal():
    torch.manual_seed(0)
    layer = ConvLSTM(48, 32, 5, tensor_train=TensorTrain(3, 16))
    assert [core.shape[2:] for core in layer.input_conv.cores] == [(8, 6), (16, 8)]
    matrices = train_matrices(list(layer.input_conv.cores))
    kernel = torch.einsum("rij,rts->tsij", layer.input_conv.filters, matrices)
    joint = (2 / (25 * (48 + 32) + 25 * 128)) ** 0.5
    assert kernel.std().item() == pytest.approx(joint, rel=0.15)
    assert layer.state_conv.weight.std().item() == pytest.approx(joint, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 1}, "order 1 must be 2 to 64"),
        ({"order": 3, "ranks": [4]}, r"ranks \[4\] must be one number, or 2"),
        ({"out_factors": [5]}, r"out_factors \[5\] must be 1 numbers with product 8"),
        ({"order": 3, "in_factors": [2]}, "in_factors .* must be 2 numbers with product 3"),
    ],
)
def test_impossible_compressions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvLSTM(3, 2, tensor_train=TensorTrain(**options))


@pytest.mark.parametrize(
    "option",
    [
        {"order": 3},
        {"ranks": 4},
        {"order": 3, "out_factors": [2, 8]},
        {"order": 3, "in_factors": [2, 1]},
    ],
)
def test_each_option_of_the_compression_changes_the_output(option):
    def output(**options):
        torch.manual_seed(0)
        layer = ConvLSTM(2, 4, tensor_train=TensorTrain(**options))
        return layer(torch.ones(1, 3, 2, 4, 4))[0]

    base = {} if option == {"order": 3} else {"order": option.get("order", 2)}
    assert not torch.allclose(output(**base), output(**option))


def test_a_compression_changes_the_output_and_starts_xavier_normal_alone():
    def output(**options):
        torch.manual_seed(0)
        return ConvLSTM(2, 4, **options)(torch.ones(1, 3, 2, 4, 4))[0]

    assert not torch.allclose(output(), output(tensor_train=TensorTrain()))
    assert torch.equal(
        output(tensor_train=TensorTrain()),
        output(tensor_train=TensorTrain(), initialisation="xavier_normal"),
    )
    with pytest.raises(ValueError, match="uniform does not suit tensor_train"):
        output(tensor_train=TensorTrain(), initialisation="uniform")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"ordr": 3}, r"tensor_train: no option 'ordr' \(did you mean order\?\)"),
        ({"order": "many"}, "tensor_train: order: expected a whole number"),
        ({"order": 1}, "tensor_train: order 1 must be 2 to 64"),
        (3, "tensor_train: expected names and values"),
    ],
)
def test_an_impossible_compression_is_refused_by_the_configuration(train, message):
    with pytest.raises(ValueError, match=message):
        ForecasterConfig("conv_lstm", {"tensor_train": train})
