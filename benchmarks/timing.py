"""Time candidates side by side, print tables of ratios, and write results with the machine's name.

Candidates take turns, so that what else the machine does falls on all of them alike. Ratios
within a run mean something; times of different runs are not compared.
"""

import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """Seconds of a call: the median of all repetitions, and their quartiles."""

    median: float
    low: float
    high: float
    repetitions: int

    def __str__(self) -> str:
        """Milliseconds, with the quartiles behind."""
        return f"{1e3 * self.median:.3g} ms ({1e3 * self.low:.3g}-{1e3 * self.high:.3g})"


def interleave(
    candidates: Mapping[str, Callable[[], object]], *, seconds: float = 2, fewest: int = 3
) -> dict[str, Timing]:
    """Time each candidate for about so many seconds, at least `fewest` times, in turns."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        call()
    waiting = dict(candidates)
    while waiting:
        for name, call in list(waiting.items()):
            start = time.perf_counter()
            call()
            samples[name].append(time.perf_counter() - start)
            if sum(samples[name]) > seconds and len(samples[name]) >= fewest:
                del waiting[name]
    return {name: summary(values) for name, values in samples.items()}


def summary(values: Sequence[float]) -> Timing:
    """Median and quartiles of some times."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Timing(median, low, high, len(values))


def peak_allocated(call: Callable[[], object]) -> int:
    """Return the most bytes that a call has allocated at one time, beside what was there before."""
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    now = peak = 0
    events = [x for x in profile.profiler.kineto_results.events() if x.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def print_table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """A table in the terminal, its columns the keys of the rows."""
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=200).print(table)


def processor() -> str:
    """The processor's name, fit for a folder."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        name = found[1]
    family = torch.backends.cpu.get_cpu_capability()
    return re.sub(r"[^\w.]+", "-", f"{name} {family}").strip("-").lower()


def result_path(name: str) -> Path:
    """Where the results of an entry go: a folder named after the processor."""
    path = RESULTS / processor() / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(name: str, results: Mapping[str, Any]) -> Path:
    """Write results beside what produced them; returns the file."""
    path = result_path(name)
    about = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
    }
    text = json.dumps({"about": about, **results}, indent=1, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _plain(value: object) -> object:
    return asdict(value) if isinstance(value, Timing) else str(value)
