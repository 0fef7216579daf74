"""Networks that no machine holds are refused before they are built."""

import pytest

from framecast.base import limits
from framecast.base.errors import UserError
from framecast.layers import layer_names
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.size import weight_shapes

HUGE = 10**9


def shapes(copies=1, **config):
    network = ForecasterConfig(**config)
    return weight_shapes(lambda: Forecaster(network, 2, grid=(8, 8)), "the network", copies)


@pytest.mark.parametrize("layer", layer_names())
def test_shapes_are_those_of_the_network(layer):
    config = ForecasterConfig(layer=layer, depth=2, hidden=4)
    built = Forecaster(config, 2, grid=(8, 8)).state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in built.items()}
    assert shapes(layer=layer, depth=2, hidden=4) == expected


@pytest.mark.parametrize(
    "config",
    [
        {"hidden": HUGE},
        {"kernel": HUGE + 1},
        {"layer": "conv_s5", "options": {"state_size": HUGE}},
        {"layer": "conv_ssm", "options": {"state_size": HUGE}},
        {"layer": "conv_tt_lstm", "options": {"ranks": HUGE}},
        {"encoder": "pyramid", "encoder_options": {"widths": [HUGE] * 3}},
        {"encoder": "pyramid", "encoder_options": {"out_width": HUGE}},
    ],
    ids=str,
)
def test_what_no_memory_holds_is_refused(config):
    with pytest.raises(UserError, match=r"the network (needs .* of memory|would have more)"):
        shapes(**config)


@pytest.mark.parametrize(
    "config",
    [
        {"depth": HUGE},
        {"depth": [HUGE, HUGE], "hidden": [1, 1], "stack": "plain"},
        {"encoder": "pyramid", "encoder_options": {"blocks": HUGE}},
        {"encoder": "pyramid", "encoder_options": {"decoder_blocks": [HUGE] * 3}},
    ],
    ids=str,
)
def test_what_would_take_for_ever_to_build_is_refused(config):
    with pytest.raises(ValueError, match="at most 1000"):
        ForecasterConfig(**config)


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        ("conv_tt_lstm", {"history": HUGE}),
        ("conv_tt_lstm", {"order": HUGE, "history": HUGE}),
        ("conv_lstm", {"tensor_train": {"order": HUGE}}),
    ],
)
def test_layers_refuse_counts_that_are_out_of_reach(layer, options):
    with pytest.raises(ValueError, match=r"at most 1000|2 to 64"):
        shapes(layer=layer, options=options)


def test_copies_count(monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 50_000_000)
    assert shapes(depth=2, hidden=400)
    with pytest.raises(UserError, match=r"the network needs \S+ MB of memory, but 50 MB"):
        shapes(copies=4, depth=2, hidden=400)
