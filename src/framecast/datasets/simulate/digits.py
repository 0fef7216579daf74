"""Moving-MNIST in files, for other programs; the source moving_mnist draws the same videos."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from framecast.base.limits import check_memory
from framecast.datasets.mnist import digest, read_digits
from framecast.datasets.moving_mnist import INTENSITY, LEVEL, SPLITS, DrawnVideos, MovingMnist
from framecast.datasets.simulate.trajectories import Axis, Variable, write_stores

__all__ = ["SPLITS", "simulate"]


def simulate(
    out: Path,
    config: MovingMnist,
    counts: Mapping[str, int] = SPLITS,
    seed: int = 0,
    batch: int = 100,
    progress: bool = True,
) -> None:
    """Write a data set, a Zarr store `out`/SPLIT.zarr for each split, or continue one.

    The videos are those of the source moving_mnist with the same settings. A second call with
    the same arguments goes on where the first was stopped. A complete data set is left alone.

    Args:
        out: folder of the data set; made where missing.
        config: how a video is made.
        counts: videos of each split, at least 1.
        seed: of the data set, 0 or more.
        batch: videos drawn and written together, at least 1.
        progress: show on stderr how far it is.

    Raises:
        ValueError: an argument is out of its range, the digits cannot be read, or a store of these
            names was made with other parameters, which the message names.
    """
    count = min(batch, max(counts.values()))
    check_memory(
        count * config.frames * config.canvas**2,
        f"{count} videos of {config.frames:,} frames of {config.canvas}×{config.canvas}",
        "Choose a smaller --canvas or fewer --frames.",
    )
    digits = read_digits(config.digits, config.shrink)
    videos = {
        split: DrawnVideos(config, getattr(digits, split), split, count, seed)
        for split, count in counts.items()
    }

    def produce(split: str, indices: range) -> NDArray[np.uint8]:
        return np.stack([videos[split].levels(i, 0, config.frames) for i in indices])

    numbers = {split: drawn.number for split, drawn in videos.items()}
    write_stores(
        out,
        _variable(config),
        numbers,
        lambda split: _attributes(videos[split]),
        produce,
        batch,
        progress,
    )


def _variable(config: MovingMnist) -> Variable:
    pixel = np.arange(config.canvas, dtype=np.float64)
    return Variable(
        name=INTENSITY.name,
        attributes={**INTENSITY.attributes, "scale_factor": LEVEL},
        axes={
            "time": Axis(np.arange(config.frames, dtype=np.float64), "1", "frame"),
            "y": Axis(pixel, "1", "row"),
            "x": Axis(pixel, "1", "column"),
        },
        dtype="uint8",
    )


def _attributes(videos: DrawnVideos) -> dict[str, str | int | float]:
    return {
        "title": "Moving-MNIST: handwritten digits that bounce off the edges of a canvas",
        "source": "simulated by framecast.datasets.moving_mnist",
        **asdict(videos.config),
        "digits_digest": digest(videos.images),
        "split": videos.part,
        "seed": videos.seed,
    }
