"""The recurrent layers by name: what configs choose from, and what the tests run over."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from framecast.config import check_options
from framecast.models.recurrence import Recurrence

Layer = TypeVar("Layer", bound=type[Recurrence])


class Entry(NamedTuple):
    """A registered layer: layer(in_channels, out_channels, kernel, padding, **options)."""

    layer: Callable[..., Recurrence]
    summary: str
    paper: str

    def options(self) -> list[inspect.Parameter]:
        """Return the settings of this layer alone: its constructor's keyword-only parameters."""
        return [p for p in self._signature() if p.kind is p.KEYWORD_ONLY]

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return options parsed as the constructor's annotations say.

        Raises:
            ValueError: for a name that is not one of `options`, or a value of the wrong type.
        """
        common = {p.name for p in self._signature() if p.kind is not p.KEYWORD_ONLY}
        return check_options(cast(type, self.layer), given, common)

    def parameters(self, channels: int) -> int:
        """Count the parameters of a layer of this many channels in and out."""
        return sum(p.numel() for p in self.layer(channels, channels).parameters())

    def _signature(self) -> list[inspect.Parameter]:
        return list(inspect.signature(self.layer).parameters.values())


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
