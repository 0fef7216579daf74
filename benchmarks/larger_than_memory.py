"""Memory of training on 20 GB of frames, of the process and its workers together; Linux only.

The frames are a Zarr store without chunks on the disk: all have the fill value, and are made where
they are read. One run reads them in chunks of one frame, another in chunks of a hundred.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from benchmarks.timing import print_table

SIZE = 20e9
"""Bytes of all frames."""
GRID = (256, 256)
WAYS = ((1, 0), (100, 0), (100, 1), (100, 2))
"""Frames of a chunk, and workers."""
LIMIT = 2e9
"""Bytes that all processes together may take with one worker at most."""


def run() -> dict[str, Any]:
    """Train on each store, in a process of its own whose memory is watched."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for chunk, workers in WAYS:
            store = Path(folder) / f"{chunk}.zarr"
            if not store.exists():
                make_store(store, chunk)
            rows.append(row(store, chunk, workers))
            print(rows[-1], flush=True)
    print_table("Training on 20 GB of frames of 256×256", rows)
    return {"training": rows}


def make_store(path: Path, chunk: int) -> None:
    """A series of hours in chunks of some frames, none of which is on the disk."""
    frames = int(SIZE / 4 / GRID[0] / GRID[1])
    top = zarr.open_group(path, mode="w", zarr_format=3)
    for name, shape, chunks, dims in (
        ("t", (frames, *GRID), (chunk, *GRID), ("time", "y", "x")),
        ("time", (frames,), (frames,), ("time",)),
    ):
        dtype = "float32" if name == "t" else "int64"
        top.create_array(name, shape=shape, chunks=chunks, dtype=dtype, dimension_names=dims)
    time_axis: Any = top["time"]
    time_axis[:] = range(frames)
    time_axis.attrs["units"] = "hours since 2000-01-01"
    assert xr.open_zarr(path, consolidated=False).t.nbytes > 0.99 * SIZE


def row(store: Path, chunk: int, workers: int) -> dict[str, object]:
    """Measure one run: an epoch of 40 windows, after statistics of all frames."""
    out = store.parent / f"run-{chunk}-{workers}"
    settings: dict[str, Any] = {
        "data.path": store,
        "data.workers": workers,
        "data.windows_per_epoch": 40,
        "data.crops_per_sequence": 40,
        "data.validation_fraction": 0.02,
        "model.depth": 1,
        "model.hidden": 8,
        "training.context": 8,
        "training.horizon": 2,
        "training.epochs": 1,
        "training.batch_size": 4,
    }
    command = [sys.executable, "-m", "framecast", "train", "starter", "--out", str(out)]
    command += [str(word) for key, value in settings.items() for word in (f"--{key}", value)]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    peak, alone = 0, 0
    while process.poll() is None:
        own, all_ = _memory(process.pid)
        peak, alone = max(peak, all_), max(alone, own)
        time.sleep(0.2)
    assert process.returncode == 0
    assert workers > 1 or peak < LIMIT, f"{peak / 1e9:.2f} GB"
    return {
        "chunks of": chunk,
        "workers": workers,
        "process": f"{alone / 1e9:.2f} GB",
        "all processes": f"{peak / 1e9:.2f} GB",
        "time": f"{time.perf_counter() - start:.0f} s",
    }


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of a process, and of it and its children together.

    What processes share, such as the code of libraries, counts once (the proportional set size).
    """
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        sizes = [_share(each) for each in (str(pid), *children)]
    except OSError:
        return 0, 0
    return sizes[0], sum(sizes)


def _share(pid: str) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(rollup.split("Pss:")[1].split()[0])


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
