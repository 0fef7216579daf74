"""Boundary padding and norms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import close
from framecast.layers.blocks import GridConv, make_norm, pad_grid

FIELD = torch.arange(12.0, dtype=torch.float64).reshape(1, 1, 3, 4)


def test_cylinder_is_periodic_in_longitude_and_zero_beyond_the_poles():
    padded = pad_grid(FIELD, 1, "cylinder")[0, 0]
    assert padded[0].eq(0).all()
    assert padded[-1].eq(0).all()
    assert padded[1].tolist() == [3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("padding", "first_row"),
    [
        ("zeros", [0, 0, 0, 0, 0, 0]),
        ("circular", [11, 8, 9, 10, 11, 8]),
        ("replicate", [0, 0, 1, 2, 3, 3]),
        ("reflect", [5, 4, 5, 6, 7, 6]),
    ],
)
def test_what_lies_beyond_the_edge(padding, first_row):
    assert pad_grid(FIELD, 1, padding)[0, 0, 0].tolist() == first_row


@given(
    kernel=st.sampled_from([1, 3, 5]),
    height=st.integers(3, 8),
    width=st.integers(3, 8),
    padding=st.sampled_from(["zeros", "circular", "cylinder", "replicate", "reflect"]),
)
def test_convolution_keeps_the_grid_and_is_a_sum_over_neighbours(kernel, height, width, padding):
    conv = GridConv(2, 3, kernel, padding).double()
    x = torch.randn(2, 2, height, width, dtype=torch.float64)
    out = conv(x)
    assert out.shape == (2, 3, height, width)
    padded = pad_grid(x, kernel // 2, padding)
    y, column = height - 1, 0
    patch = padded[:, None, :, y : y + kernel, column : column + kernel]
    by_hand = (patch * conv.weight).sum((2, 3, 4)) + conv.bias
    close(out[:, :, y, column], by_hand, 1e-12)


@pytest.mark.parametrize(("padding", "width"), [("reflect", 2), ("circular", 1), ("cylinder", 1)])
def test_a_grid_too_small_for_the_kernel_is_named(padding, width):
    with pytest.raises(ValueError, match=rf"{padding} padding by 2 .* 6×{width}"):
        GridConv(1, 1, 5, padding)(torch.zeros(1, 1, 6, width))


@pytest.mark.usefixtures("unchecked_types")
def test_unknown_options_are_named():
    with pytest.raises(ValueError, match="kernel 4 must be odd"):
        GridConv(1, 1, 4)
    with pytest.raises(ValueError, match="'mirror' is not one of zeros"):
        GridConv(1, 1, 3, "mirror")
    with pytest.raises(ValueError, match="'batch' is not one of frame"):
        make_norm("batch", 4, None)
    with pytest.raises(ValueError, match="no norm 'group': it is called frame"):
        make_norm("group", 4, None)
    with pytest.raises(ValueError, match="tied to a grid size"):
        make_norm("grid", 4, None)


@pytest.mark.parametrize(
    ("kind", "axes", "eps"),
    [("frame", (1, 2, 3), 1e-5), ("channel", (1,), 1e-6), ("grid", (2, 3), 1e-5)],
)
def test_each_norm_removes_mean_and_variance_over_its_axes(kind, axes, eps):
    x = 3 + 2 * torch.randn(2, 8, 6, 5, dtype=torch.float64)
    out = make_norm(kind, 8, (6, 5)).double()(x)
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    close(out, (x - mean) / (variance + eps).sqrt(), 1e-12)


@pytest.mark.parametrize(
    "padding", ["zeros", "circular", "cylinder", "sphere", "replicate", "reflect"]
)
def test_padding_keeps_channels_last_in_memory(padding):
    x = torch.randn(2, 3, 6, 4).contiguous(memory_format=torch.channels_last)
    padded = pad_grid(x, 1, padding)
    assert padded.is_contiguous(memory_format=torch.channels_last)


def test_norm_none_changes_nothing():
    x = torch.randn(2, 8, 6, 5)
    assert torch.equal(make_norm("none", 8, None)(x), x)
