"""A table of texts, wherever it is shown."""

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """A table of texts; the first cell of each row names it.

    Attributes:
        title: what it shows.
        heads: of the columns.
        rows: of cells.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
