"""Moving-MNIST: handwritten digits that move over a canvas and bounce off its edges [1].

A video is a function of the seed, its part and its place alone: which digits, where they start and
in which direction they move. In units of the free range, canvas minus digit, a digit is at

    x(t) = 1 − |1 − ((x₀ + v·t) mod 2)|

on each axis, which is a straight line folded at 0 and 1: exact reflection, known for any t without
the frames before it, so that any stretch of a video of any length costs what its frames cost.
Each frame is drawn at the nearest whole pixel; the motion itself is never rounded. (The published
generator truncates to whole pixels, and stops for a moment at an edge that it passed.) Where digits
overlap, the brighter pixel shows.

Brightness is kept in 8 bits and read as 0 to 1.

[1] N. Srivastava, E. Mansimov, R. Salakhutdinov, Unsupervised Learning of Video Representations
    using LSTMs, 2015.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.datasets.mnist import Images, digest, read_digits
from framecast.datasets.simulate.seeds import trajectory_seed
from framecast.datasets.source import Source, register_source
from framecast.frames.frames import Channel, Frames
from framecast.frames.lazy import LazyValues, Reader
from framecast.frames.splits import Splits
from framecast.readers.arrays import open_array
from framecast.readers.mapped import ArrayReader
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection

SPLITS: Mapping[str, int] = MappingProxyType({"train": 10_000, "validation": 3_000, "test": 5_000})
LEVEL = float(np.float32(1 / 255))
"""Brightness of a level of 8 bits; level 255 is exactly 1."""
INTENSITY = Channel("intensity", {"units": "1", "long_name": "brightness", "valid_range": [0, 1]})


@dataclass(frozen=True)
class MovingMnist:
    """How videos of moving digits are made.

    Attributes:
        digits: where the images of digits come from: mnist (framecast fetch mnist), sample (1,000
            digits that come with framecast), or a folder with the IDX files.
        shrink: makes digits smaller by this factor, a divisor of their 28 pixels; with a canvas
            as much smaller, the same videos at a fraction of the cost.
        count: digits in a video, at least 1.
        canvas: pixels along each side, at least a digit's (28 / shrink).
        frames: number of frames of a video, at least 1.
        speed: way of a digit from frame to frame, in units of the free range (canvas minus digit),
            0 or more; its direction is random.

    Raises:
        ValueError: a field is out of its range.
    """

    digits: str = "mnist"
    shrink: int = 1
    count: int = 2
    canvas: int = 64
    frames: int = 20
    speed: float = 0.1

    def __post_init__(self) -> None:
        for name in ("shrink", "count", "canvas", "frames"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)}: must be at least 1")
        if not 0 <= self.speed < math.inf:
            raise UserError(f"speed={self.speed}: must be 0 or more")


class Motion(NamedTuple):
    """What a video follows from, for its D digits.

    Attributes:
        chosen: which images, [D].
        start: place at t = 0 along y and x, [D,2], in units of the free range, in [0, 1].
        velocity: [D,2], free ranges a frame.
    """

    chosen: NDArray[np.int64]
    start: NDArray[np.float64]
    velocity: NDArray[np.float64]


def draw_motion(config: MovingMnist, seed: int, images: int) -> Motion:
    """Draw the motion of a video.

    Args:
        config: count and speed are used.
        seed: of this video alone.
        images: how many there are to choose from.
    """
    random = np.random.default_rng(seed)
    chosen = random.integers(images, size=config.count)
    start = random.random((config.count, 2))
    angle = random.random(config.count) * 2 * np.pi
    return Motion(chosen, start, config.speed * np.stack([np.sin(angle), np.cos(angle)], 1))


def positions(motion: Motion, start: int, stop: int) -> NDArray[np.float64]:
    """Return places [T,D,2] at frames start to stop - 1, in units of the free range, in [0, 1]."""
    times = np.arange(start, stop)[:, None, None]
    return np.asarray(1 - np.abs(1 - (motion.start + motion.velocity * times) % 2))


def draw(images: Images, places: NDArray[np.float64], canvas: int) -> NDArray[np.uint8]:
    """Draw frames [T,canvas,canvas] of images [D,H,W] at places [T,D,2] in units of the free range.

    An image is a window that slides over it, within an empty margin: each frame is one slice.
    """
    free = canvas - np.array(images.shape[1:])
    corners = np.rint(places * free).astype(np.int64)
    frames = np.zeros((len(places), canvas, canvas), np.uint8)
    for image, (rows, columns) in zip(images, corners.transpose(1, 2, 0), strict=True):
        padded = np.zeros(canvas + free, np.uint8)
        padded[free[0] : canvas, free[1] : canvas] = image
        windows = sliding_window_view(padded, (canvas, canvas))
        np.maximum(frames, windows[free[0] - rows, free[1] - columns], out=frames)
    return frames


@dataclass(frozen=True, eq=False)
class DrawnVideos:
    """The videos of one part, drawn where they are asked for: a `Reader`.

    Attributes:
        config: how they are made.
        images: digits of this part, [M,H,W].
        part: train, validation or test.
        number: of videos.
        seed: of the data set.

    Raises:
        UserError: if the digits do not fit into the canvas.
    """

    config: MovingMnist
    images: Images
    part: str
    number: int
    seed: int

    def __post_init__(self) -> None:
        if max(self.images.shape[1:]) > self.config.canvas:
            raise UserError(
                f"canvas={self.config.canvas}: too small for digits of "
                f"{self.images.shape[1]}×{self.images.shape[2]} pixels"
            )

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, 1, H, W)."""
        return self.number, self.config.frames, 1, self.config.canvas, self.config.canvas

    @property
    def source(self) -> str:
        """For messages."""
        return f"moving_mnist ({self.part}, digits={self.config.digits})"

    def levels(self, sequence: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Draw frames start to stop - 1 of a video, [T,H,W], in levels of 8 bits."""
        seed = trajectory_seed(self.seed, self.part, sequence)
        motion = draw_motion(self.config, seed, len(self.images))
        places = positions(motion, start, stop)
        return draw(self.images[motion.chosen], places, self.config.canvas)

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Draw frames start to stop - 1 of a video, with brightness in [0, 1]."""
        levels = self.levels(sequence, start, stop)
        return torch.from_numpy(levels[:, None] * np.float32(LEVEL))

    def fingerprint(self) -> str:
        """Return a digest of the digits, and what says how they move."""
        return f"{self.config} {self.part} {self.number} {self.seed} {digest(self.images)}"


@register_source("moving_mnist")
@dataclass(frozen=True)
class MovingMnistSource(MovingMnist, Source):
    """Moving-MNIST that is drawn where it is needed: no file is written, no video is kept.

    Attributes:
        train_videos: for training, at least 1.
        validation_videos: at least 0.
        test_videos: at least 0.
        seed: of all videos, 0 or more.
        test_frames: of a test video, at least 1; as `frames` if null.
        test_file: the published mnist_test_seq.npy, in place of test videos of our own.
    """

    train_videos: int = SPLITS["train"]
    validation_videos: int = SPLITS["validation"]
    test_videos: int = SPLITS["test"]
    seed: int = 0
    test_frames: int | None = None
    test_file: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("train_videos", 1), ("validation_videos", 0), ("test_videos", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name}={getattr(self, name)}: must be at least {least}")
        if self.test_frames is not None and self.test_frames < 1:
            raise UserError(f"test_frames={self.test_frames}: must be at least 1")

    def splits(self) -> Splits:
        """Return all parts.

        Raises:
            UserError: if the digits, or the test file, cannot be read.
        """
        digits = read_digits(self.digits, self.shrink)
        train = _frames(DrawnVideos(self, digits.train, "train", self.train_videos, self.seed))
        validation = DrawnVideos(
            self, digits.validation, "validation", self.validation_videos, self.seed
        )
        return Splits(train, _frames(validation) if validation.number else None, self.test())

    def test(self) -> Frames | None:
        """Return the test part.

        Raises:
            UserError: as `splits`.
        """
        if self.test_file is not None:
            return read_published(Path(self.test_file))
        if self.test_videos == 0:
            return None
        config = replace(self, frames=self.test_frames or self.frames)
        digits = read_digits(self.digits, self.shrink)
        return _frames(DrawnVideos(config, digits.test, "test", self.test_videos, self.seed))

    def read(self, place: Paths, selection: Selection) -> Frames:
        """Read videos from a file; a `.npy` of four dimensions is the published set.

        Raises:
            UserError: as `read_published`, and as `Source.read`.
        """
        path = Path(place) if isinstance(place, str | Path) else None
        if path and path.suffix == ".npy" and open_array(path).ndim == 4:
            return read_published(path)
        return super().read(place, selection)


def read_published(path: Path) -> Frames:
    """Read the published test set, a window at a time.

    Args:
        path: a NumPy file [T,N,H,W] in 8 bits: time first.

    Raises:
        UserError: if it is not there, or is another file.
    """
    array = open_array(path)
    if array.ndim != 4 or array.dtype != np.uint8:
        raise UserError(
            f"{path} holds {array.dtype} {list(array.shape)}; the published Moving-MNIST is uint8 "
            "[20, 10000, 64, 64]"
        )
    return _frames(ArrayReader(array.transpose(1, 0, 2, 3)[:, :, None], str(path), LEVEL))


BOOKKEEPING = 500
"""Bytes that the places of a sequence take in lists and samplers, about."""


def _frames(reader: Reader) -> Frames:
    count = reader.shape[0]
    what = f"the bookkeeping of {count:,} videos"
    check_memory(BOOKKEEPING * count, what, "Choose fewer videos in data.options.")
    return Frames(
        values=LazyValues.of(reader),
        channels=(INTENSITY,),
        dims=("sequence", "time", "y", "x"),
        source=reader.source,
    )
