"""Strict load, override and dump of configurations that are dataclasses.

YAML and the command line are only transport: what a value means, and which values are
allowed, stands in the dataclass beside what it configures.
"""

import dataclasses
import difflib
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from framecast.errors import UserError

Config = TypeVar("Config")


def config_parser(kind: type[Config], **options: Any) -> ArgumentParser:
    """Build a parser with an option for every key of a configuration, with help from its docs.

    Args:
        kind: the dataclass, whose fields may be dataclasses.
        options: what `argparse.ArgumentParser` takes.
    """
    parser = ArgumentParser(exit_on_error=False, **options)
    parser.add_argument("--config", action="config", help="YAML file whose values come first")
    parser.add_class_arguments(kind)
    return parser


def load_config(
    kind: type[Config], file: Path | None, overrides: Sequence[str] = (), prog: str = "framecast"
) -> Config:
    """Read a configuration: defaults, then a YAML file, then overrides.

    Args:
        kind: the dataclass to build.
        file: YAML; None for the defaults.
        overrides: as on a command line: ["--training.epochs", "3"].
        prog: name of the program, for the help that `--help` among the overrides prints.

    Raises:
        UserError: for a key that does not exist (the nearest is suggested), or a value of
            the wrong type or out of range.
    """
    arguments = list(overrides)
    if file is not None:
        check_keys(kind, _read_yaml(file), str(file))
        arguments = ["--config", str(file), *arguments]
    parser = config_parser(kind, prog=prog)
    try:
        with redirect_stderr(io.StringIO()):
            parsed = parser.parse_args(arguments)
            fields = vars(parser.instantiate(parsed))
    except (ArgumentError, ValueError) as error:
        raise UserError(_readable(str(error), kind)) from error
    names = [f.name for f in dataclasses.fields(cast(Any, kind))]
    return kind(**{name: fields[name] for name in names})


def check_keys(kind: type, values: Any, where: str, prefix: str = "") -> None:
    """Raise a UserError for the first key of `values` that `kind` does not have."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {prefix or 'the file'} must be keys and values, not {values!r}")
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
    message = re.sub(r"<class '(\w+)'>", r"\1", message).replace("typing.Literal", "one of ")
    return " ".join(message.replace("Parser key", "key").split())
