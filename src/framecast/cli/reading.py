"""The keys of data that say how frames are read which no run knows: inputs of baselines, truths."""

import argparse
from collections.abc import Collection
from dataclasses import dataclass, field

from framecast.base.config import load_config
from framecast.base.errors import UserError
from framecast.cli.parser import CommandParser, overrides
from framecast.datasets.config import ARRANGED, DataConfig
from framecast.readers.selection import Selection

_KEYS = ("variables", "missing", "irregular", *ARRANGED)
"""Those that can be said here: nothing is learned, and no channel has another role."""


@dataclass(frozen=True)
class _Read:
    """How frames are read.

    Attributes:
        data: frames that no run reads, such as the input of a baseline, or a truth.
    """

    data: DataConfig = field(default_factory=DataConfig)


def add_reading(parser: CommandParser, common: Collection[str], everything: bool) -> None:
    """Add the keys of data; the short help explains those in common, by their dotted names."""
    parser.add_config(_Read, common, everything)


def add_caching(parser: CommandParser) -> None:
    """Add the option that asks for the cache, where no key of data does."""
    parser.add_argument(
        "--cache",
        action="store_true",
        help="write data that are slow to read into the cache once, and read them from there, as "
        "training with data.cache does",
    )


def read_selection(options: argparse.Namespace) -> Selection | None:
    """Return how frames are to be read; None where nothing is said.

    Raises:
        UserError: for a key that would change nothing here.
    """
    given = overrides(_Read, options)
    for key in given:
        if key.split(".")[1] not in _KEYS:
            raise UserError(
                f"--{key} is not read here: of data, {', '.join(_KEYS)} say how frames are read"
            )
    return load_config(_Read, None, given).data.selection if given else None
