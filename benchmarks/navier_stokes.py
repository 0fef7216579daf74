"""How fast Navier-Stokes trajectories are simulated, by batch size.

Times the default flow over a few frames, and scales to the 49 intervals of a whole trajectory.
"""

import time
from typing import Any

import torch

from benchmarks.timing import print_table
from framecast.datasets.simulate.navier_stokes import NavierStokes, trajectories

BATCHES = (1, 8, 16, 25, 32, 50)
FRAMES = 6


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    rows = [row(batch) for batch in BATCHES]
    print_table("Navier-Stokes trajectories, 64×64 grid, 50 frames", rows)
    return {"batches": rows}


def check() -> None:
    """A flow does not depend on the flows computed beside it."""
    config = NavierStokes(frames=2)
    assert torch.equal(trajectories(config, [3]), trajectories(config, [1, 3])[1:])


def row(batch: int) -> dict[str, object]:
    """Speed at a batch size."""
    start = time.perf_counter()
    trajectories(NavierStokes(frames=FRAMES), range(batch))
    seconds = (time.perf_counter() - start) / batch * (NavierStokes.frames - 1) / (FRAMES - 1)
    return {
        "batch": batch,
        "trajectories a second": f"{1 / seconds:.2f}",
        "minutes for 1000": f"{seconds * 1000 / 60:.1f}",
    }
