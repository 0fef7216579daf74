"""A step over one long sequence whose time 1, 2 or 4 processes share: memory of each, and its time.

Every process has one thread. Where there are fewer cores than processes, they take turns, and the
time says what sharing costs and not what it gains. Memory is what a process held at most beyond
what it had before its steps; on Linux only.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.timing import print_table
from framecast.base.ranks import joined, make_mesh
from framecast.base.segments import part_time
from framecast.frames.batch import Batch
from framecast.models import Forecaster, ForecasterConfig
from framecast.runs.config import TrainingConfig
from framecast.train.allocator import kept_memory
from framecast.train.step import make_training

LAYERS = ("min_conv_gru", "conv_s5", "conv_ssm")
COUNTS = (1, 2, 4)
FRAMES = int(os.environ.get("FRAMES", "600"))
GRID = (32, 32)
STEPS = 3
"""Of which all but the first are timed."""
CPU = torch.device("cpu")


def run() -> dict[str, Any]:
    """All layers and numbers of processes, after a check that all learn the same."""
    rows = [row(layer, count) for layer in LAYERS for count in COUNTS]
    for layer in LAYERS:
        losses = [float(str(each["loss"])) for each in rows if each["layer"] == layer]
        np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    cores = len(os.sched_getaffinity(0))
    print_table(
        f"A step over {FRAMES} given frames, 2 layers of 16 channels, {GRID[0]}×{GRID[1]}, "
        f"batch 1, on {cores} cores",
        rows,
    )
    return {"steps": rows}


def row(layer: str, count: int) -> dict[str, object]:
    """Measure a layer in so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    shared |= {"WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.time_parallel", layer],
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [process.communicate()[0] for process in processes]
    measured = [json.loads(text) for text in said]
    return {
        "layer": layer,
        "processes": count,
        "memory of the largest": f"{max(m['mebibytes'] for m in measured):.0f} MiB",
        "step": f"{measured[0]['seconds']:.2f} s",
        "of which computing": f"{max(m['computing'] for m in measured):.2f} s",
        "loss": measured[0]["loss"],
    }


def measure(layer: str) -> dict[str, float]:
    """Make steps over the segment of this process."""
    torch.manual_seed(0)
    model = Forecaster(ForecasterConfig(layer=layer, depth=2, hidden=16), 1)
    config = TrainingConfig(context=FRAMES, horizon=1, precision=32)
    window = Batch(torch.randn(1, config.window, 1, *GRID))
    with joined(CPU) as ranks:
        mesh = make_mesh(ranks, ranks.count, CPU)
        segment = part_time(FRAMES, 0, mesh.time)
        if segment is not None:
            window = window.between(segment.frames.start, segment.frames.stop)
        training = make_training(model, config, mesh=mesh, segment=segment)
        before, seconds, computing = _peak(), [], []
        with kept_memory():
            for place in range(STEPS):
                start, used = time.perf_counter(), time.process_time()
                loss = training.learn((window,), 0, place, config.unrolling())
                seconds.append(time.perf_counter() - start)
                computing.append(time.process_time() - used)
    return {
        "mebibytes": _peak() - before,
        "seconds": median(seconds[1:]),
        "computing": median(computing[1:]),
        "loss": loss.mean().item(),
    }


def _peak() -> float:
    """Peak of resident memory so far, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
