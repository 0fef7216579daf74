"""Frames a second that each writer of forecasts takes in, each beside the limit of what it does.

The frames are there already: waves that move. For numbers the limit is to put the same bytes into
a file as its kind asks for it: copied (NetCDF), compressed by Zstandard (Zarr), with a checksum
(NumPy). For pictures it is the codec alone, on the very pictures that the writer has made, in the
format that the codec takes: noise, or one picture that is moved, would cost it more or less than
they do. What a file of one frame takes is told beside: labels, the palette, and the drawing of
all that stands still. Files go into the folder for temporary files, and the system keeps them in
memory where it can: what is timed is the work, not the disk.
"""

import tempfile
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import torch
from numcodecs.zstd import Zstd
from torch import Tensor

from benchmarks.timing import print_table
from framecast.forecast.writers import ForecastLabels, open_writer
from framecast.forecast.writers.animation import FRAMES_PER_SECOND
from framecast.forecast.writers.gathered import BLOCK
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.frames import Frames
from framecast.readers.open import read_frames

GRIDS = ((64, 64), (256, 256))
STEPS = 1000
PICTURES = 100
"""Steps of the writers of pictures, which are slower."""
TURNS = 3
NUMBERS = (".nc", ".zarr", ".npz")
LIMITS = {
    ".nc": "copying the bytes",
    ".zarr": "Zstandard",
    ".npz": "copying, and a checksum",
}
VIDEOS = {"a grey video": ("grey",), "a colour video": ("red", "green", "blue")}
KINDS = ("a field", *VIDEOS)


def run() -> dict[str, Any]:
    """A row for each writer and grid, after the gate."""
    check()
    rows = [
        row(suffix, grid, kind)
        for grid in GRIDS
        for suffix, kind in (
            *((suffix, "a field") for suffix in NUMBERS),
            *((suffix, kind) for suffix in (".gif", ".mp4") for kind in KINDS),
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
    steps = (STEPS if grid[0] < 100 else STEPS // 5) if numbers else PICTURES
    labels, frames = forecast(kind, grid, steps)
    first, short = forecast(kind, grid, 1)
    with tempfile.TemporaryDirectory() as name:
        path, beside = Path(name) / f"f{suffix}", Path(name) / f"limit{suffix}"
        calls: dict[str, Callable[[], object]] = {
            "writer": lambda: write(path, labels, frames),
            "limit": lambda: copy(beside, frames),
            "one": lambda: write(path.with_stem("one"), first, short),
        }
        if not numbers:
            write(path, labels, frames)
            pictures = pictures_of(path)
            calls["limit"] = lambda: encode(beside, pictures)
        taken: dict[str, list[float]] = {each: [] for each in calls}
        for _ in range(TURNS):
            for each, call in calls.items():
                start = time.perf_counter()
                call()
                taken[each].append(time.perf_counter() - start)
    whole, limit, one = (median(taken[each]) for each in ("writer", "limit", "one"))
    rate, most = (len(frames) - 1) / max(whole - one, 1e-9), len(frames) / limit
    return {
        "writer": suffix,
        "of": kind,
        "grid": f"{grid[0]}×{grid[1]}",
        "a file of one frame": f"{1e3 * one:.0f} ms",
        "further frames a second": f"{rate:,.0f}",
        "limit": f"{most:,.0f} ({LIMITS.get(suffix, 'the codec alone')})",
        "share of the limit": f"{rate / most:.2f}",
    }


def forecast(kind: str, grid: tuple[int, int], steps: int) -> tuple[ForecastLabels, list[Tensor]]:
    """Labels, and frames [M,N,S,C,H,W] of each lead: waves that move."""
    times = np.datetime64("2020-01-01", "ns") + np.arange(3 + steps) * np.timedelta64(1, "h")
    channels = tuple(
        Channel(name, {"valid_range": (0.0, 1.0)}) for name in VIDEOS.get(kind, ())
    ) or (Channel("t", {"units": "K"}),)
    lead, channel, y, x = torch.meshgrid(
        *(torch.arange(size) for size in (3 + steps, len(channels), *grid)), indexing="ij"
    )
    values = 0.5 + 0.25 * (x / 9 + lead / 5 + channel).sin() + 0.25 * (y / 7 - lead / 8).sin()
    seen = Frames(
        values[None, :3], channels, coordinates={"time": Coordinate(("time",), times[:3])}
    )
    labels = ForecastLabels(seen, np.array([2]), times[None, 3:], channels)
    return labels, list(values[3:, None, None, None])


def write(path: Path, labels: ForecastLabels, frames: list[Tensor]) -> None:
    """Write all frames as `framecast forecast` does."""
    with open_writer(path, labels, overwrite=True) as writer:
        for frame in frames:
            writer(frame)


def copy(path: Path, frames: list[Tensor]) -> None:
    """Put the bytes of the frames into a file, as a kind of file asks for it."""
    with path.open("wb") as file:
        if path.suffix == ".zarr":
            together = max(1, BLOCK // (4 * frames[0].numel()))
            for begun in range(0, len(frames), together):
                block = torch.stack(frames[begun : begun + together])
                file.write(Zstd(level=0).encode(block.numpy()))
            return
        for frame in frames:
            content = frame.numpy().tobytes()
            if path.suffix == ".npz":
                zlib.crc32(content)
            file.write(content)


def pictures_of(path: Path) -> list[av.VideoFrame]:
    """Decode a file, as a codec takes the pictures."""
    with av.open(path) as file:
        pictures = list(file.decode(video=0))
    return [as_indexed(picture) if path.suffix == ".gif" else picture for picture in pictures]


def as_indexed(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture of a GIF as places in its palette."""
    shown = picture.to_ndarray(format="rgb24")
    colours, places = np.unique(shown.reshape(-1, 3), axis=0, return_inverse=True)
    palette = np.full((256, 4), 255, np.uint8)
    palette[: len(colours), 1:] = colours
    both: Any = places.reshape(shown.shape[:2]).astype(np.uint8), palette
    return av.VideoFrame.from_ndarray(both, "pal8")


def encode(path: Path, pictures: list[av.VideoFrame]) -> None:
    """Encode pictures that are drawn, and have the colours of the codec."""
    gif, rate = path.suffix == ".gif", Fraction(FRAMES_PER_SECOND)
    with av.open(path, "w", format="gif" if gif else "mp4") as file:
        stream: Any = file.add_stream("gif" if gif else "h264", rate=rate)
        stream.height, stream.width = pictures[0].height, pictures[0].width
        stream.pix_fmt = "pal8" if gif else "yuv420p"
        stream.codec_context.time_base = 1 / rate
        for place, picture in enumerate(pictures):
            picture.pts, picture.time_base = place, 1 / rate
            picture.pict_type = 0  # else the codec would follow that of the decoder
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
