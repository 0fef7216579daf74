"""Frames a second that each writer of forecasts takes in, each beside the limit of what it does.

The frames are there already. For numbers the limit is to copy the same bytes into a file, and for
pictures it is the codec alone, on pictures that are drawn already. Files go into the folder for
temporary files, and the system keeps them in memory where it can: what is timed is the work, not
the disk.
"""

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import print_table
from framecast.forecast.writers import ForecastLabels, open_writer
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.frames import Frames
from framecast.readers.open import read_frames

GRIDS = ((64, 64), (256, 256))
STEPS = 200
PICTURES = 40
"""Steps of the writers of pictures, which are slower."""
TURNS = 3
NUMBERS = (".nc", ".zarr", ".npz")


def run() -> dict[str, Any]:
    """A row for each writer and grid, after the gate."""
    check()
    rows = [
        row(suffix, grid, kind)
        for grid in GRIDS
        for suffix, kind in (
            *((suffix, "a field") for suffix in NUMBERS),
            *((suffix, kind) for suffix in (".gif", ".mp4") for kind in ("a field", "a video")),
        )
    ]
    print_table("Frames a second that writers take in", rows)
    return {"writing": rows}


def check() -> None:
    """What is written is what was forecast."""
    labels, frames = forecast("a field", (8, 8), 5)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in NUMBERS:
            path = Path(folder) / f"f{suffix}"
            write(path, labels, frames)
            written = read_frames(path).values[0, 0:5].reshape(5, 8, 8)
            torch.testing.assert_close(written, torch.stack(frames).reshape(5, 8, 8))


def row(suffix: str, grid: tuple[int, int], kind: str) -> dict[str, object]:
    """Measure a writer beside its limit, in turns."""
    numbers = suffix in NUMBERS
    labels, frames = forecast(kind, grid, STEPS if numbers else PICTURES)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"f{suffix}"
        calls: dict[str, Callable[[], object]] = {
            "writer": lambda: write(path, labels, frames),
            "limit": lambda: copy(Path(name) / f"limit{suffix}", frames),
        }
        if not numbers:
            write(path, labels, frames)
            with av.open(path) as file:
                shape = file.streams.video[0].height, file.streams.video[0].width
            calls["limit"] = lambda: encode(Path(name) / f"limit{suffix}", frames, shape)
        taken: dict[str, list[float]] = {each: [] for each in calls}
        for _ in range(TURNS):
            for each, call in calls.items():
                start = time.perf_counter()
                call()
                taken[each].append(time.perf_counter() - start)
    rate, most = (len(frames) / median(taken[each]) for each in ("writer", "limit"))
    return {
        "writer": suffix,
        "of": kind,
        "grid": f"{grid[0]}×{grid[1]}",
        "frames a second": f"{rate:,.0f}",
        "limit": f"{most:,.0f} ({'copying the bytes' if numbers else 'the codec alone'})",
        "share of the limit": f"{rate / most:.2f}",
    }


def forecast(kind: str, grid: tuple[int, int], steps: int) -> tuple[ForecastLabels, list[Tensor]]:
    """Labels, and frames [M,N,S,C,H,W] of each lead."""
    random = torch.Generator().manual_seed(0)
    times = np.datetime64("2020-01-01", "ns") + np.arange(3 + steps) * np.timedelta64(1, "h")
    video = Channel("grey", {"valid_range": (0.0, 1.0)})
    channel = video if kind == "a video" else Channel("t", {"units": "K"})
    past = torch.rand(1, 1, 3, 1, *grid, generator=random)
    seen = Frames(past[0], (channel,), coordinates={"time": Coordinate(("time",), times[:3])})
    labels = ForecastLabels(seen, np.array([2]), times[None, 3:], (channel,))
    return labels, list(torch.rand(steps, 1, 1, 1, 1, *grid, generator=random))


def write(path: Path, labels: ForecastLabels, frames: list[Tensor]) -> None:
    """Write all frames as `framecast forecast` does."""
    with open_writer(path, labels, overwrite=True) as writer:
        for frame in frames:
            writer(frame)


def copy(path: Path, frames: list[Tensor]) -> None:
    """Copy the bytes of the frames into a file."""
    with path.open("wb") as file:
        for frame in frames:
            file.write(frame.numpy().tobytes())


def encode(path: Path, frames: list[Tensor], shape: tuple[int, int]) -> None:
    """Encode as many pictures of a size, all alike in what the codec has to do."""
    gif = path.suffix == ".gif"
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    with av.open(path, "w", format="gif" if gif else "mp4") as file:
        stream: Any = file.add_stream("gif" if gif else "h264", rate=Fraction(10))
        stream.height, stream.width = shape
        stream.pix_fmt = "rgb8" if gif else "yuv420p"
        for place in range(len(frames)):
            shown = av.VideoFrame.from_ndarray(np.roll(picture, place, 0), "rgb24")
            file.mux(stream.encode(shown))
        file.mux(stream.encode())
