"""Recurrences through convolutions: against stepping, matrices over the whole grid, and theory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import close
from framecast.layers.blocks import Padding, pad_grid
from framecast.ops import bounded_kernel, conv_scan, spectral_conv_scan
from framecast.ops.conv_scan import definition
from framecast.ops.conv_scan.spectral import frequency_response

SCANS = [conv_scan, spectral_conv_scan]
every_scan = pytest.mark.parametrize("scan", SCANS)
both_kinds = pytest.mark.parametrize("dense", [False, True])


def example(
    dense=True, batch=2, time=9, states=3, height=6, width=7, side=3, dtype=torch.float64, seed=0
):
    """A stable kernel, inputs and a first state."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    bound = torch.rand(states, generator=generator, dtype=torch.float64) / 4 + 0.75
    kernel = bounded_kernel(draw(states, states if dense else 1, side, side), bound)
    inputs = kernel, draw(batch, time, states, height, width), draw(batch, states, height, width)
    return [x.to(dtype) for x in inputs]


def differentiate(function, inputs):
    leaves = [x.detach().requires_grad_() for x in inputs]
    output = function(*leaves)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    return [output.detach(), *torch.autograd.grad(output, leaves, weights)]


@every_scan
@settings(max_examples=40)
@given(
    dense=st.booleans(),
    batch=st.integers(1, 3),
    time=st.sampled_from([1, 2, 3, 8, 21]),
    states=st.integers(1, 4),
    height=st.integers(2, 8),
    width=st.integers(2, 9),
    side=st.sampled_from([1, 3, 5]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
def test_outputs_and_gradients_equal_stepping(scan, dtype, **size):
    inputs = example(dtype=dtype, **size)
    exact = differentiate(definition.conv_scan, [x.double() for x in inputs])
    for got, want in zip(differentiate(scan, inputs), exact, strict=True):
        assert got.dtype == dtype
        close(got, want, 1e-10 if dtype == torch.float64 else 1e-5)


@every_scan
@both_kinds
def test_hundreds_of_frames(scan, dense):
    inputs = example(dense, batch=1, time=300, height=8, width=9, dtype=torch.float32)
    exact = differentiate(definition.conv_scan, [x.double() for x in inputs])
    for got, want in zip(differentiate(scan, inputs), exact, strict=True):
        close(got, want, 1e-4)


@every_scan
@both_kinds
def test_gradcheck(scan, dense):
    inputs = example(dense, batch=1, time=5, states=2, height=3, width=4)
    assert torch.autograd.gradcheck(scan, [x.requires_grad_() for x in inputs])


@every_scan
@both_kinds
def test_split_scans_agree(scan, dense):
    kernel, b, x0 = example(dense)
    first = scan(kernel, b[:, :4], x0)
    second = scan(kernel, b[:, 4:], first[:, -1])
    close(torch.cat([first, second], 1), scan(kernel, b, x0), 1e-12)


@every_scan
@both_kinds
def test_superposition(scan, dense):
    kernel, b, x0 = example(dense)
    apart = scan(kernel, b, torch.zeros_like(x0)) + scan(kernel, torch.zeros_like(b), x0)
    close(apart, scan(kernel, b, x0), 1e-12)


@every_scan
def test_bfloat16_is_computed_in_float32(scan):
    inputs = [x.bfloat16() for x in example()]
    result = scan(*inputs)
    assert result.dtype == torch.bfloat16
    exact = definition.conv_scan(*(x.double() for x in inputs))
    close(result, exact, 2**-8)


@both_kinds
def test_a_pointwise_kernel_is_a_linear_system_at_every_pixel(dense):
    """With k = 1 the state of a pixel never sees another."""
    kernel, b, x0 = example(dense, side=1)
    matrix = kernel[:, :, 0, 0] if dense else kernel[:, 0, 0, 0].diag()
    x = x0[0, :, 2, 3]
    for t, state in enumerate(spectral_conv_scan(kernel, b, x0)[0, :, :, 2, 3]):
        x = matrix @ x + b[0, t, :, 2, 3]
        close(state, x, 1e-12)


@pytest.mark.parametrize("size", [(6, 7), (5, 8), (1, 4)])
@both_kinds
def test_the_response_has_the_spectrum_of_the_whole_matrix(dense, size):
    """The eigenvalues of the convolution as a matrix over all cells, against λ(ω)."""
    side = 3 if min(size) > 1 else 1
    kernel, *_ = example(dense, states=2, side=side)
    cells = 2 * size[0] * size[1]
    basis = torch.eye(cells, dtype=torch.float64).view(cells, 1, 2, *size)
    nothing = torch.zeros(cells, 1, 2, *size, dtype=torch.float64)
    matrix = definition.conv_scan(kernel, nothing, basis[:, 0]).view(cells, cells).T
    blocks = torch.cat(list(frequency_response(kernel, *size).split(1, dim=1)), dim=1)
    if not dense:
        blocks = torch.diag_embed(blocks[:, 0].movedim(0, -1)).movedim((-2, -1), (0, 1))
    magnitudes = torch.linalg.eigvals(blocks.permute(2, 3, 0, 1)).abs()
    whole = torch.linalg.eigvals(matrix).abs()
    # Real fields: the frequencies that rfft2 leaves out are conjugates of those it keeps.
    twice = torch.full((size[1] // 2 + 1,), 2)
    twice[0] = 1
    if size[1] % 2 == 0:
        twice[-1] = 1
    counted = magnitudes.repeat_interleave(twice, dim=1).flatten()
    close(counted.sort().values, whole.sort().values, 1e-10)


@settings(max_examples=30)
@given(
    dense=st.booleans(),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    side=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 2**16),
)
def test_every_bounded_kernel_is_stable(dense, scale, side, seed):
    torch.manual_seed(seed)
    weight = scale * torch.randn(4, 4 if dense else 1, side, side)
    kernel = bounded_kernel(weight, torch.tensor([0.9, 0.99, 0.5, 1.0]))
    response = frequency_response(kernel, 8, 9).permute(2, 3, 0, 1)
    radius = torch.linalg.eigvals(response).abs() if dense else response.abs()
    assert radius.max() <= 1 + 1e-6


@pytest.mark.parametrize("padding", ["zeros", "circular", "cylinder", "replicate", "reflect"])
@both_kinds
def test_without_input_no_cell_grows_under_any_padding(dense, padding: Padding):
    torch.manual_seed(1)
    weight = torch.randn(4, 4 if dense else 1, 3, 3)
    kernel = bounded_kernel(weight, torch.ones(4))
    x = torch.randn(2, 4, 6, 7)
    for _ in range(20):
        around = pad_grid(x, 1, padding)
        new = torch.nn.functional.conv2d(around, kernel, groups=1 if dense else 4)
        assert new.norm(dim=1).amax() <= x.norm(dim=1).amax() * (1 + 1e-5)
        x = new


def test_the_bound_is_reached_by_what_moves_unchanged():
    """A kernel of one cell carries the state along: nothing is lost in a hundred steps."""
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 0] = 5.0  # reads the cell to the left: moves to the right
    kernel = bounded_kernel(weight, torch.ones(1))
    x0 = torch.randn(1, 1, 6, 7)
    nothing = torch.zeros(1, 100, 1, 6, 7)
    for scan in SCANS:
        close(scan(kernel, nothing, x0)[:, -1], x0.roll(100, -1), 1e-4)


def test_a_kernel_of_zeros_stays_finite():
    weight = torch.zeros(2, 1, 3, 3, requires_grad=True)
    kernel = bounded_kernel(weight, torch.ones(2))
    kernel.sum().backward()
    assert (kernel == 0).all()
    assert weight.grad.isfinite().all()


def test_zero_padding_is_another_recurrence():
    """Why neither scan takes another boundary: with zeros, composed steps differ at the edges."""
    kernel, b, x0 = example(dense=False)
    x = x0
    for frame in b.unbind(1):
        x = torch.nn.functional.conv2d(x, kernel, padding=1, groups=3) + frame
    assert not torch.allclose(x, conv_scan(kernel, b, x0)[:, -1])


@every_scan
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (([3, 2, 3, 3], [1, 2, 3, 4, 4], [1, 3, 4, 4]), "expected \\[3, 1, k, k\\]"),
        (([3, 1, 2, 2], [1, 2, 3, 4, 4], [1, 3, 4, 4]), "odd side"),
        (([3, 1, 9, 9], [1, 2, 3, 3, 8], [1, 3, 3, 8]), "grid 3×8"),
        (([3, 1, 3, 3], [1, 0, 3, 4, 4], [1, 3, 4, 4]), "T = 0"),
        (([3, 1, 3, 3], [1, 2, 3, 4, 4], [1, 2, 4, 4]), "does not fit"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_shapes_that_do_not_fit_are_refused(scan, shapes, message):
    with pytest.raises(ValueError, match=message):
        scan(*(torch.ones(shape) for shape in shapes))
