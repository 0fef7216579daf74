"""The recurrent layers by name, with what is known of each."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast, get_args

from framecast.base.config import check_options
from framecast.base.errors import UserError
from framecast.base.registry import Registry
from framecast.layers.recurrence import Recurrence

Layer = TypeVar("Layer", bound=type[Recurrence])

RENAMED = {
    "conv_lstm": {"start": "initialisation"},
    "conv_tt_lstm": {"steps": "history"},
    "conv_s5": {"clip": "stable"},
}
"""Older names of the options of each layer, and what they are called now."""
BECAME_OPTION = {"tt_conv_lstm": ("conv_lstm", "tensor_train")}
"""Older names of layers, each with the layer, and the option of it, that took its place."""


@dataclass(frozen=True)
class LayerEntry:
    """A registered layer.

    Attributes:
        layer: its class, called as layer(in_channels, out_channels, kernel, padding, **options).
        paper: where it was published.
        known_as: the name under which it was registered.
    """

    layer: Callable[..., Recurrence]
    paper: str = ""
    known_as: str = ""

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.layer.__doc__ or "").strip().split("\n")[0]

    @property
    def time_parallel(self) -> bool:
        """Whether several processes can share the time of a sequence (see `Recurrence`)."""
        return bool(getattr(self.layer, "time_parallel", False))

    def options(self) -> list[inspect.Parameter]:
        """Return the settings of this layer alone: its constructor's keyword-only parameters."""
        return _keywords(self.layer)

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return options parsed as the constructor's annotations say.

        Raises:
            ValueError: for a name that is not one of `options`, or a value of the wrong type. A
                name that the layer once knew is told what it is called now.
        """
        for old, new in RENAMED.get(self.known_as, {}).items():
            if old in given:
                raise ValueError(f"no option {old!r}: it is called {new}")
        return check_keywords(cast(type, self.layer), given)

    def parameters(self, channels: int) -> int:
        """Count the parameters of a layer of this many channels in and out."""
        return sum(p.numel() for p in self.layer(channels, channels).parameters())


LAYERS = Registry("layer", "framecast.layers", LayerEntry)


def register(name: str, *, paper: str = "") -> Callable[[Layer], Layer]:
    """Class decorator: make a recurrent layer known by `name`."""
    return LAYERS.register(name, paper=paper, known_as=name)


def layer_names() -> list[str]:
    """Return the names of all registered layers, sorted."""
    return LAYERS.names()


def layer_entry(name: str) -> LayerEntry:
    """Look a layer up.

    Raises:
        UserError: if there is none of this name; the nearest one is suggested, or the one that
            took its place.
    """
    if name in BECAME_OPTION:
        layer, option = BECAME_OPTION[name]
        raise UserError(f"no layer {name!r}: it is layer {layer} with its option {option}")
    return LAYERS.find(name)


def renamed_options(layer_name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and options of a layer as they are called now.

    Args:
        layer_name: of a layer, perhaps an older one.
        options: of this layer, perhaps by their older names.
    """
    if layer_name in BECAME_OPTION:
        layer, option = BECAME_OPTION[layer_name]
        return layer, {option: dict(options)}
    names = RENAMED.get(layer_name, {})
    return layer_name, {names.get(name, name): value for name, value in options.items()}


def check_keywords(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check options against the keyword-only parameters of a constructor; return them parsed.

    An option that is a dataclass is given by its names and values.

    Args:
        kind: the class to build.
        given: names and values; what is not given keeps its default.

    Raises:
        ValueError: for a name that `kind` does not take (the nearest is suggested), or a value
            of the wrong type or out of the range that a dataclass checks.
    """
    keywords = {p.name: p for p in _keywords(kind)}
    others = set(inspect.signature(kind).parameters) - set(keywords)
    built = {name: _built(keywords.get(name), value) for name, value in given.items()}
    return check_options(kind, built, others)


def _keywords(kind: Callable[..., Any]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(kind).parameters.values() if p.kind is p.KEYWORD_ONLY]


def _built(parameter: inspect.Parameter | None, value: Any) -> Any:
    """Build the dataclass that a parameter takes, if it takes one and is given its values."""
    if parameter is None or not isinstance(value, Mapping):
        return value
    for kind in (parameter.annotation, *get_args(parameter.annotation)):
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            try:
                return kind(**check_options(kind, value))
            except ValueError as error:
                raise ValueError(f"{parameter.name}: {error}") from error
    return value
