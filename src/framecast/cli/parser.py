"""The parser of a command: strict, with help that a person can read."""

import argparse
import re
from collections.abc import Collection, Sequence
from typing import Any, NoReturn, get_args

import yaml

from framecast.base.errors import UserError, nearest
from framecast.base.keys import (
    Key,
    describe_keys,
    describe_sections,
    former_options,
    keys_of,
    takes_names,
)
from framecast.base.values import choices
from framecast.cli.commands import COMMANDS


class HelpFormatter(argparse.HelpFormatter):
    """Help with room for names such as --data.validation_fraction."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


class CommandParser(argparse.ArgumentParser):
    """A parser whose mistakes are UserErrors, and whose unknown options name the nearest one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False, add_help=False, formatter_class=HelpFormatter, **options
        )
        self.add_argument("-h", "--help", action="help", help="show this help and exit")
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")
        self.mappings: list[str] = []
        self.former: dict[str, str] = {}

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments, after their names have been checked."""
        args = list(args or ())
        if self._subparsers is None:
            for word in args[: args.index("--") if "--" in args else None]:
                if word.startswith("--"):
                    self._check_name(word.split("=")[0])
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise a UserError in place of an exit."""
        raise UserError(message)

    def add_config(self, kind: type, common: Collection[str], everything: bool) -> None:
        """Add an option for every key of a configuration, explained by its docs.

        Args:
            kind: the dataclass, whose fields may be dataclasses.
            common: names of the keys that the short help shows, with one sentence each.
            everything: whether the help shows all keys, and all that is known of them.
        """
        keys = list(describe_keys(kind))
        if len(common) < len(keys):
            self.add_argument("--help-all", action="help", help="explain every key, in full")
        groups = {
            section: self.add_argument_group(f"{section}: {re.split('[,;.]', about)[0]}")
            for section, about in describe_sections(kind).items()
        }
        for key in keys:
            shown = everything or key.name in common
            groups.get(key.section, self).add_argument(
                f"--{key.name}",
                dest=key.name,
                metavar=_metavar(key),
                default=argparse.SUPPRESS,
                help=_explain(key, in_full=everything) if shown else argparse.SUPPRESS,
            )
            if takes_names(key.hint):
                self.mappings.append(key.name)
        self.former = former_options(kind)

    def _check_name(self, name: str) -> None:
        """Refuse an unknown option; learn one that belongs to a key that takes names."""
        if name in self._option_string_actions:
            return
        if name in self.former:
            raise UserError(f"{name} is called {self.former[name]} now")
        if any(name.startswith(f"--{key}.") for key in self.mappings):
            self.add_argument(
                name, dest=name[2:], default=argparse.SUPPRESS, help=argparse.SUPPRESS
            )
        else:
            known = nearest(name, list(self._option_string_actions))
            raise UserError(f"unknown option {name}{known}")


def command_parser(command: str, **options: Any) -> CommandParser:
    """Return the parser of a command, described as `framecast --help` describes it."""
    summary = COMMANDS[command].summary
    described = f"{summary[0].upper()}{summary[1:]}."
    return CommandParser(**{"prog": f"framecast {command}", "description": described} | options)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the device on which a network runs."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="device that the network runs on: cpu, cuda, cuda:1 or mps; auto takes a GPU where "
        "there is one (default: auto)",
    )


def overrides(kind: type, options: argparse.Namespace) -> dict[str, str]:
    """Return the texts of those options that are keys of a configuration, by their names."""
    keys = tuple(keys_of(kind))
    mappings = tuple(f"{key}." for key in keys)
    return {
        name: text
        for name, text in vars(options).items()
        if name in keys or name.startswith(mappings)
    }


def whole_number(text: str) -> int:
    """Return the whole number that a text stands for; a mistake is named in words."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, not {text}") from None


def number(text: str) -> float:
    """Return the number that a text stands for; a mistake is named in words."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, not {text}") from None


def one_or_many(paths: Sequence[str]) -> str | Sequence[str]:
    """Return the only one of several paths, which may be a pattern; or all of them."""
    return paths[0] if len(paths) == 1 else paths


def print_table(rows: dict[str, str]) -> None:
    """Print names and what is said of each, side by side."""
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")


_METAVARS = {int: "N", float: "X", bool: "true|false"}


def _metavar(key: Key) -> str:
    for hint in (key.hint, *get_args(key.hint)):
        if hint in _METAVARS:
            return _METAVARS[hint]
    return "{NAME: VALUE}" if takes_names(key.hint) else key.name.rpartition(".")[2].upper()


def _explain(key: Key, in_full: bool) -> str:
    """What the docs say of a key, in full or in one sentence, with its choices and default."""
    text = key.about if in_full else re.split(r"(?<=\.) (?=[A-Z])", key.about, maxsplit=1)[0]
    text = text.removesuffix(".")
    listed = [str(choice) for choice in choices(key.hint)]
    if not all(choice in text for choice in listed):
        text += f": one of {', '.join(listed)}"
    if takes_names(key.hint):
        text += f"; each also as --{key.name}.NAME VALUE"
    return f"{text} (default: {_as_yaml(key.default)})".replace("%", "%%")


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
