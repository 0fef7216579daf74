"""The causal Transformer: against PyTorch's attention, with and without a cache."""

import pytest
import torch
from torch import nn

from conftest import close
from framecast.layers import Transformer
from framecast.layers.transformer import positions


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_one_token_a_frame_is_the_usual_attention_and_perceptron():
    layer, tokens = Transformer(8, 8, kernel=1, heads=2).double(), random(3, 6, 8)
    attention = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    attention.load_state_dict(
        {
            "in_proj_weight": layer.qkv.weight[..., 0, 0],
            "in_proj_bias": layer.qkv.bias,
            "out_proj.weight": layer.out.weight[..., 0, 0],
            "out_proj.bias": layer.out.bias,
        }
    )
    read = nn.functional.layer_norm(tokens, (8,), eps=1e-6) + positions(0, 6, 8)
    later = torch.ones(6, 6, dtype=torch.bool).triu(1)
    attended, _ = attention(read, read, read, attn_mask=later, need_weights=False)
    up, down = layer.mlp[1], layer.mlp[3]
    normed = nn.functional.layer_norm(tokens + attended, (8,), eps=1e-6)
    hidden = normed @ up.weight[..., 0, 0].T + up.bias
    expected = attended + nn.functional.gelu(hidden) @ down.weight[..., 0, 0].T + down.bias

    output, _ = layer(tokens[..., None, None])
    close(output[..., 0, 0], expected, 1e-12)


@pytest.mark.parametrize("split", [0, 1, 4])
def test_without_a_cache_the_numbers_are_the_same(split):
    frames = random(2, 6, 4, 3, 2)
    outputs = []
    for cache in (True, False):
        torch.manual_seed(0)
        layer = Transformer(4, 6, cache=cache).double()
        state = layer.state_for(frames, None)
        if split:
            _, state = layer(frames[:, :split], state)
        for frame in frames[:, split:].unbind(1):
            output, state = layer.step(frame, state)
        outputs.append(output)
    close(outputs[0], outputs[1], 1e-12)


@pytest.mark.parametrize("cache", [True, False])
def test_the_state_grows_by_a_frame_with_each_frame(cache):
    layer, frames = Transformer(4, 6, cache=cache).double(), random(2, 5, 4, 3, 2)
    state = layer(frames)[1]
    grown = layer.step(frames[:, 0], state)[1]
    assert [len(x[0]) for x in state] == [5, 5 if cache else 0]
    assert [len(x[0]) for x in grown] == [6, 6 if cache else 0]


def test_positions_differ_by_rotations():
    """Their inner product depends on the distance between two places alone."""
    places = positions(5, 40, 16)
    close(positions(15, 10, 16), places[10:20], 1e-12)
    products = places @ places.T
    for distance in (0, 1, 7):
        along = products.diagonal(distance)
        close(along, along[:1].expand_as(along), 1e-12)
    assert positions(0, 3, 5).shape == (3, 5)


def test_heads_change_the_output_and_must_divide_the_channels():
    frames = random(1, 4, 4, 3, 2)
    torch.manual_seed(0)
    one = Transformer(4, 6).double()
    three = Transformer(4, 6, heads=3).double()
    three.load_state_dict(one.state_dict())
    assert not torch.allclose(one(frames)[0], three(frames)[0])
    with pytest.raises(ValueError, match="heads 4 must divide the 6 channels"):
        Transformer(4, 6, heads=4)
