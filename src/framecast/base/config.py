"""Strict load, override and dump of configurations that are dataclasses.

YAML and the command line are only transport: what a value means, and which values are
allowed, stands in the dataclass beside what it configures.
"""

import argparse
import dataclasses
import difflib
import inspect
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from framecast.base.errors import UserError

Config = TypeVar("Config")


def load_config(kind: type[Config], file: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration: defaults, then a YAML file, then overrides.

    Args:
        kind: the dataclass to build.
        file: YAML; None for the defaults.
        overrides: as on a command line: ["--training.epochs", "3"].

    Raises:
        UserError: for a key that does not exist (the nearest is suggested), or a value of
            the wrong type or out of range.
    """
    return parse_config(kind, config_parser(kind), overrides, file)[0]


def config_parser(kind: type, **options: Any) -> ArgumentParser:
    """Build a parser with an option for every key of a configuration, explained by its docs.

    Args:
        kind: the dataclass, whose fields may be dataclasses.
        options: what `argparse.ArgumentParser` takes.
    """
    parser = ArgumentParser(exit_on_error=False, print_config=None, **options)
    parser.add_argument("--config", action="config", help=argparse.SUPPRESS)
    parser.add_class_arguments(kind)
    return parser


def parse_config(
    kind: type[Config], parser: ArgumentParser, arguments: Sequence[str], file: Path | None = None
) -> tuple[Config, Namespace]:
    """Parse arguments; return the configuration, and what else the parser was told to take.

    Args:
        kind: the dataclass to build.
        parser: made by `config_parser`, perhaps with arguments of its own.
        arguments: of the command line.
        file: YAML whose values stand in for the defaults.

    Raises:
        UserError: as `load_config`.
    """
    if file is not None:
        check_keys(kind, _read_yaml(file), str(file))
        arguments = ["--config", str(file), *arguments]
    options = parse_arguments(kind, parser, arguments)
    try:
        built = vars(parser.instantiate(options))
        fields = dataclasses.fields(cast(Any, kind))
        return kind(**{field.name: built[field.name] for field in fields}), options
    except (ArgumentError, ValueError) as error:
        raise UserError(_readable(str(error), kind)) from error


def parse_arguments(kind: type, parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parse arguments, and build nothing: values that fit a file may not fit the defaults.

    Raises:
        UserError: for an argument that is unknown or of the wrong type.
    """
    try:
        return parser.parse_args(list(arguments))
    except (ArgumentError, ValueError) as error:
        raise UserError(_readable(str(error), kind)) from error


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
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"no option {name!r}{nearest(name, known)}: {takes}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip=set(skip))
    try:
        parsed = vars(parser.parse_object(dict(given)))
    except ArgumentError as error:
        raise ValueError(_plain(str(error))) from error
    return {name: parsed[name] for name in given}


def check_keys(kind: type, values: Any, where: str, prefix: str = "") -> None:
    """Raise a UserError for the first key of `values` that `kind` does not have."""
    if not isinstance(values, Mapping):
        raise UserError(
            f"{where}: {prefix[:-1] or 'the file'} must be keys and values, not {values!r}"
        )
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            near = nearest(f"{prefix}{key}", keys_of(kind, prefix))
            raise UserError(f"{where}: unknown key {prefix}{key}{near}")
        if dataclasses.is_dataclass(hints[key]):
            check_keys(cast(type, hints[key]), value, where, f"{prefix}{key}.")


def keys_of(kind: type, prefix: str = "") -> list[str]:
    """Return the dotted names of all keys of a configuration."""
    keys = []
    for name, hint in get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            keys += keys_of(cast(type, hint), f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ' (did you mean ...?)' with the nearest known name, or '' if none is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def dump_config(config: Any) -> str:
    """Write a configuration as YAML, every key with its value."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)


def _read_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read as YAML: {error}") from error


def _readable(message: str, kind: type) -> str:
    """Name the nearest option beside one that is not known, and types as a person would."""
    unknown = re.search(r"unrecognized arguments: --(\S+)", message, re.IGNORECASE)
    if unknown:
        return f"unknown option --{unknown[1]}{nearest(unknown[1], keys_of(kind))}"
    return _plain(message)


def _plain(message: str) -> str:
    """Put what jsonargparse says of a value into a sentence."""
    message = re.sub(r"<class '(\w+)'>", r"\1", message).replace("typing.Literal", "one of ")
    message = " ".join(message.replace("Parser key", "key").split())
    union = re.fullmatch(
        r"(.*) Does not validate against any of the Union subtypes Subtypes: \[(.*)\] "
        r"Errors: .* Given value type: \w+ Given value: (.*)",
        message,
    )
    if not union:
        return message
    return f"{union[1]} Expected {union[2].replace(', ', ' or ')}. Got value: {union[3]}"
