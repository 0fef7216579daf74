"""Plain values, as JSON has them, into dataclasses: strictly, and without running any code.

The parser of configurations may import what a value names, which a file from a stranger must not
ask for; and it takes texts for numbers, which a file that a program wrote has no need of.
"""

import dataclasses
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from framecast.base.values import in_words

Kind = TypeVar("Kind")


def build(kind: type[Kind], value: Any, where: str) -> Kind:
    """Build a dataclass from a mapping of its fields, and those that it holds from theirs.

    Args:
        kind: the dataclass.
        value: what JSON gave: lists stand for tuples.
        where: what a message calls the value.

    Raises:
        ValueError: for a field that is missing, unknown, or of another type, by its name; or what
            the dataclass itself refuses.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be names and values, not {_shown(value)}")
    _check_names(kind, value, where)
    hints = get_type_hints(kind)
    built = {name: convert(hints[name], given, f"{where}.{name}") for name, given in value.items()}
    try:
        return kind(**built)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def convert(hint: Any, value: Any, where: str) -> Any:
    """Return a value as its annotation says.

    Args:
        hint: the annotation: a dataclass, a plain type, a tuple, a list, a mapping, a union or a
            choice of these.
        value: what JSON gave.
        where: what a message calls the value.

    Raises:
        ValueError: if it is of another type.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    if origin in (Union, UnionType):
        return _first_fitting(parts, hint, value, where)
    if origin is Literal and _is_one_of(value, parts):
        return value
    if origin in (tuple, list) and isinstance(value, list | tuple):
        return _sequence(hint, value, where)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {_text(k, where): convert(parts[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if hint in (int, float, str, bool, NoneType) and type(value) is hint:
        return value
    raise ValueError(f"{where} must be {in_words(hint)}, not {_shown(value)}")


def _check_names(kind: Any, given: Mapping[str, Any], where: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in given:
        if name not in fields:
            raise ValueError(f"{where}.{name} is unknown")
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and name not in given:
            raise ValueError(f"{where}.{name} is missing")


def _sequence(hint: Any, value: Any, where: str) -> Any:
    kind, parts = get_origin(hint), get_args(hint)
    if kind is list or parts[-1] is Ellipsis:
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise ValueError(f"{where} must have {len(parts)} entries, not {_shown(value)}")
    places = enumerate(zip(parts, value, strict=True))
    return kind(convert(part, v, f"{where}[{place}]") for place, (part, v) in places)


def _first_fitting(parts: tuple[Any, ...], hint: Any, value: Any, where: str) -> Any:
    for part in parts:
        try:
            return convert(part, value, where)
        except ValueError:
            continue
    raise ValueError(f"{where} must be {in_words(hint)}, not {_shown(value)}")


def _is_one_of(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in allowed)


def _text(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{where} must have texts for names, not {_shown(key)}")
    return key


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
