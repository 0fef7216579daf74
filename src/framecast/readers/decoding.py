"""Video files: decoded once into a cache of bytes, which is then read from disk as it is needed."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.base.disk import FullDiskError
from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.base.limits import RoomError, check_disk, check_memory
from framecast.base.progress import track
from framecast.base.whole import make_once
from framecast.frames.channels import COLOUR, GREY
from framecast.frames.frames import Channel
from framecast.readers.entries import key_of
from framecast.readers.guard import check_file, guarded
from framecast.readers.pace import TOLERATED, pace_of
from framecast.readers.streams import (
    BROKEN,
    cells,
    count_packets,
    open_stream,
    own_channels,
    pictures_of,
)

SUFFIXES = (
    *(".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm"),
    *(".mpg", ".mpeg", ".ts", ".m4v"),
)


_LAYOUT = 3
"""Of the cache: another number makes all entries anew."""

FRAMES = "frames.bin"
"""The frames of an entry of the cache, one after the other; video.json beside it has the shape."""


@dataclass(frozen=True, eq=False)
class Video:
    """A decoded video.

    Attributes:
        path: the video file.
        folder: its place in the cache: frames.bin, uint8 [T,C,H,W], and video.json.
        shape: (T, C, H, W).
        rate: frames a second; of frames at uneven times, by their median step.
        times: seconds from the first frame to each, [T].
        declared: frames that the file declares; 0 where it does not say.
        complete: whether all of them could be decoded, but for a few.
        even: whether they follow one another at one step, though some may be lost between others.
        digest: of the frames.
    """

    path: Path
    folder: Path
    shape: tuple[int, int, int, int]
    rate: float
    times: Float64[np.ndarray, " T"]
    declared: int
    complete: bool
    even: bool
    digest: str

    @property
    def channels(self) -> tuple[Channel, ...]:
        """One grey channel, or red, green and blue, with values from 0 to 255."""
        return channels_of(GREY if self.shape[1] == 1 else COLOUR)

    def read(self, places: Sequence[int]) -> Float[Tensor, "T C H W"]:
        """Read the frames at some places, with values from 0 to 255."""
        frames = np.memmap(self.folder / FRAMES, np.uint8, "r", shape=self.shape)
        return torch.from_numpy(frames[np.asarray(places, np.int64)].astype(np.float32))


def channels_of(names: Sequence[str]) -> tuple[Channel, ...]:
    """Return the channels of a video, with values from 0 to 255."""
    return tuple(Channel(name, {"valid_range": [0, 255]}) for name in names)


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
        check_file(path)
    if variables is None:
        variables = max((own_channels(path) for path in paths), key=len)
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
                f"{videos[0].path} has frames of {cells(videos[0].shape)}, but {video.path} of "
                f"{cells(video.shape)}: give one size, [rows, columns], as data.options.size"
            )
    return videos


@dataclass(frozen=True)
class VideoFile:
    """A video that is decoded into the cache where it is first asked for.

    Attributes:
        path: of one of SUFFIXES, or what should be one.
        names: GREY or COLOUR.
        size: (H, W) of the frames.
    """

    path: Path
    names: tuple[str, ...]
    size: tuple[int, int]

    def open(self) -> Video:
        """Return the decoded video: whole, by whichever process came first.

        Raises:
            UserError: if it is missing, cut off or otherwise unreadable, or does not fit into
                memory or onto the disk.
        """
        check_file(self.path)
        video = _open_video(self.path, self.names, self.size, progress=False)
        check_complete(video)
        return video


def failures_of(files: Sequence[VideoFile], decode: bool = True) -> dict[Path, str]:
    """Look at videos, and go on past those that cannot be read.

    Args:
        files: the videos.
        decode: whether they are decoded, which takes its time; else it is looked whether they are
            there at all.

    Returns:
        What is wrong with each that is missing; or, if they are decoded, unreadable or cut off.

    Raises:
        UserError: if one does not fit into memory or onto the disk.
    """
    failures: dict[Path, str] = {}
    for file in track(files, "decode videos", len(files), show=decode and len(files) > 1):
        try:
            file.open() if decode else check_file(file.path)
        except (RoomError, FullDiskError):
            raise
        except UserError as error:
            failures[file.path] = str(error)
    return failures


def check_complete(video: Video) -> None:
    """Raise a UserError if a video is cut off."""
    if not video.complete:
        raise UserError(
            f"{video.path} is cut off or damaged: {video.shape[0]} of its {video.declared} frames "
            "can be decoded. Copy it anew, or keep what is there (ffmpeg -i IN OUT)"
        )


def _open_video(
    path: Path, names: tuple[str, ...], size: Sequence[int] | None, progress: bool
) -> Video:
    folder = (
        cache_folder("videos")
        / f"{path.stem}-{key_of([path], names, size and tuple(size), _LAYOUT)}"
    )

    def fill(partial: Path) -> None:
        partial.mkdir()
        _decode(path, partial, names, size, progress)

    make_once(folder, fill)
    stored = json.loads((folder / "video.json").read_text(encoding="utf-8"))
    arrays = {"shape": tuple(stored["shape"]), "times": np.array(stored["times"], np.float64)}
    return Video(path, folder, **stored | arrays)


def _decode(
    path: Path, folder: Path, names: tuple[str, ...], size: Sequence[int] | None, progress: bool
) -> None:
    """Write all frames, and what is known of them, into a folder."""
    packets = count_packets(path)
    with open_stream(path) as (container, stream), (folder / FRAMES).open("wb") as file:
        declared, tick = stream.frames, float(stream.time_base or 0)
        nominal = [float(r) for r in (stream.average_rate, stream.guessed_rate) if r]
        expected = min(declared or packets, packets)
        _check_room(path, stream, names, size, expected)
        pictures = pictures_of(path, container, stream, names, size)
        with guarded(path, "cannot be decoded", "it may be damaged"):
            written = _write(
                track(pictures, f"decode {path.name}", expected or None, progress), file
            )
    if not written.times or not nominal:
        raise UserError(f"{path} holds no frames, or does not say how many it has a second")
    known = {
        "shape": [len(written.times), *written.shape],
        **_timing(written, nominal, tick, declared),
        "digest": written.digest,
    }
    (folder / "video.json").write_text(json.dumps(known, indent=2), encoding="utf-8")


class _Written(NamedTuple):
    """Frames in the cache: their times, shape [C,H,W], digest, and whether decoding broke off."""

    times: list[float | None]
    shape: tuple[int, ...]
    digest: str
    broken: bool


def _write(pictures: Iterable[tuple[float | None, np.ndarray]], file: BufferedWriter) -> _Written:
    digest, broken, shape = hashlib.blake2b(digest_size=12), False, ()
    times: list[float | None] = []
    try:
        for time, picture in pictures:
            file.write(picture.data)
            digest.update(picture.data)
            times.append(time)
            shape = picture.shape
    except BROKEN:
        broken = True  # what follows cannot be decoded
    return _Written(times, shape, digest.hexdigest(), broken)


def _check_room(
    path: Path, stream: Any, names: tuple[str, ...], size: Sequence[int] | None, frames: int
) -> None:
    """Refuse a frame that does not fit into memory, and frames that do not fit into the cache."""
    own = stream.codec_context.height, stream.codec_context.width
    height, width = size or own  # turned or not, as large
    decoded = len(names) * height * width
    check_memory(
        4 * math.prod(own) + 2 * decoded,  # as it is decoded, converted, and with channels first
        f"{path}: one frame of {cells(own)}, made {height}×{width},",
        "Make its frames smaller first (ffmpeg -i IN -vf scale=640:-2 OUT)",
    )
    check_disk(
        frames * decoded,
        cache_folder("videos"),
        f"{path}: decoding {frames} frames of {height}×{width}",
        "Set a smaller size, [rows, columns], as data.options.size (data.source videos), or the "
        "environment variable FRAMECAST_CACHE to a folder on a larger disk",
    )


def _timing(
    written: _Written, nominal: Sequence[float], tick: float, declared: int
) -> dict[str, Any]:
    """Pace and completeness, from the times of the frames and from what the file declares.

    An AVI file may hold empty frames, which it counts, and which are not decoded.
    """
    pace = pace_of(written.times, nominal, tick)
    rate = pace.rate if pace.even else nominal[0]
    places = max(len(written.times), round(pace.times[-1] * rate) + 1)
    return {
        "rate": pace.rate,
        "times": pace.times.tolist(),
        "declared": declared,
        "complete": not written.broken and places >= declared * (1 - TOLERATED) - 1,
        "even": pace.even,
    }
