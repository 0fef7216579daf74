"""Values of configurations: as their annotations say, or refused in words."""

import inspect
from collections.abc import Mapping, Set
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from framecast.base.errors import nearest
from framecast.base.keys import is_section, takes_names

_ONE = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}
_MANY = {int: "whole numbers", float: "numbers", str: "texts", Path: "paths"}


def parse_value(name: str, hint: Any, value: Any) -> Any:
    """Return a value as its annotation says, from YAML or from text of a command line.

    A dataclass is built from names and values.

    Args:
        name: what a message calls the value.
        hint: the annotation.
        value: what was given.

    Raises:
        ValueError: if it is of another type; the message says which types are possible.
    """
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"{name}: {value!r} holds a NUL byte, which no name of a file may")
    for kind in filter(is_section, (hint, *get_args(hint))):
        if isinstance(value, Mapping):
            return _build(name, kind, value)
    if value is None and takes_null(hint):
        return None
    try:
        return _convert(hint, value)
    except ValueError as error:
        given = "null" if value is None else value
        near = nearest(str(value), list(map(str, choices(hint))))
        raise ValueError(f"{name}: expected {in_words(hint)}, not {given}{near}") from error


def check_options(
    kind: type, given: Mapping[str, Any], skip: Set[str] = frozenset()
) -> dict[str, Any]:
    """Check options against the constructor that will take them, and return them parsed.

    Args:
        kind: the class to build; its constructor's annotations say what it takes.
        given: names and values; what is not given keeps its default.
        skip: parameters of the constructor that are not options.

    Raises:
        ValueError: for a name that `kind` does not take (the nearest is suggested), or a value
            of the wrong type.
    """
    known = [name for name in inspect.signature(kind).parameters if name not in skip]
    for name in given:
        if name not in known:
            listed = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"no option {name!r}{nearest(name, known)}: {listed}")
    takes = inspect.signature(kind, eval_str=True).parameters if given else {}
    hints = {name: takes[name].annotation for name in given}
    untyped = inspect.Parameter.empty
    return {
        name: given[name] if hint is untyped else parse_value(name, hint, given[name])
        for name, hint in hints.items()
    }


def _convert(hint: Any, value: Any) -> Any:
    from jsonargparse import ArgumentError, ArgumentParser  # a tenth of a second, rarely needed

    if value is None:
        raise ValueError("null")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        return parser.parse_object({"value": value})["value"]
    except ArgumentError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _build(name: str, kind: type, value: Mapping[str, Any]) -> Any:
    try:
        return kind(**check_options(kind, value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def in_words(hint: Any) -> str:
    """Say what values an annotation allows."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin in (Union, UnionType):
        return " or ".join(map(in_words, parts))
    if is_section(hint) or takes_names(hint):
        return "names and values"
    if origin is not None and parts:
        return f"a list of {_MANY.get(parts[0], in_words(parts[0]))}"
    if hint in (None, NoneType):
        return "null"
    return _ONE.get(hint, getattr(hint, "__name__", str(hint)))


def choices(hint: Any) -> tuple[Any, ...]:
    """Return the values that an annotation lists one by one, if it does."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return tuple(value for part in get_args(hint) for value in choices(part))
    return ()


def takes_null(hint: Any) -> bool:
    """Return whether an annotation allows null."""
    return hint in (None, NoneType, Any) or any(
        takes_null(part) for part in get_args(hint) if get_origin(hint) in (Union, UnionType)
    )
