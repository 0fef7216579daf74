"""Registries: by name, and with what other packages add."""

import sys
from importlib.metadata import EntryPoint

import pytest
import torch

from framecast.base import registry as module
from framecast.base.errors import UserError
from framecast.base.registry import Registry
from framecast.layers import ConvGRU
from framecast.layers.entry import LAYERS, LayerEntry
from framecast.models import Forecaster, ForecasterConfig


class Foreign(ConvGRU):
    """A layer of another package."""


def test_a_class_of_another_package_is_found_by_its_entry_point(monkeypatch):
    monkeypatch.setitem(sys.modules, "foreign_package", sys.modules[__name__])
    point = EntryPoint("foreign", "foreign_package:Foreign", "framecast.layers")
    asked = []

    def entry_points(group):
        asked.append(group)
        return [point]

    monkeypatch.setattr(module, "entry_points", entry_points)
    layers = Registry("layer", "framecast.layers", LayerEntry)
    layers.register("own", paper="ours")(ConvGRU)
    assert asked == []
    assert layers.names() == ["foreign", "own"]
    assert asked == ["framecast.layers"]
    assert layers.find("foreign").layer is Foreign
    assert layers.find("foreign").summary == "A layer of another package."


def test_a_foreign_layer_is_trained_like_any_other(monkeypatch):
    monkeypatch.setitem(LAYERS._items, "foreign", LayerEntry(Foreign))
    model = Forecaster(ForecasterConfig(layer="foreign", depth=1, hidden=4), 1)
    assert model(torch.randn(1, 3, 1, 5, 6))[0].shape == (1, 3, 1, 5, 6)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown layer 'conv_gr' \(did you mean conv_gru\?\)"):
        LAYERS.find("conv_gr")
