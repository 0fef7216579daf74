"""Streams over 20,000 frames, and a server under load: neither time nor memory may grow.

The network is MinConvLSTM of the Navier-Stokes recipes, untrained, on 16×16. The stream loses a
frame now and then. The server runs in a process of its own and is called by eight at a time.
"""

import io
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch

from benchmarks.exporting import checkpoint_of
from benchmarks.timing import print_table
from framecast.forecast.predictor import Predictor
from framecast.forecast.standing import Now
from framecast.forecast.stream import Streamer

FRAMES, PARTS, SIDE = {1: 20_000, 16: 1_000}, 4, 16
"""Frames by the number of streams."""
HORIZON = 1
MISSING = 0.01
CALLERS, CALLS, GIVEN, STEPS = 8, 100, 20, 10


def run() -> dict[str, Any]:
    """The soak of streams, and the load of a server."""
    soaks = [soak(streams) for streams in FRAMES]
    print_table("Streams of frames: ms a frame in each quarter, MB of the process", soaks)
    loads = [load()]
    print_table(f"A server called by {CALLERS} at a time: {GIVEN} frames in, {STEPS} out", loads)
    return {"streams": soaks, "server": loads}


def soak(streams: int) -> dict[str, object]:
    """Push frames without end; return the time a frame and the memory by quarter."""
    streamer = Streamer(Predictor(checkpoint_of("min_conv_lstm", SIDE), "cpu"), HORIZON)
    random = torch.Generator().manual_seed(0)
    now: Now | None = None
    row: dict[str, object] = {"streams": streams, "frames": FRAMES[streams]}
    for part in range(1, PARTS + 1):
        times = []
        for _ in range(FRAMES[streams] // PARTS):
            frame = torch.randn(streams, 1, SIDE, SIDE, generator=random)
            if torch.rand((), generator=random) < MISSING:
                frame.fill_(torch.nan)
            begin = time.perf_counter()
            _, now = streamer.push(frame, now=now)
            times.append(time.perf_counter() - begin)
        row[f"quarter {part}"] = f"{1e3 * median(times):.2f} ms, {resident('self'):.0f} MB"
    return row


def load() -> dict[str, object]:
    """Call a server by many at a time; return requests a second, times and its memory."""
    body = io.BytesIO()
    np.save(body, np.random.default_rng(0).normal(size=(GIVEN, 1, SIDE, SIDE)).astype(np.float32))
    with server() as (address, process):
        call(address, body.getvalue())
        before, taken = resident(process), list[float]()
        begin = time.perf_counter()
        callers = [
            threading.Thread(target=calls, args=(address, body.getvalue(), taken))
            for _ in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        seconds = time.perf_counter() - begin
        return {
            "requests": len(taken),
            "a second": f"{len(taken) / seconds:.3g}",
            "median": f"{1e3 * median(taken):.3g} ms",
            "p99": f"{1e3 * quantiles(taken, n=100)[98]:.3g} ms",
            "MB before": f"{before:.0f}",
            "MB after": f"{resident(process):.0f}",
        }


def calls(address: str, body: bytes, taken: list[float]) -> None:
    """What one caller does."""
    for _ in range(CALLS):
        begin = time.perf_counter()
        call(address, body)
        taken.append(time.perf_counter() - begin)


def call(address: str, body: bytes) -> None:
    """Ask for a forecast."""
    with urllib.request.urlopen(f"{address}/forecast?steps={STEPS}", body, 60) as answer:
        assert np.load(io.BytesIO(answer.read())).shape == (STEPS, 1, SIDE, SIDE)


@contextmanager
def server() -> Iterator[tuple[str, int]]:
    """Yield the address and the process of a server."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint_of("min_conv_lstm", SIDE).save(Path(folder) / "best.safetensors")
        command = [sys.executable, "-m", "framecast", "serve", folder, "--port", "0"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        lines = (re.search(r"(http://127\S+)", line) for line in process.stderr)
        address = next(found[1] for found in lines if found)
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert json.load(answer)["status"] == "ok"
        yield address, process.pid
        process.terminate()
        process.communicate()


def resident(process: int | str) -> float:
    """MB of memory that a process holds."""
    told = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", told)
    assert found is not None
    return int(found[1]) / 1e3
