"""Older names of settings: refused by their new ones, or turned into them."""

import pytest

from framecast import UserError
from framecast.layers import layer_entry
from framecast.layers.entry import RENAMED, renamed_options
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.config import renamed_model


@pytest.mark.parametrize(
    ("layer", "old", "new"), [(name, *pair) for name, n in RENAMED.items() for pair in n.items()]
)
def test_an_older_name_of_an_option_is_told_the_new_one(layer, old, new):
    assert new in {option.name for option in layer_entry(layer).options()}
    with pytest.raises(ValueError, match=f"no option '{old}': it is called {new}"):
        ForecasterConfig(layer, {old: 1})


def test_the_layer_that_became_an_option_says_so():
    with pytest.raises(UserError, match="it is layer conv_lstm with its option tensor_train"):
        ForecasterConfig("tt_conv_lstm")


@pytest.mark.usefixtures("unchecked_types")
def test_the_older_norm_is_told_the_new_one():
    with pytest.raises(ValueError, match="no norm 'group': it is called frame"):
        ForecasterConfig(norm="group")


@pytest.mark.parametrize(
    ("layer", "old", "expected"),
    [
        ("conv_lstm", {"start": "uniform"}, ("conv_lstm", {"initialisation": "uniform"})),
        ("conv_tt_lstm", {"order": 2, "steps": 4}, ("conv_tt_lstm", {"order": 2, "history": 4})),
        ("conv_s5", {"clip": False}, ("conv_s5", {"stable": False})),
        ("tt_conv_lstm", {"ranks": 4}, ("conv_lstm", {"tensor_train": {"ranks": 4}})),
        ("tt_conv_lstm", {}, ("conv_lstm", {"tensor_train": {}})),
        ("transformer", {"heads": 2}, ("transformer", {"heads": 2})),
    ],
)
def test_older_options_become_those_of_today(layer, old, expected):
    name, options = renamed_options(layer, old)
    assert (name, options) == expected
    layer_entry(name).check_options(options)
    assert renamed_options(name, options) == expected


def test_an_older_model_becomes_one_of_today():
    old = {"layer": "tt_conv_lstm", "options": {"order": 2}, "norm": "group", "hidden": 4}
    new = renamed_model(old)
    assert new == {
        "layer": "conv_lstm",
        "options": {"tensor_train": {"order": 2}},
        "norm": "frame",
        "hidden": 4,
    }
    assert Forecaster(ForecasterConfig(**new), 1).config.norm == "frame"
    assert renamed_model(new) == new
    assert renamed_model({"hidden": 4}) == {"hidden": 4}
