"""Video files: decoded once into a cache of bytes, which is then read from disk as it is needed."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedIOBase, BufferedWriter
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
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
from framecast.readers.turning import turn_of

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


class Declared(NamedTuple):
    """What a video file says of itself: its frames, their (H, W), and how many come in a second."""

    frames: int
    size: tuple[int, int]
    rate: float


def declared(path: Path) -> Declared:
    """Return what a video file says of itself, without decoding it.

    Raises:
        UserError: if it is no video, or does not say.
    """
    with _open(path) as (_, stream):
        size = stream.codec_context.height, stream.codec_context.width
        frames, rate = stream.frames, stream.average_rate or stream.guessed_rate
    frames = frames or _count_packets(path)
    if not frames or not rate or 0 in size:
        raise UserError(f"{path} holds no frames, or does not say how many it has a second")
    return Declared(frames, size, float(rate))


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


@contextmanager
def _open(path: Path, content: BufferedIOBase | None = None) -> Iterator[tuple[Any, Any]]:
    """Open a file, or what it is called and a stream: its container and first video stream."""
    hint = "it may be truncated, or in another format than its name says"
    with guarded(path, "cannot be read as video", hint):
        container = av.open(path if content is None else content)
    with container:
        if not container.streams.video:
            raise UserError(f"{path} holds no video, only {_other_streams(container)}")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise UserError(
                f"{path} holds video that FFmpeg does not decode here: it may be damaged, or needs "
                "to be converted first (ffmpeg -i IN OUT.mp4)"
            )
        yield container, stream


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
    packets = _count_packets(path)
    with _open(path) as (container, stream), (folder / FRAMES).open("wb") as file:
        declared, tick = stream.frames, float(stream.time_base or 0)
        nominal = [float(r) for r in (stream.average_rate, stream.guessed_rate) if r]
        expected = min(declared or packets, packets)
        _check_room(path, stream, names, size, expected)
        pictures = _pictures(path, container, stream, names, size)
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
    except av.FFmpegError:
        broken = True  # what follows cannot be decoded
    return _Written(times, shape, digest.hexdigest(), broken)


def _count_packets(path: Path) -> int:
    """The frames that a file holds at most: GIF declares none, and a damaged file too many."""
    count = 0
    with _open(path) as (container, stream), suppress(av.FFmpegError):
        for packet in container.demux(stream):
            count += packet.size > 0
    return count


def _check_room(
    path: Path, stream: Any, names: tuple[str, ...], size: Sequence[int] | None, frames: int
) -> None:
    """Refuse a frame that does not fit into memory, and frames that do not fit into the cache."""
    own = stream.codec_context.height, stream.codec_context.width
    height, width = size or own  # turned or not, as large
    decoded = len(names) * height * width
    check_memory(
        4 * math.prod(own) + 2 * decoded,  # as it is decoded, converted, and with channels first
        f"{path}: one frame of {_by(own)}, made {height}×{width},",
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


def stream_pictures(
    video: Path | BufferedIOBase, names: tuple[str, ...], size: Sequence[int]
) -> Iterator[UInt8[np.ndarray, "C H W"]]:
    """Yield the frames of a video as they are decoded, before the whole is there.

    Args:
        video: a file, which may be a named pipe; or a stream of bytes, such as standard input.
        names: GREY or COLOUR.
        size: (H, W) of the frames.

    Raises:
        UserError: if it is no video, or cannot be decoded further.
    """
    path = video if isinstance(video, Path) else Path("standard input")
    with (
        _open(path, None if isinstance(video, Path) else video) as (container, stream),
        guarded(path, "cannot be decoded", "it may be damaged, or cut off"),
    ):
        # Threads for whole frames would keep some of them back.
        pictures = _pictures(path, container, stream, names, size, threads="SLICE")
        yield from (picture for _, picture in pictures)


def _pictures(
    path: Path,
    container: Any,
    stream: Any,
    names: tuple[str, ...],
    size: Sequence[int] | None,
    threads: str = "AUTO",
) -> Iterator[tuple[float | None, np.ndarray]]:
    """The frames of a stream, uint8 [C,H,W], each after its time in seconds, where it has one.

    They are turned as players show them, and `size` is that of turned frames.
    """
    form = "gray" if names == GREY else "rgb24"
    stream.thread_type = threads
    first = None
    for number, frame in enumerate(container.decode(stream)):
        turn = turn_of(frame, str(path))
        own = turn.size(frame.height, frame.width)
        first = first or own
        if size is None and own != first:
            raise UserError(
                f"{path}: its frames change from {_by(first)} to {_by(own)} at frame {number}: "
                "give one size, [rows, columns], as data.options.size"
            )
        height, width = turn.size(*(size or own))
        array = frame.reformat(width, height, form, interpolation="AREA").to_ndarray()
        shown = turn.apply(array.reshape(height, width, -1))
        yield frame.time, np.ascontiguousarray(shown.transpose(2, 0, 1))


def _by(shape: Sequence[int]) -> str:
    return f"{shape[-2]}×{shape[-1]}"
