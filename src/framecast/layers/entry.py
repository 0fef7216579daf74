"""The recurrent layers by name, with what is known of each."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from framecast.base.config import check_options
from framecast.base.registry import Registry
from framecast.layers.recurrence import Recurrence

Layer = TypeVar("Layer", bound=type[Recurrence])


@dataclass(frozen=True)
class LayerEntry:
    """A registered layer.

    Attributes:
        layer: its class, called as layer(in_channels, out_channels, kernel, padding, **options).
        paper: where it was published.
    """

    layer: Callable[..., Recurrence]
    paper: str = ""

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.layer.__doc__ or "").strip().split("\n")[0]

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


LAYERS = Registry("layer", "framecast.layers", LayerEntry)


def register(name: str, *, paper: str = "") -> Callable[[Layer], Layer]:
    """Class decorator: make a recurrent layer known by `name`."""
    return LAYERS.register(name, paper=paper)


def layer_names() -> list[str]:
    """Return the names of all registered layers, sorted."""
    return LAYERS.names()


def layer_entry(name: str) -> LayerEntry:
    """Look a layer up.

    Raises:
        UserError: if there is none of this name; the nearest one is suggested.
    """
    return LAYERS.find(name)
