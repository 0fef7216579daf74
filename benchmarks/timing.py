"""Time candidates side by side, print tables of ratios, and write results with the machine's name.

Candidates take turns, so that what else the machine does falls on all of them alike. Ratios
within a run mean something; times of different runs are not compared.

What is timed runs on the device that `measure_on` was told, and is built while it is PyTorch's
default. While it is timed it is not, since then every call of a function would pass through Python.
"""

import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
_device = torch.device("cpu")
ON_GPU = ("generation", "peers", "runtimes", "scans", "training_step")
"""Entries that can run on a GPU."""


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
    """Time each candidate for about so many seconds, at least `fewest` times, in turns.

    On a GPU, where a call takes a hundredth as long, it is a quarter of the seconds.
    """
    seconds *= 0.25 if _on_gpu() else 1
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    torch.set_default_device(None)
    for call in candidates.values():
        call()
    wait()
    waiting = dict(candidates)
    while waiting:
        for name, call in list(waiting.items()):
            start = time.perf_counter()
            call()
            wait()
            samples[name].append(time.perf_counter() - start)
            if sum(samples[name]) > seconds and len(samples[name]) >= fewest:
                del waiting[name]
    measure_on(_device)
    return {name: summary(values) for name, values in samples.items()}


def measure_on(device: torch.device) -> None:
    """Build what is measured from now on on this device."""
    global _device
    _device = device
    torch.set_default_device(None if device.type == "cpu" else device)


def wait() -> None:
    """Wait for a GPU to have done what it was given."""
    if _on_gpu():
        torch.cuda.synchronize()


def _on_gpu() -> bool:
    return _device.type == "cuda"


def graphed(call: Callable[[], object]) -> Callable[[], object]:
    """Return a call as a CUDA graph, which hands all its kernels to the GPU at once."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    replay: Callable[[], object] = graph.replay
    return replay


def seeded(seed: int) -> torch.Generator:
    """Return a source of random numbers on the device that is measured."""
    return torch.Generator(_device).manual_seed(seed)


def fastest() -> Literal["native", "triton"]:
    """Return the kernels that ops run on here: compiled ones, or a GPU's."""
    return "triton" if _on_gpu() else "native"


def summary(values: Sequence[float]) -> Timing:
    """Median and quartiles of some times."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Timing(median, low, high, len(values))


def peak_allocated(call: Callable[[], object]) -> int:
    """Return the most bytes that a call has allocated at one time, beside what was there before."""
    if _on_gpu():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
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


def machine() -> str:
    """The name of the processor, or the GPU, fit for a folder."""
    if _on_gpu():
        return _plain_name(torch.cuda.get_device_name())
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        name = found[1]
    family = torch.backends.cpu.get_cpu_capability()
    return _plain_name(f"{name} {family}")


def _plain_name(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-").lower()


def result_path(name: str) -> Path:
    """Where the results of an entry go: a folder named after the processor or the GPU."""
    path = RESULTS / machine() / f"{name}.json"
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
