"""Forecast frames as they come in, and go on in another program where this one stopped.

    python examples/stream.py RUN frames.npy

The frames are [T,C,H,W] in the units of the training; here they come from a file, one by one.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from framecast import Stream


def follow(run: str, frames: np.ndarray, kept: Path, horizon: int = 3) -> list[torch.Tensor]:
    """Forecast after each frame; return the forecasts, and keep where the stream stands."""
    stream, forecasts = Stream(run, horizon), []
    for frame in frames:
        values = torch.from_numpy(frame.astype(np.float32))[None]
        forecasts.append(stream.push(values)[0])
    stream.save(kept)
    return forecasts


if __name__ == "__main__":
    for number, leads in enumerate(
        follow(sys.argv[1], np.load(sys.argv[2]), Path("stream.safetensors")), start=1
    ):
        print(f"after frame {number}: mean at lead 1 {leads[0].mean():.3f}")
