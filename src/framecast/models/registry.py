"""The recurrent layers by name: what configs choose from, and what the tests run over."""

import difflib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from framecast.models.recurrence import Recurrence

Layer = TypeVar("Layer", bound=type[Recurrence])


class Entry(NamedTuple):
    """A registered layer: its class, built as layer(in_channels, out_channels, kernel, padding)."""

    layer: Callable[..., Recurrence]
    summary: str
    paper: str

    def parameters(self, channels: int) -> int:
        """Count the parameters of a layer of this many channels in and out."""
        return sum(p.numel() for p in self.layer(channels, channels).parameters())


_LAYERS: dict[str, Entry] = {}


def register(name: str, *, paper: str) -> Callable[[Layer], Layer]:
    """Class decorator: make a layer known by `name`; its docstring's first line sums it up."""

    def add(layer: Layer) -> Layer:
        summary = (layer.__doc__ or "").strip().split("\n")[0]
        _LAYERS[name] = Entry(layer, summary, paper)
        return layer

    return add


def layer_names() -> list[str]:
    """Return the names of all registered layers, sorted."""
    return sorted(_LAYERS)


def layer_entry(name: str) -> Entry:
    """Look a layer up.

    Raises:
        ValueError: if there is none of this name; the nearest one is suggested.
    """
    if name in _LAYERS:
        return _LAYERS[name]
    near = difflib.get_close_matches(name, _LAYERS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown layer {name!r}: {hint}Known layers: {', '.join(layer_names())}")
