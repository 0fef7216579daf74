"""Values of configurations: as their annotations say, or refused in words."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from framecast.base.errors import nearest

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

    Args:
        name: what a message calls the value.
        hint: the annotation.
        value: what was given.

    Raises:
        ValueError: if it is of another type; the message says which types are possible.
    """
    from jsonargparse import ArgumentError, ArgumentParser  # it takes a tenth of a second

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        if value is None and not takes_null(hint):
            raise ArgumentError(None, "null")
        return parser.parse_object({"value": value})["value"]
    except ArgumentError as error:
        given = "null" if value is None else value
        near = nearest(str(value), list(map(str, choices(hint))))
        raise ValueError(f"{name}: expected {in_words(hint)}, not {given}{near}") from error


def in_words(hint: Any) -> str:
    """Say what values an annotation allows."""
    if isinstance(hint, TypeVar):
        return in_words(hint.__bound__)
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin in (Union, UnionType):
        return " or ".join(map(in_words, parts))
    if origin is dict or hint is dict:
        return "keys and values"
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
