"""Fields on the sphere go on across the poles, with and without rows at the poles."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from framecast.layers.blocks import GridConv, convolve, pad_grid
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.spec import ModelSpec, Ports

VECTOR = torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64)
"""A direction in space: the same everywhere."""


def latitudes(rows, padding, reach=0):
    """Of a grid and `reach` rows beyond each pole, where they count on above 90 degrees."""
    step = math.pi / (rows - 1 if padding == "sphere_poles" else rows)
    first = -math.pi / 2 + (0 if padding == "sphere_poles" else step / 2)
    return first + step * torch.arange(-reach, rows + reach, dtype=torch.float64)


def longitudes(columns, reach=0):
    return 2 * math.pi / columns * torch.arange(-reach, columns + reach, dtype=torch.float64)


def fields(lat, lon):
    """A smooth scalar, and the eastward and northward components of VECTOR, [1,3,H,W].

    The formulas go on beyond a pole: a meridian does, and so do the directions along it.
    """
    lat, lon = lat[:, None], lon[None]
    x, y, z = lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin() + 0 * lon
    scalar = x + 2 * y * z - z**2 + x**3
    east = -VECTOR[0] * lon.sin() + VECTOR[1] * lon.cos() + 0 * lat
    north = -lat.sin() * (VECTOR[0] * lon.cos() + VECTOR[1] * lon.sin()) + VECTOR[2] * lat.cos()
    return torch.stack([scalar, east, north])[None]


@settings(deadline=None, max_examples=40)
@given(
    padding=st.sampled_from(["sphere", "sphere_poles"]),
    rows=st.integers(4, 9),
    columns=st.integers(2, 6).map(lambda half: 2 * half),
    reach=st.integers(1, 3),
)
def test_values_beyond_a_pole_are_those_of_the_other_side(padding, rows, columns, reach):
    inside = fields(latitudes(rows, padding), longitudes(columns))
    around = fields(latitudes(rows, padding, reach), longitudes(columns, reach))
    signs = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(pad_grid(inside, reach, padding, signs), around)


@pytest.mark.parametrize("padding", ["sphere", "sphere_poles"])
def test_gradients_are_those_of_the_definition(padding):
    x = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    signs = torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None, None]
    assert torch.autograd.gradcheck(lambda x: pad_grid(x, 2, padding, signs), x)


@pytest.mark.parametrize("padding", ["sphere", "sphere_poles"])
def test_a_turn_about_the_axis_commutes_with_convolution(padding):
    x, kernel = torch.randn(1, 2, 6, 8), torch.randn(3, 2, 3, 3)
    turned = convolve(x.roll(3, -1), kernel, padding)
    torch.testing.assert_close(turned, convolve(x, kernel, padding).roll(3, -1))


def test_an_odd_number_of_columns_is_refused():
    with pytest.raises(ValueError, match=r"even number of columns, but the grid is 4×7"):
        pad_grid(torch.zeros(1, 1, 4, 7), 1, "sphere")


def test_a_convolution_knows_which_channels_are_vectors():
    conv = GridConv(2, 2, 3, "sphere", vectors=(1,)).double()
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64)[:, None, None]
    padded = pad_grid(x, 1, "sphere", signs)
    expected = torch.nn.functional.conv2d(padded, conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), expected)
    assert "signs" not in conv.state_dict()
    other = GridConv(2, 2, 3, "sphere").double()
    weights = dict(conv.named_parameters())
    assert not torch.allclose(functional_call(other, weights, x), conv(x))


PYRAMID = {"encoder": "pyramid", "encoder_options": {"widths": [4, 4], "groups": 2}}


def test_the_encoder_of_a_network_knows_vectors_and_so_does_its_checkpoint():
    config = ForecasterConfig(depth=1, hidden=4, padding="sphere", **PYRAMID)
    model = Forecaster(config, Ports(3, vectors=(1, 2)), grid=(4, 8))
    assert model.encoder[0].conv.signs.flatten().tolist() == [1, -1, -1]
    again = Forecaster.from_spec(model.spec.to_dict())
    assert ModelSpec.from_dict(model.spec.to_dict()) == again.spec
    assert again.encoder[0].conv.signs.flatten().tolist() == [1, -1, -1]


@pytest.mark.parametrize(
    ("grid", "options", "words"),
    [
        ((5, 8), {"padding": "sphere", "patch": 2}, "2 divides the rows and 4 the columns"),
        ((4, 6), {"padding": "sphere", **PYRAMID}, "4 the columns, but the grid is 4×6"),
        ((5, 8), {"padding": "sphere_poles", "patch": 2}, "choose model.patch 1"),
    ],
)
def test_what_would_be_no_sphere_is_refused(grid, options, words):
    config = ForecasterConfig(depth=1, hidden=4, **options)
    with pytest.raises(ValueError, match=words):
        Forecaster(config, 1, grid)
    with pytest.raises(ValueError, match=words):
        Forecaster(config, 1)(torch.zeros(1, 2, 1, *grid))


def test_layers_that_read_frames_themselves_know_of_no_vectors():
    config = ForecasterConfig(depth=1, hidden=4, padding="sphere", encoder="none", stack="plain")
    with pytest.raises(ValueError, match="choose encoder pointwise or pyramid"):
        Forecaster(config, Ports(2, vectors=(0,)))
    Forecaster(config, 2)
