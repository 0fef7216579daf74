"""The one progress bar: on a terminal a bar, elsewhere nothing."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")


class Bar:
    """A bar on stderr, with how many are done a second, words beside it, and lines above it.

    Attributes:
        shown: whether there is a bar: the output is a terminal, and one was wanted.
    """

    def __init__(self, display: "Progress", console: "Console", unit: str) -> None:
        self._display, self._console, self._unit = display, console, unit
        self._begun: dict[Any, tuple[float, int]] = {}
        self.shown = not display.disable

    def begin(self, what: str, total: int | None, done: int = 0) -> "TaskID":
        """Add a bar for `total` items, `done` of which are done; None if nobody knows how many."""
        task = self._display.add_task(what, total=total, completed=done, words="")
        self._begun[task] = (time.perf_counter(), done)
        return task

    def advance(
        self, task: "TaskID", count: int = 1, what: str | None = None, words: str = ""
    ) -> None:
        """Count more items as done, and say what is done now; `words` take the rate's place."""
        self._display.advance(task, count)
        begun, before = self._begun[task]
        done = int(self._display.tasks[task].completed)
        if self._unit and not words:
            words = f"{(done - before) / (time.perf_counter() - begun):.1f} {self._unit}"
        self._display.update(task, description=what, words=words)

    def say(self, line: str) -> None:
        """Print a line above the bar, or alone where there is none."""
        self._console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def open_bar(unit: str = "", show: bool = True) -> Iterator[Bar]:
    """Open a progress bar; it is left as it stands where more than a moment was spent in it.

    Args:
        unit: what the number beside the bar counts, such as samples/s; empty for no number.
        show: whether to show a bar on a terminal.
    """
    # Rich takes a tenth of a second to import, which a command without a bar need not pay.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr)
    display = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
    )
    with display:
        yield Bar(display, console, unit)


def track(items: Iterable[Item], what: str, total: int | None, show: bool = True) -> Iterator[Item]:
    """Yield `items`, showing how many of `total`, if known, are done; on a terminal only."""
    with open_bar(show=show) as bar:
        task = bar.begin(what, total)
        for item in items:
            yield item
            bar.advance(task)
