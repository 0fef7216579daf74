"""Small text files, read within limits: a file from a stranger may be anything."""

from pathlib import Path
from typing import Any

import yaml
from yaml.error import MarkedYAMLError

from framecast.base.errors import UserError

LARGEST = 1 << 20
"""Bytes of a text file that is read whole."""
MERGE = "tag:yaml.org,2002:merge"
"""Of the key << in YAML, which takes over the keys of other mappings."""
MOST_VALUES = 100_000
"""Values in a YAML file, once its aliases (*name) are written out."""


def read_text(path: Path, what: str = "a text file") -> str:
    """Read a text file.

    Raises:
        UserError: if it is no regular file (a pipe would be waited for), too large, or no UTF-8.
    """
    try:
        if not path.is_file():
            raise UserError(f"{path} is not a regular file")
        if (size := path.stat().st_size) > LARGEST:
            raise UserError(f"{path} has {size:,} bytes: too large for {what}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as {what}: {error}") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file, without running any code of it.

    Raises:
        UserError: as `read_text`; or if it is no YAML, gives a key twice, is nested too deeply, or
            holds itself or too much by way of aliases.
    """
    return parse_yaml(read_text(path, "YAML"), path)


def parse_yaml(text: str, path: Path) -> Any:
    """Read YAML from the text of a file, as `read_yaml` does."""
    try:
        content = yaml.load(text, Loader=_Loader)
        count = _count(content, {})
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path} cannot be read as YAML: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path} cannot be read as YAML: it is nested too deeply") from error
    if count > MOST_VALUES:
        raise UserError(
            f"{path} holds {count:,} values once its aliases are written out, more than "
            f"{MOST_VALUES:,}: no configuration needs so many"
        )
    return content


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping gives twice, of which YAML's own loader forgets the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read a mapping as it stands in the file, and refuse keys that are given twice.

        Once values are made of it, merging (<<) may have added keys to those of the file.
        """
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            before = first.setdefault((key.tag, key.value), key.start_mark)
            if before is not key.start_mark:
                raise MarkedYAMLError(
                    problem=f"the key {key.value} is given twice, in line {before.line + 1} and "
                    f"in line {key.start_mark.line + 1}: keep one of them",
                    problem_mark=key.start_mark,
                )
        return node


def _count(content: Any, known: dict[int, int]) -> int:
    """Count values, each as often as an alias repeats it; RecursionError if one holds itself."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        parts = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(content)]
