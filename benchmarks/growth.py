"""How time and memory of a gated scan, forward and backward, grow with T and with the grid.

A step of min_gru_scan in float32, 64 channels, batch 1, beside the published log-domain form
where that fits in memory. "peak / needed" is the peak of allocated memory beside inputs,
outputs and their gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.scans import KeptMemory, gated_inputs, step
from benchmarks.timing import interleave, peak_allocated, print_table
from framecast import ops
from framecast.ops import log_domain

LENGTHS = (10, 20, 50, 100, 200, 500, 1000, 2000)
GRIDS = (8, 16, 32, 64, 128, 256)
CHANNELS = 64
MOST_NUMBERS = 64 * 1024 * 200
"""Numbers in a sequence for which the log-domain form, with all it keeps, is still run."""


def run() -> dict[str, Any]:
    """Rows for each length and for each grid; the scans agree by the gate of `scans`."""
    with KeptMemory(), one_thread():
        length = [row("T", (1, time, CHANNELS, 32, 32)) for time in LENGTHS]
        grid = [row("grid", (1, 20, CHANNELS, side, side)) for side in GRIDS]
    print_table("Growth with the length of the sequence, 32x32", length)
    print_table("Growth with the grid, 20 frames", grid)
    return {"length": length, "grid": grid}


def row(varied: str, shape: Sequence[int]) -> dict[str, object]:
    """Times and memory at one shape [B,T,C,H,W], on one thread."""
    _, time, channels, height, width = shape
    inputs = gated_inputs("min_gru_scan", shape, torch.float32)
    candidates = {"native": step(ops.min_gru_scan, inputs)}
    numbers = time * channels * height * width
    if numbers <= MOST_NUMBERS:
        candidates["log-domain"] = step(log_domain.min_gru_scan, inputs)
    times = interleave(candidates, seconds=1)
    return {
        varied: time if varied == "T" else height,
        "native": times["native"],
        "ns a number": round(1e9 * times["native"].median / numbers, 3),
        "peak / needed": f"{peak_memory(ops.min_gru_scan, inputs):.3f}",
        "log-domain": times.get("log-domain", ""),
        "log-domain / native": (
            f"{times['log-domain'].median / times['native'].median:.0f}"
            if "log-domain" in times
            else ""
        ),
    }


def peak_memory(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> float:
    """Peak of a step's allocated memory beside inputs, outputs and their gradients."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    needed = 2 * sum(x.nbytes for x in leaves)
    sizes = []

    def both_ways() -> None:
        h = function(*leaves)
        sizes.append(h.nbytes)
        torch.autograd.grad(h, leaves, torch.ones_like(h))

    peak = sum(x.nbytes for x in leaves) + peak_allocated(both_ways)
    return peak / (needed + 2 * sizes[0])


def plot(results: dict[str, Any]) -> Figure:
    """Time against length and against grid, both logarithmic: a line of slope one is linear."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    sides = figure.subplots(1, 2)
    panels = (("length", "T", "frames"), ("grid", "grid", "cells along a side"))
    for axes, (name, varied, label) in zip(sides, panels, strict=True):
        for kernel in ("native", "log-domain"):
            points = [(r[varied], r[kernel].median) for r in results[name] if r[kernel] != ""]
            axes.loglog(*zip(*points, strict=True), marker="o", label=kernel)
        axes.set(xlabel=label, ylabel="seconds a step, one thread")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


@contextmanager
def one_thread() -> Iterator[None]:
    """While it is open, no time is spent on waiting for other threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
