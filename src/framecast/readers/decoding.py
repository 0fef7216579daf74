"""Video files: decoded once into a cache of bytes, which is then read from disk as it is needed."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.base.progress import track
from framecast.base.whole import whole
from framecast.frames.frames import Channel

SUFFIXES = (".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm")

GREY, COLOUR = ("grey",), ("red", "green", "blue")
"""Names of the channels of a video: one of these two sets."""

TOLERATED = 0.05
"""Share of frames that a file may declare and not hold, or show at uneven times: codecs drop or
merge a few."""

_LAYOUT = 2
"""Of the cache: another number makes all entries anew."""

FRAMES = "frames.bin"
"""The frames of an entry of the cache, one after the other; video.json beside it has the shape."""


@dataclass(frozen=True)
class Video:
    """A decoded video.

    Attributes:
        path: the video file.
        folder: its place in the cache: frames.bin, uint8 [T,C,H,W], and video.json.
        shape: (T, C, H, W).
        rate: frames a second.
        declared: frames that the file declares; 0 where it does not say.
        complete: whether all of them could be decoded, but for a few.
        even: whether they follow one another at even times, but for a few.
        digest: of the frames.
    """

    path: Path
    folder: Path
    shape: tuple[int, int, int, int]
    rate: float
    declared: int
    complete: bool
    even: bool
    digest: str

    @property
    def channels(self) -> tuple[Channel, ...]:
        """One grey channel, or red, green and blue, with values from 0 to 255."""
        names = GREY if self.shape[1] == 1 else COLOUR
        return tuple(Channel(name, {"valid_range": [0, 255]}) for name in names)

    def read(self, start: int, stop: int, stride: int = 1) -> Float[Tensor, "T C H W"]:
        """Read every `stride`-th of frames `start` to `stop` - 1, with values from 0 to 255."""
        frames = np.memmap(self.folder / FRAMES, np.uint8, "r", shape=self.shape)
        return torch.from_numpy(frames[start:stop:stride].astype(np.float32))


def find_videos(path: Path) -> list[Path]:
    """Return the videos in a folder and its folders, by name; or the file, if it is a video."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]


def open_videos(
    paths: Sequence[Path],
    variables: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
) -> list[Video]:
    """Open videos of one size; those that are not in the cache are decoded into it.

    An entry of the cache belongs to the place, the length and the time of change of a file, and to
    the settings below. It is whole or not there; removing it is always safe.

    Args:
        paths: files of one of SUFFIXES.
        variables: GREY or COLOUR; None for COLOUR unless all the files are grey.
        size: (H, W) of the frames, each pixel a mean over what it covers; None for the files' own.

    Raises:
        UserError: if there is no such file, it is not a video, or sizes differ.
    """
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} does not exist")
    if variables is None:
        variables = max((_own_channels(path) for path in paths), key=len)
    if tuple(variables) not in (GREY, COLOUR):
        raise UserError(
            f"{paths[0]}: the channels of a video are {GREY[0]}, or {', '.join(COLOUR)}; "
            f"not {', '.join(variables)}"
        )
    alone = len(paths) == 1
    videos = [
        _open_video(path, tuple(variables), size, progress=alone)
        for path in track(paths, "decode videos", len(paths), show=not alone)
    ]
    for video in videos:
        if video.shape[2:] != videos[0].shape[2:]:
            raise UserError(
                f"{videos[0].path} has frames of {_by(videos[0].shape)}, but {video.path} of "
                f"{_by(video.shape)}: give one size, [rows, columns], as data.options.size"
            )
    return videos


def _open_video(
    path: Path, names: tuple[str, ...], size: Sequence[int] | None, progress: bool
) -> Video:
    folder = cache_folder("videos") / f"{path.stem}-{_key(path, names, size)}"
    if not folder.exists():
        with whole(folder) as partial:
            partial.mkdir()
            _decode(path, partial, names, size, progress)
    stored = json.loads((folder / "video.json").read_text(encoding="utf-8"))
    return Video(path, folder, **stored | {"shape": tuple(stored["shape"])})


def _key(path: Path, names: tuple[str, ...], size: Sequence[int] | None) -> str:
    file = path.stat()
    parts = [str(path.resolve()), file.st_size, file.st_mtime_ns, names, size, _LAYOUT]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file: its container and its first video stream."""
    try:
        container = av.open(path)
    except (av.FFmpegError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as video ({error.strerror}): it may be truncated, or in "
            "another format than its name says"
        ) from error
    with container:
        if not container.streams.video:
            raise UserError(f"{path} holds no video, only {_other_streams(container)}")
        yield container, container.streams.video[0]


def _other_streams(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "an empty container"


def _own_channels(path: Path) -> tuple[str, ...]:
    with _open(path) as (_, stream):
        form = stream.codec_context.format
        return COLOUR if form is None or len(form.components) > 2 else GREY


def _decode(
    path: Path, folder: Path, names: tuple[str, ...], size: Sequence[int] | None, progress: bool
) -> None:
    """Write all frames, and what is known of them, into a folder."""
    digest, broken = hashlib.blake2b(digest_size=12), False
    times: list[float | None] = []
    with _open(path) as (container, stream), (folder / FRAMES).open("wb") as file:
        rate, declared = stream.average_rate or stream.guessed_rate, stream.frames
        pictures = _pictures(path, container, stream, names, size)
        try:
            for time, picture in track(pictures, f"decode {path.name}", declared or None, progress):
                file.write(picture.data)
                digest.update(picture.data)
                times.append(time)
        except av.FFmpegError:
            broken = True  # what follows cannot be decoded
        if not times or not rate:
            raise UserError(f"{path} holds no frames, or does not say how many it has a second")
    known = {
        "shape": [len(times), *picture.shape],
        **_timing(times, float(rate), declared, broken),
        "digest": digest.hexdigest(),
    }
    (folder / "video.json").write_text(json.dumps(known, indent=2), encoding="utf-8")


def _timing(
    times: list[float | None], nominal: float, declared: int, broken: bool
) -> dict[str, Any]:
    """Frame rate and completeness, from the times of the frames and from what the file declares.

    An AVI file may hold empty frames, which it counts, and which are not decoded.
    """
    rate, places, even = nominal, len(times), True
    if None not in times and len(times) > 1:
        gaps = np.diff(np.array(times, np.float64))
        if gaps.sum() > 0:
            measured = len(gaps) / float(gaps.sum())
            rate = nominal if abs(measured / nominal - 1) < TOLERATED else measured
            places = max(places, round(float(gaps.sum()) * nominal) + 1)
            even = bool((abs(gaps * rate - 1) > 0.5).mean() <= TOLERATED)
    complete = not broken and places >= declared * (1 - TOLERATED) - 1
    return {"rate": rate, "declared": declared, "complete": complete, "even": even}


def _pictures(
    path: Path, container: Any, stream: Any, names: tuple[str, ...], size: Sequence[int] | None
) -> Iterator[tuple[float | None, np.ndarray]]:
    """The frames of a stream, uint8 [C,H,W], each after its time in seconds, where it has one."""
    form = "gray" if names == GREY else "rgb24"
    stream.thread_type = "AUTO"
    first = None
    for number, frame in enumerate(container.decode(stream)):
        own = (frame.height, frame.width)
        first = first or own
        if size is None and own != first:
            raise UserError(
                f"{path}: its frames change from {_by(first)} to {_by(own)} at frame {number}: "
                "give one size, [rows, columns], as data.options.size"
            )
        height, width = size or own
        array = frame.reformat(width, height, form, interpolation="AREA").to_ndarray()
        yield frame.time, np.ascontiguousarray(array.reshape(height, width, -1).transpose(2, 0, 1))


def _by(shape: Sequence[int]) -> str:
    return f"{shape[-2]}×{shape[-1]}"
