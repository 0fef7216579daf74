"""One look for all progress bars."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, total: int | None, show: bool = True) -> Iterator[Item]:
    """Yield `items`, showing how many of `total`, if known, are done; on a terminal only."""
    console = Console(file=sys.stderr)
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
        transient=True,
    )
    with bar:
        yield from bar.track(items, total=total)
