"""The keys of a configuration: their names, types and defaults, and what their docs say."""

import dataclasses
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, NamedTuple, TypeGuard, Union, get_args, get_origin, get_type_hints


class Key(NamedTuple):
    """A key of a configuration.

    Attributes:
        name: dotted, as on the command line.
        hint: the annotation of its values.
        default: its value where it is not set.
        about: what the Attributes of its dataclass say of it.
        section: name of the dataclass that holds it within the configuration; '' for its own.
    """

    name: str
    hint: Any
    default: Any
    about: str
    section: str


def describe_keys(kind: type, prefix: str = "", defaults: Any = None) -> Iterator[Key]:
    """Describe all keys of a configuration, in the order in which they are declared.

    Args:
        kind: the dataclass, whose fields may be dataclasses.
        prefix: of their names.
        defaults: an instance, whose values are the defaults; None for those of `kind`.
    """
    hints, about = get_type_hints(kind), describe_attributes(kind)
    defaults = kind() if defaults is None else defaults
    for field in dataclasses.fields(kind):
        hint, default = hints[field.name], getattr(defaults, field.name)
        if is_section(hint):
            yield from describe_keys(hint, f"{prefix}{field.name}.", default)
        else:
            name = f"{prefix}{field.name}"
            yield Key(name, hint, default, about.get(field.name, ""), prefix.rstrip("."))


def describe_sections(kind: type, prefix: str = "") -> dict[str, str]:
    """Return what the docs say of each section of a configuration, by its dotted name."""
    about, found = describe_attributes(kind), {}
    for name, hint in get_type_hints(kind).items():
        if is_section(hint):
            found[f"{prefix}{name}"] = about.get(name, "")
            found |= describe_sections(hint, f"{prefix}{name}.")
    return found


def describe_attributes(kind: type) -> dict[str, str]:
    """Return the descriptions in the Attributes section of a docstring, each on one line.

    A dataclass that extends another one has the descriptions of that too.
    """
    from docstring_parser import DocstringStyle, parse

    kinds = [one for one in reversed(kind.__mro__) if dataclasses.is_dataclass(one)]
    return {
        entry.arg_name: " ".join((entry.description or "").split())
        for one in kinds or [kind]
        for entry in parse(one.__doc__ or "", DocstringStyle.GOOGLE).params
    }


def keys_of(kind: type, prefix: str = "") -> list[str]:
    """Return the dotted names of all keys of a configuration."""
    keys = []
    for name, hint in get_type_hints(kind).items():
        if is_section(hint):
            keys += keys_of(hint, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def hint_of(kind: type, name: str) -> Any:
    """Return the annotation of a key, by its dotted name; None if there is no such key.

    A key that takes names of its own, such as `options`, has keys of any type below it.
    """
    first, _, rest = name.partition(".")
    hint = get_type_hints(kind).get(first)
    if is_section(hint):
        return hint_of(hint, rest) if rest else None
    if rest:
        return Any if takes_names(hint) else None
    return hint


def is_section(hint: Any) -> TypeGuard[type]:
    """Return whether an annotation is a dataclass, which has keys of its own."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def takes_names(hint: Any) -> bool:
    """Return whether values are mappings, whose names the dataclass does not know."""
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return True
    return origin in (Union, UnionType) and any(map(takes_names, get_args(hint)))


def former_options(kind: type) -> dict[str, str]:
    """Return the options that keys of a configuration had before, each with the present one."""
    found = {}
    for section, hint in get_type_hints(kind).items():
        if is_section(hint):
            for old, new in getattr(hint, "RENAMED", {}).items():
                found[f"--{section}.{old}"] = f"--{section}.{new}"
    return found
