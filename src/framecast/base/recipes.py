"""Configuration files: the recipes by name, and what a file inherits from those it extends.

A recipe is a YAML file that is shipped with the package. Any YAML file may name another by the
key `extends`: a recipe, or a path relative to itself. It inherits the keys of that file and
changes those that it sets.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from framecast.base.errors import UserError, nearest
from framecast.base.texts import read_text, read_yaml

EXTENDS = "extends"
"""The key of a configuration file that names the file from which it inherits."""

_FOLDER = Path(__file__).parent.parent / "runs" / "recipes"


def recipes() -> dict[str, str]:
    """Return the names of all recipes, each with the comment on its first line.

    Files whose names begin with `_` are only there to be extended, and are no recipes.
    """
    files = sorted(_FOLDER.glob("[!_]*.yaml"))
    return {file.stem: _first_line(file).removeprefix("# ") for file in files}


def find_recipe(name: str) -> Path:
    """Return the file of a recipe or, where `name` is a file, that file.

    Raises:
        UserError: if there is neither; the nearest recipe is suggested.
    """
    if Path(name).is_file():
        return Path(name)
    if name not in recipes():
        own = Path(name) / "config.yaml"  # of a run
        hint = f"; {own} is a file" if own.is_file() else nearest(name, list(recipes()))
        raise UserError(
            f"{name} is neither a file nor a recipe{hint}. framecast recipes lists the recipes"
        )
    return _FOLDER / f"{name}.yaml"


def lineage(file: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return a file and all that it extends, the furthest first, each with the keys it sets.

    Raises:
        UserError: if a file cannot be read, extends what does not exist, or extends itself.
    """
    return list(_ancestors(file))[::-1]


def resolve(file: Path) -> dict[str, Any]:
    """Return all keys that a file sets or inherits.

    Raises:
        UserError: as `lineage`.
    """
    values: dict[str, Any] = {}
    for _, given in lineage(file):
        values = merge(values, given)
    return values


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`: mappings are merged key by key, all else is replaced.

    A change of a mapping to null takes away what was inherited.
    """
    merged = dict(base)
    for key, value in changes.items():
        inherited = merged.get(key)
        if isinstance(inherited, Mapping) and value is None:
            del merged[key]
        elif isinstance(inherited, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(inherited, value)
        else:
            merged[key] = value
    return merged


def print_recipe(file: Path) -> str:
    """Return the text of a configuration file with all that it inherits written out."""
    header = _first_line(file)
    sections = dict(sorted(resolve(file).items()))
    text = yaml.dump(sections, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return f"{header}\n{text}" if header.startswith("#") else text


def _ancestors(file: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    seen: list[Path] = []
    while True:
        if file.resolve() in seen:
            circle = " extends ".join(f.name for f in [*seen, file])
            raise UserError(f"{seen[0]}: extends goes round in a circle: {circle}")
        seen.append(file.resolve())
        values = _read_yaml(file)
        parent = values.pop(EXTENDS, None)
        yield file, values
        if parent is None:
            return
        file = _find_parent(parent, file)


def _find_parent(name: Any, heir: Path) -> Path:
    if not isinstance(name, str):
        raise UserError(f"{heir}: extends must be the name of a recipe or a file, not {name!r}")
    beside = heir.parent / name
    if beside.is_file():
        return beside
    if name not in recipes():
        raise UserError(
            f"{heir}: extends {name}, which is neither a file beside it nor a recipe"
            f"{nearest(name, list(recipes()))}"
        )
    return _FOLDER / f"{name}.yaml"


def _read_yaml(file: Path) -> dict[str, Any]:
    values = read_yaml(file) or {}
    if not isinstance(values, dict):
        raise UserError(f"{file}: the file must be keys and values, not {values!r}")
    return values


def _first_line(file: Path) -> str:
    return read_text(file).split("\n", 1)[0]


class _Dumper(yaml.SafeDumper):
    """Writes mappings a key a line, and lists in brackets."""


def _flow(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


_Dumper.add_representer(list, _flow)
