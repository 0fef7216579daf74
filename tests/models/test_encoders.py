"""Networks whose layers see a coarser grid, or tokens; and actions joined to features."""

import pytest
import torch
import torch.nn.functional as F

from conftest import close
from framecast.frames.batch import Conditions
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.codecs.codec import ActionConditioning
from framecast.models.codecs.strided import Strided, StridedDecoder, StridedEncoder
from framecast.models.spec import Ports
from small import forecast

PYRAMID = {"encoder": "pyramid", "encoder_options": {"widths": [4, 6], "groups": 2}}
STRIDED = {"encoder": "strided", "encoder_options": {"widths": [5, 7]}}
TOKENS = PYRAMID | {"patch": 4, "kernel": 1, "hidden": 10}


def make(grid=None, actions=0, **options):
    torch.manual_seed(1)
    config = ForecasterConfig(**{"layer": "conv_s5", "depth": 2, "hidden": 6} | options)
    return Forecaster(config, Ports(1, actions=actions), grid=grid).double()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    "options",
    [
        {"patch": 4},
        PYRAMID,
        PYRAMID | {"patch": 2, "hidden": 10},
        PYRAMID | {"hidden": [4, 8, 6], "stack": "skip", "depth": 3},
        STRIDED,
        STRIDED | {"hidden": [4, 8, 6], "stack": "skip", "depth": 3},
        STRIDED | {"patch": 2, "stack": "plain"},
        TOKENS,
        TOKENS | {"layer": "transformer", "norm": "none", "options": {"heads": 2}},
        {"norm_position": "pre"},
        {"stack": "skip", "hidden": [4, 6, 4], "depth": 3, "norm": "grid"},
    ],
)
def test_a_forecast_is_the_closed_loop_of_passes(options):
    model, frames = make(grid=(8, 16), **options).eval(), random(2, 5, 1, 8, 16)
    for frame, _ in forecast(model, frames, 3):
        close(frame, model(frames)[0][:, -1], 1e-10)
        frames = torch.cat([frames, frame.unsqueeze(1)], dim=1)


@pytest.mark.parametrize(
    ("options", "grid"),
    [({"patch": 4}, (2, 4)), (PYRAMID, (4, 8)), (TOKENS, (1, 2)), (STRIDED, (2, 4))],
)
def test_layers_see_the_grid_divided_by_the_reduction(options, grid):
    model = make(**options)
    state = model(random(2, 3, 1, 8, 16))[1]
    assert state[0].shape[-2:] == grid


def test_a_token_sees_the_whole_frame_and_the_decoder_gives_all_of_it_back():
    model, frames = make(**TOKENS), random(1, 3, 1, 8, 8)
    changed = frames.clone()
    changed[:, -1, :, 0, 0] += 1
    before, after = model(frames)[0], model(changed)[0]
    assert (before[:, -1] != after[:, -1]).all()
    assert torch.equal(before[:, :-1], after[:, :-1])


@pytest.mark.parametrize(
    "options",
    [
        {"encoder_options": {"widths": [2, 6], "groups": 2}},
        {"encoder_options": {"widths": [4, 6], "groups": 1}},
        {"encoder_options": {"widths": [4, 4, 6], "groups": 2}},
        {"hidden": 10},
        {"encoder_activation": "tanh"},
        {"patch": 2},
        {"norm_position": "pre"},
    ],
)
def test_each_option_changes_the_output(options):
    frames = random(1, 3, 1, 8, 8)
    base = make(**PYRAMID)
    changed = make(**PYRAMID | options)
    assert not torch.allclose(base(frames)[0], changed(frames)[0])


def test_the_published_network_for_moving_mnist_halves_the_grid_twice():
    model = make(layer="min_conv_gru", hidden=256, depth=1, encoder="pyramid")
    assert model.reduction == 4
    assert [block.conv_out.out_channels for block in model.encoder[0].blocks] == [64, 128, 256]


def test_each_depth_has_as_many_blocks_as_it_is_told():
    numbers = {"widths": [4, 6], "groups": 2, "blocks": [1, 3], "decoder_blocks": 2}
    model = make(encoder="pyramid", encoder_options=numbers)
    widths = [block.conv_out.out_channels for block in model.encoder[0].blocks]
    assert widths == [4, 6, 6, 6]
    assert [block.conv_out.out_channels for block in model.decoder.blocks] == [6, 6, 4, 4]
    shapes = []
    for block in (*model.encoder[0].blocks, *model.decoder.blocks):
        block.register_forward_hook(lambda _, given, out: shapes.append(out.shape[-1]))
    model(random(1, 1, 1, 8, 8))
    assert shapes == [8, 4, 4, 4, 4, 4, 8, 8]


def test_one_convolution_leads_out_of_the_pyramid_and_another_to_the_layers():
    options = {"widths": [4, 6], "groups": 2, "out_width": 6}
    model = make(encoder="pyramid", encoder_options=options, hidden=10)
    pyramid, projection = model.encoder
    assert pyramid.dense.weight.shape == (6, 6, 1, 1)
    assert projection.weight.shape == (10, 6, 1, 1)
    assert model.decoder.conv.weight.shape == (4, 10, 3, 3)
    fitting = make(**PYRAMID)
    assert len(fitting.encoder) == 1
    assert not list(fitting.encoder[0].dense.parameters())


def test_dropout_is_for_training_alone():
    model, plain = make(dropout=0.5), make()
    frames = random(1, 3, 1, 8, 8)
    assert not torch.allclose(model(frames)[0], plain(frames)[0])
    close(model.eval()(frames)[0], plain(frames)[0], 1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 0}, "patch 0 must be at least 1"),
        ({"dropout": 1.0}, "dropout 1.0 must be at least 0 and below 1"),
        ({"norm_position": "pre", "norm": "none"}, "needs a norm"),
        ({"encoder_options": {"groups": 2}}, "those of encoders pyramid and strided, not"),
        (PYRAMID | {"encoder_options": {"width": 2}}, r"encoder_options: .*did you mean widths\?"),
        (PYRAMID | {"encoder_options": {"widths": []}}, "must be one or more positive numbers"),
        (PYRAMID | {"encoder_options": {"blocks": 0}}, "at least one block at each depth"),
        (PYRAMID | {"encoder_options": {"decoder_blocks": 0}}, "at least one block at each"),
        (PYRAMID | {"encoder_options": {"decoder_blocks": [1]}}, r"decoder_blocks \[1\] must be"),
        (PYRAMID | {"encoder_options": {"out_width": 0}}, "out_width 0 must be at least 1"),
        ({"encoder": "none", "stack": "skip", "depth": 4, "patch": 2}, "but encoder is none"),
    ],
)
def test_impossible_networks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ForecasterConfig(**{"layer": "conv_s5", "hidden": 6} | options)


@pytest.mark.parametrize("padding", ["zeros", "circular", "cylinder", "reflect"])
@pytest.mark.parametrize(
    "options", [{"patch": 4}, PYRAMID, PYRAMID | {"patch": 2, "hidden": 10, "norm": "grid"}]
)
def test_a_grid_that_does_not_divide_is_filled_up_and_cut_off(options, padding):
    grid = (7, 10)
    whole = (8, 12 if options.get("patch") else 10)
    model, frames = make(grid=grid, padding=padding, **options).eval(), random(2, 3, 1, *grid)
    periodic = {"zeros": "", "reflect": "", "cylinder": "x", "circular": "xy"}[padding]
    rows, columns = (
        [n % size if axis in periodic else min(n, size - 1) for n in range(filled)]
        for axis, size, filled in zip("yx", grid, whole, strict=True)
    )
    filled = frames[..., rows, :][..., columns]
    close(model(frames)[0], model(filled)[0][..., : grid[0], : grid[1]], 1e-12)
    ahead = [frame for frame, _ in forecast(model, frames, 3)]
    assert all(frame.shape == (2, 1, *grid) for frame in ahead)


def test_a_grid_smaller_than_a_cell_of_features_is_refused():
    with pytest.raises(ValueError, match="16×16 cells of a frame into one, but the grid is 8×12"):
        make(grid=(8, 12), patch=16)
    with pytest.raises(ValueError, match="16×16 cells of a frame into one, but the grid is 8×12"):
        make(patch=16)(random(1, 2, 1, 8, 12))


def test_groups_that_do_not_divide_the_widths_are_refused():
    with pytest.raises(ValueError, match="groups 32 must divide the 4 channels"):
        make(encoder="pyramid", encoder_options={"widths": [4, 6]})


def test_an_action_is_an_embedding_joined_to_the_features():
    joined = ActionConditioning(3, 4).double()
    features, embeddings = random(2, 4, 5, 6), random(3, 4)
    mix, bias = random(4, 8), random(4)  # a matrix over [features, embedding]
    joined.load_state_dict(
        {
            "features.weight": mix[:, :4, None, None],
            "features.bias": bias,
            "embedding.weight": mix[:, 4:] @ embeddings.T,
        }
    )
    chosen = embeddings[[2, 0]][..., None, None].expand_as(features)
    both = torch.cat([features, chosen], dim=1)
    expected = torch.einsum("oc,bchw->bohw", mix, both) + bias[:, None, None]
    unit = torch.eye(3, dtype=torch.float64)[[2, 0]]
    close(joined(features, unit), expected, 1e-12)


def test_a_forecast_follows_its_actions():
    model, frames, actions = make(actions=3), random(2, 4, 1, 8, 8), random(2, 6, 3)
    ahead = [frame for frame, _ in forecast(model, frames, 3, actions=actions)]
    for known, frame in enumerate(ahead, start=4):
        of = Conditions(actions=actions[:, :known])
        close(frame, model(frames, None, of)[0][:, -1], 1e-10)
        frames = torch.cat([frames, frame.unsqueeze(1)], dim=1)
    other = model(frames[:, :4], None, Conditions(actions=-actions[:, :4]))[0][:, -1]
    assert not torch.allclose(other, ahead[0])


def test_actions_are_given_to_networks_that_read_them_and_no_others():
    frames, actions = random(1, 2, 1, 8, 8), random(1, 2, 3)
    with pytest.raises(ValueError, match="reads an action with each frame"):
        make(actions=3)(frames)
    with pytest.raises(ValueError, match="built without"):
        make()(frames, None, Conditions(actions=actions))


def test_strided_convolutions_are_those_of_torch():
    torch.manual_seed(1)
    strided, frame = Strided([5, 7]), random(2, 3, 8, 12)
    encoder = StridedEncoder(3, "zeros", strided).double()
    decoder = StridedDecoder(6, 3, "zeros", strided).double()
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        torch.nn.init.normal_(parameter)
    first, second = encoder[0], encoder[2]
    expected = F.conv2d(frame, first.weight, first.bias, 2, 1).relu()
    expected = F.conv2d(expected, second.weight, second.bias, 2, 1).relu()
    close(encoder(frame), expected, 1e-12)
    assert expected.shape == (2, 7, 2, 3)

    features = random(2, 6, 2, 3)
    expected = F.conv2d(features, decoder[0].weight, decoder[0].bias)
    for layer in (decoder[1], decoder[3]):
        expected = F.conv_transpose2d(expected, layer.weight, layer.bias, 2, 1, 1).relu()
    expected = F.conv2d(expected, decoder[5].weight, decoder[5].bias)
    close(decoder(features), expected, 1e-12)
    assert expected.shape == (2, 3, 8, 12)
    assert [layer.weight.shape[1] for layer in (decoder[1], decoder[3])] == [7, 5]


def test_on_a_periodic_box_strided_convolutions_follow_a_shift_of_whole_cells():
    model = make(**STRIDED, padding="circular")
    frames = random(1, 2, 1, 8, 16)
    shifted = model(frames.roll((4, 8), (-2, -1)))[0]
    close(shifted, model(frames)[0].roll((4, 8), (-2, -1)), 1e-12)


@pytest.mark.parametrize("widths", [[], [0, 3], [1] * 17])
def test_widths_of_strided_convolutions_are_checked(widths):
    with pytest.raises(ValueError, match=r"model.encoder_options: widths .* must be 1 to 16"):
        make(encoder="strided", encoder_options={"widths": widths})
