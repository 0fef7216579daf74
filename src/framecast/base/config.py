"""Strict load, override and dump of configurations that are dataclasses.

YAML and the command line are only transport: what a value means, and which values are
allowed, stands in the dataclass beside what it configures.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar, cast, get_type_hints

import yaml

from framecast.base.errors import UserError, nearest
from framecast.base.keys import hint_of, is_section, keys_of
from framecast.base.recipes import EXTENDS, lineage, merge
from framecast.base.values import check_options, parse_value

__all__ = [
    "check_keys",
    "check_options",
    "checked",
    "dump_config",
    "keys_of",
    "load_config",
    "nearest",
]

Config = TypeVar("Config")


def load_config(
    kind: type[Config], file: Path | None, overrides: Sequence[str] | Mapping[str, str] = ()
) -> Config:
    """Read a configuration: defaults, then a YAML file and what it extends, then overrides.

    Args:
        kind: the dataclass to build.
        file: YAML; None for the defaults.
        overrides: as on a command line, ["--training.epochs", "3"]; or texts by the names of
            their keys, {"training.epochs": "3"}.

    Raises:
        UserError: for a key that does not exist (the nearest is suggested), or a value of
            the wrong type or out of range.
    """
    values: dict[str, Any] = {}
    for source, given in lineage(file) if file is not None else []:
        check_keys(kind, given, str(source))
        values = merge(values, given)
    if not isinstance(overrides, Mapping):
        overrides = _pairs(overrides)
    try:
        for name, text in overrides.items():
            _override(kind, values, name, text)
        return _build(kind, values)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error


def check_keys(kind: type, values: Any, where: str, prefix: str = "") -> None:
    """Raise a UserError for the first key of `values` that `kind` does not have."""
    if not isinstance(values, Mapping):
        raise UserError(
            f"{where}: {prefix[:-1] or 'the file'} must be keys and values, not {values!r}"
        )
    hints = get_type_hints(kind)
    for key, value in values.items():
        _check_former(kind, key, value, f"{where}: {prefix}")
        if key not in hints:
            known = [*keys_of(kind, prefix), *([] if prefix else [EXTENDS])]
            raise UserError(f"{where}: unknown key {prefix}{key}{nearest(f'{prefix}{key}', known)}")
        if is_section(hints[key]):
            check_keys(hints[key], value, where, f"{prefix}{key}.")


def _check_former(kind: type, key: str, value: Any, where: str) -> None:
    """Raise a UserError that says the present name of a key, or of a value, that had another."""
    if key in (renamed := getattr(kind, "RENAMED", {})):
        raise UserError(f"{where}{key} is called {renamed[key]} now")
    former = getattr(kind, "RENAMED_VALUES", {}).get(key, {})
    if isinstance(value, str) and value in former:
        raise UserError(f"{where}{key} {value} is called {former[value]} now")


def checked(config: Config) -> Config:
    """Return a configuration that was made in Python as it is when it is read from a file.

    Numbers of NumPy become Python's, paths texts, and tuples what the keys are annotated with.

    Args:
        config: a dataclass of dataclasses.

    Raises:
        UserError: for a value of the wrong type.
    """
    try:
        return _build(type(config), _plain(dataclasses.asdict(cast(Any, config))))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error


def _plain(value: Any) -> Any:
    """Values as YAML knows them."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, PurePath):
        return str(value)
    return value.item() if hasattr(value, "item") else value  # a number of NumPy


def dump_config(config: Any) -> str:
    """Write a configuration as YAML, every key with its value."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)


def _pairs(arguments: Sequence[str]) -> dict[str, str]:
    """Turn ["--key", "value", "--other=value"] into texts by key."""
    pairs: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, given, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or (not given and (text := next(words, "--")) == "--"):
            raise UserError(f"overrides are --KEY VALUE, but {word} is not, or has no value")
        pairs[name] = text
    return pairs


def _override(kind: type, values: dict[str, Any], name: str, text: str) -> None:
    """Set the value of a key, or of a name within a key that takes names of its own."""
    section, _, key = name.partition(".")
    holder = get_type_hints(kind).get(section)
    if is_section(holder):
        _check_former(holder, key, text, f"--{section}.")
    hint = hint_of(kind, name)
    if hint is None:
        raise UserError(f"unknown option --{name}{nearest(f'--{name}', _options(kind))}")
    *path, last = name.split(".")
    for part in path:
        values[part] = dict(values.get(part) or {})
        values = values[part]
    values[last] = parse_value(name, hint, text)


def _options(kind: type) -> list[str]:
    return [f"--{key}" for key in keys_of(kind)]


def _build(kind: type[Config], values: Mapping[str, Any], prefix: str = "") -> Config:
    hints = get_type_hints(kind)
    given = {
        name: _build(hints[name], value, f"{prefix}{name}.")
        if is_section(hints[name])
        else parse_value(f"{prefix}{name}", hints[name], value)
        for name, value in values.items()
    }
    return kind(**given)
