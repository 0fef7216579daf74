"""How fast Navier-Stokes trajectories are simulated, by batch size.

python benchmarks/navier_stokes_speed.py [--frames 6] [--batches 1 8 16 25 32 50]

Times the default flow over a few frames, and scales to the 49 intervals of a whole trajectory.
"""

import argparse
import platform
import time
from pathlib import Path

import torch

from framecast.data.navier_stokes import NavierStokes, trajectories


def processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def seconds_per_trajectory(batch: int, frames: int) -> float:
    config = NavierStokes(frames=frames)
    start = time.perf_counter()
    trajectories(config, range(batch))
    return (time.perf_counter() - start) / batch * (NavierStokes.frames - 1) / (frames - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=6, help="frames to time, at least 2")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16, 25, 32, 50])
    arguments = parser.parse_args()

    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("batch  trajectories/s  minutes for 1000")
    seconds_per_trajectory(arguments.batches[0], 2)
    for batch in arguments.batches:
        seconds = seconds_per_trajectory(batch, arguments.frames)
        print(f"{batch:5}  {1 / seconds:14.2f}  {seconds * 1000 / 60:16.1f}")


if __name__ == "__main__":
    main()
