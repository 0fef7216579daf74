"""How fast Moving-MNIST is drawn, and how much memory a long set takes.

Videos of 20 frames, 64×64, two digits; windows of 20 frames anywhere in videos of 1,300. The speed
is that of one core. Memory is what the process gains while it reads windows from 10,000 videos.
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import print_table
from framecast.datasets.mnist import read_digits
from framecast.datasets.moving_mnist import DrawnVideos, MovingMnist, draw, draw_motion, positions

WINDOW = 20
REPETITIONS = 2000


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    rows = [row(20, 0.1), row(300, 0.15), row(1300, 0.15)]
    print_table("Moving-MNIST, 10,000 videos, windows of 20 frames", rows)
    return {"lengths": rows}


def check() -> None:
    """Drawing agrees with pasting digit after digit, frame after frame."""
    images = read_digits("sample").train
    for seed in range(20):
        motion = draw_motion(MovingMnist(), seed, len(images))
        places = positions(motion, 0, WINDOW)
        plain = np.zeros((WINDOW, 64, 64), np.uint8)
        for frame, place in zip(plain, np.rint(places * 36).astype(int), strict=True):
            for image, (y, x) in zip(images[motion.chosen], place, strict=True):
                part = frame[y : y + 28, x : x + 28]
                part[:] = np.maximum(part, image)
        assert np.array_equal(draw(images[motion.chosen], places, 64), plain)


def row(frames: int, speed: float) -> dict[str, object]:
    """Speeds and memory at a length of the videos."""
    config = MovingMnist(digits="sample", frames=frames, speed=speed)
    videos = DrawnVideos(config, read_digits("sample").train, "train", 10_000, 0)
    starts = np.random.default_rng(0).integers(frames - WINDOW + 1, size=REPETITIONS).tolist()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    drawn = _rate(lambda i: videos.levels(i, starts[i], starts[i] + WINDOW))
    read = _rate(lambda i: videos.read(i, starts[i], starts[i] + WINDOW))
    gained = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "frames": frames,
        "windows a second, 8 bits": round(drawn),
        "windows a second, float32": round(read),
        "MB gained": round(gained / 1024, 1),
        "MB of the whole set, float32": round(10_000 * frames * 64 * 64 * 4 / 1e6),
    }


def _rate(call: Callable[[int], object]) -> float:
    """Calls in a second of processor time."""
    start = time.process_time()
    for i in range(REPETITIONS):
        call(i)
    return REPETITIONS / (time.process_time() - start)
