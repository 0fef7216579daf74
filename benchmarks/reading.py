"""Frames a second from each kind of storage, in order and at random.

Every kind holds the same frames. They are read from the cache of the system, as they are after the
first epoch where memory allows: what is timed is the work, not the disk. The limit beside them is
to read the bytes of the files, and no more. Windows are read, scaled and put into batches as in
training, side by side in their order or in the random one of an epoch, by no, one or two workers.
"""

import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from benchmarks.timing import print_table
from framecast.frames.frames import Frames
from framecast.frames.lazy import chunks_of
from framecast.frames.roles import FrameSpec
from framecast.frames.scaling import Scaling
from framecast.frames.statistics import Statistics
from framecast.frames.windows import CropSampler, Windows, side_by_side
from framecast.readers.open import open_frames
from framecast.readers.selection import Selection
from framecast.train.batches import Batches, reading_ahead

COUNT, GRID = 3000, (128, 128)
"""Of the frames: together more than the decoded chunks that a process keeps."""
WINDOW, BATCH = 20, 8
FILES = 150
"""Frames of the kinds that have a file for each."""


def values(count: int = COUNT) -> np.ndarray:
    """Smooth frames with some noise, as measurements are, [T,H,W]."""
    random = np.random.default_rng(0)
    t, y, x = np.ogrid[:count, : GRID[0], : GRID[1]]
    smooth = np.sin(t / 9 + x / 17).astype(np.float32) * np.cos(y / 23).astype(np.float32)
    noise = random.integers(0, 100, (count, *GRID), np.int16)
    return (280 + 20 * smooth + noise / np.float32(100)).astype(np.float32)


def labelled(count: int = COUNT) -> xr.Dataset:
    """The frames with hours."""
    hours = np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(1, "h")
    return xr.Dataset({"t": (("time", "y", "x"), values(count), {"units": "K"})}, {"time": hours})


def _netcdf(chunk: int | None, **packing: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        chunks = {} if chunk is None else {"chunksizes": (chunk, *GRID)}
        encoding = {"t": {**chunks, **packing}}
        labelled().to_netcdf(folder / "x.nc", engine="h5netcdf", encoding=encoding)
        return folder / "x.nc"

    return write


def _zarr(chunk: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        encoding = {"t": {"chunks": (chunk, *GRID)}}
        labelled().to_zarr(folder / "x.zarr", encoding=encoding, consolidated=False)
        return folder / "x.zarr"

    return write


def _npy(folder: Path) -> Path:
    np.save(folder / "x.npy", values())
    return folder / "x.npy"


def _files(folder: Path) -> Path:
    dataset = labelled(FILES)
    for place in range(FILES):
        path = folder / f"{place:05}.nc"
        dataset.isel(time=slice(place, place + 1)).to_netcdf(path, engine="h5netcdf")
    return folder


def _pictures(folder: Path) -> Path:
    for place, frame in enumerate(_bytes(FILES)):
        Image.fromarray(frame).save(folder / f"{place:05}.png")
    return folder


def _video(folder: Path) -> Path:
    import av

    with av.open(folder / "x.mp4", "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *GRID, "gray"
        for frame in _bytes(COUNT):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "gray")))
        file.mux(stream.encode())
    return folder / "x.mp4"


def _bytes(count: int) -> np.ndarray:
    return (4 * (values(count) - 259)).astype(np.uint8)


PACKED = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
DEFLATED = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
KINDS: dict[str, Callable[[Path], Path]] = {
    ".npy": _npy,
    "NetCDF, whole": _netcdf(None),
    "NetCDF, chunks of 1, packed and deflated": _netcdf(1, **PACKED, **DEFLATED),
    "NetCDF, chunks of 100, packed and deflated": _netcdf(100, **PACKED, **DEFLATED),
    "the same from the cache": _netcdf(100, **PACKED, **DEFLATED),
    "Zarr, chunks of 1": _zarr(1),
    "Zarr, chunks of 100": _zarr(100),
    f"{FILES} files of NetCDF": _files,
    f"{FILES} pictures": _pictures,
    "video (decoded before)": _video,
}


def run() -> dict[str, Any]:
    """All kinds, after the gate."""
    rows = [row(kind) for kind in KINDS]
    print_table(f"Thousands of frames of {GRID[0]}×{GRID[1]} a second", rows)
    return {"reading": rows}


def row(kind: str) -> dict[str, object]:
    """Measure a kind of storage in a folder of its own."""
    folder = Path(tempfile.mkdtemp())
    os.environ["FRAMECAST_CACHE"] = str(folder / "cache")
    try:
        path = KINDS[kind](folder)
        frames = open_frames(path, Selection(lazy=True, cache="cache" in kind))
        check(frames, kind)
        place = folder / "cache" if "cache" in kind else path
        speed = {"bytes alone": _speed(lambda: _read_bytes(place), frames.length)}
        for order in ("in order", "random"):
            for count in (0, 1, 2):
                with epoch(frames, order, count) as passing:
                    speed[f"{order}, {count} workers"] = _speed(*passing)
    finally:
        shutil.rmtree(folder)
    return {"kind": kind, **{name: f"{each / 1000:.3g}" for name, each in speed.items()}}


def check(frames: Frames, kind: str) -> None:
    """What is read is what was written."""
    last = frames.values[0, frames.length - 1 :][0, 0].numpy()
    count = frames.length
    exact = values(count)[-1]
    if "picture" in kind:
        np.testing.assert_array_equal(last, _bytes(count)[-1])
    elif "video" not in kind:
        packed = "packed" in kind or "cache" in kind
        np.testing.assert_allclose(last, exact, atol=0.0051 if packed else 0)


@contextmanager
def epoch(frames: Frames, how: str, count: int) -> Iterator[tuple[Callable[[], object], int]]:
    """A pass over windows side by side, in order or as in an epoch, and the frames in it."""
    statistics = Statistics.of(frames.select(times=slice(0, 100)))
    windows = Windows(frames, Scaling(FrameSpec.of(frames), statistics), WINDOW)
    sampler = CropSampler(
        frames.pieces,
        WINDOW,
        None,
        0,
        chunks=chunks_of(frames.values),
        frame=4 * GRID[0] * GRID[1],
    )
    order = sampler if how == "random" else side_by_side(frames, WINDOW)
    batches = Batches(windows, order, BATCH)
    with reading_ahead(batches, None, count) as (ahead, _):
        yield lambda: sum(len(batch) for batch in ahead if batch is not None), len(sampler) * WINDOW


def _read_bytes(path: Path) -> None:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in files:
        file.read_bytes()


def _speed(call: Callable[[], object], frames: int, repetitions: int = 3) -> float:
    """Frames a second, the median; the first call, which fills caches, does not count."""
    taken = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return frames / sorted(taken[1:])[repetitions // 2]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name in KINDS:
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:]):
            print(row(name), flush=True)
