"""How time and memory of a gated scan, forward and backward, grow with T and with the grid.

A step of min_gru_scan in float32, 64 channels, batch 1, beside the published log-domain form
where that fits in memory. "peak / needed" is the peak of allocated memory beside inputs,
outputs and their gradients.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from matplotlib.figure import Figure

from benchmarks.scans import gated_inputs, step
from benchmarks.timing import interleave, peak_allocated, print_table
from framecast import ops
from framecast.ops.scan import log_domain
from framecast.train.allocator import kept_memory

LENGTHS = (10, 20, 50, 100, 200, 500, 1000, 2000)
GRIDS = (8, 16, 32, 64, 128, 256)
CHANNELS = 64
MOST_NUMBERS = 64 * 1024 * 200
"""Numbers in a sequence for which the log-domain form, with all it keeps, is still run."""


def run() -> dict[str, Any]:
    """Rows for each length and for each grid; the scans agree by the gate of `scans`."""
    with one_thread():
        length = [row("T", time, (1, time, CHANNELS, 32, 32)) for time in LENGTHS]
        grid = [row("grid", side, (1, 20, CHANNELS, side, side)) for side in GRIDS]
    print_table("Growth with the length of the sequence, 32x32", length)
    print_table("Growth with the grid, 20 frames", grid)
    return {"length": length, "grid": grid}


def row(varied: str, value: int, shape: Sequence[int]) -> dict[str, object]:
    """Times and memory at one shape [B,T,C,H,W]."""
    numbers = math.prod(shape)
    inputs = gated_inputs("min_gru_scan", shape, torch.float32)
    call = step(ops.min_gru_scan, inputs)
    with kept_memory():
        native = interleave({"native": call}, seconds=1)["native"]
    held = sum(x.nbytes for x in inputs) + 4 * numbers  # inputs, and the gradient of the output
    row = {
        varied: value,
        "native": native,
        "ns a number": f"{1e9 * native.median / numbers:.2f}",
        "peak / needed": f"{(held + peak_allocated(call)) / (2 * held):.3f}",
        "log-domain": "",
        "log-domain / native": "",
    }
    if numbers <= MOST_NUMBERS:
        published = step(log_domain.min_gru_scan, inputs)
        timing = interleave({"log-domain": published}, seconds=1)["log-domain"]
        ratio = f"{timing.median / native.median:.0f}"
        row |= {"log-domain": timing, "log-domain / native": ratio}
    return row


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
