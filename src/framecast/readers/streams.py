"""Streams of video in files: what they declare, and their frames as FFmpeg decodes them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from jaxtyping import UInt8

from framecast.base.errors import UserError
from framecast.frames.channels import COLOUR, GREY
from framecast.readers.guard import guarded
from framecast.readers.turning import turn_of

BROKEN = av.FFmpegError
"""What is raised where a stream cannot be decoded further."""


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
    with open_stream(path) as (_, stream):
        size = stream.codec_context.height, stream.codec_context.width
        frames, rate = stream.frames, stream.average_rate or stream.guessed_rate
    frames = frames or count_packets(path)
    if not frames or not rate or 0 in size:
        raise UserError(f"{path} holds no frames, or does not say how many it has a second")
    return Declared(frames, size, float(rate))


@contextmanager
def open_stream(path: Path, content: BufferedIOBase | None = None) -> Iterator[tuple[Any, Any]]:
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


def own_channels(path: Path) -> tuple[str, ...]:
    """Return GREY or COLOUR, as the frames of a file are stored."""
    with open_stream(path) as (_, stream):
        form = stream.codec_context.format
        return COLOUR if form is None or len(form.components) > 2 else GREY


def count_packets(path: Path) -> int:
    """Return the frames of a file at most: GIF declares none, and a damaged file too many."""
    count = 0
    with open_stream(path) as (container, stream), suppress(av.FFmpegError):
        for packet in container.demux(stream):
            count += packet.size > 0
    return count


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
        open_stream(path, None if isinstance(video, Path) else video) as (container, stream),
        guarded(path, "cannot be decoded", "it may be damaged, or cut off"),
    ):
        # Threads for whole frames would keep some of them back.
        pictures = pictures_of(path, container, stream, names, size, threads="SLICE")
        yield from (picture for _, picture in pictures)


def pictures_of(
    path: Path,
    container: Any,
    stream: Any,
    names: tuple[str, ...],
    size: Sequence[int] | None,
    threads: str = "AUTO",
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield the frames of a stream, uint8 [C,H,W], each after its time, where it has one.

    They are turned as players show them.

    Args:
        path: of the file, for messages.
        container: as `open_stream` gives it.
        stream: likewise.
        names: GREY or COLOUR.
        size: (H, W) of turned frames; None for their own.
        threads: what FFmpeg's threads share: SLICE of a frame, or AUTO, whole frames too.
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
                f"{path}: its frames change from {cells(first)} to {cells(own)} at frame {number}: "
                "give one size, [rows, columns], as data.options.size"
            )
        height, width = turn.size(*(size or own))
        array = frame.reformat(width, height, form, interpolation="AREA").to_ndarray()
        shown = turn.apply(array.reshape(height, width, -1))
        yield frame.time, np.ascontiguousarray(shown.transpose(2, 0, 1))


def cells(shape: Sequence[int]) -> str:
    """Say how many rows and columns a shape [..., H, W] has."""
    return f"{shape[-2]}×{shape[-1]}"
