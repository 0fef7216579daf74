"""Clips: stretches of videos as sequences of frames, which are read from the cache of videos."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.frames import Coordinate, Frames
from framecast.frames.lazy import LazyValues
from framecast.readers.decoding import Video, open_videos
from framecast.readers.selection import EVERYTHING, Selection

ALIKE = 0.01
"""Relative difference of frame rates that count as one, such as 29.97 and 30 a second."""


@dataclass(frozen=True)
class Clip:
    """Every `stride`-th of the frames `start` to `stop` - 1 of a video."""

    video: Video
    start: int
    stop: int
    stride: int = 1

    def __len__(self) -> int:
        return len(range(self.start, self.stop, self.stride))


@dataclass(frozen=True)
class ClipReader:
    """Reads clips of one size, not all of one length."""

    clips: Sequence[Clip]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W); T of the longest clip."""
        _, c, h, w = self.clips[0].video.shape
        return len(self.clips), max(map(len, self.clips)), c, h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a clip, with values from 0 to 255."""
        clip = self.clips[sequence]
        first, last = (clip.start + place * clip.stride for place in (start, stop))
        return clip.video.read(first, min(last, clip.stop), clip.stride)

    def fingerprint(self) -> str:
        """Return a digest of the frames of the videos, and of what the clips take of them."""
        digest = hashlib.blake2b(digest_size=12)
        for clip in self.clips:
            digest.update(repr((clip.video.digest, clip.start, clip.stop, clip.stride)).encode())
        return digest.hexdigest()


def clip_frames(
    clips: Sequence[Clip], rate: float, source: str, labels: Mapping[str, Coordinate] | None = None
) -> Frames:
    """Make frames of clips; the time axis counts seconds from the start of each.

    Args:
        clips: of one size and one set of channels.
        rate: frames a second.
        source: where they come from, for messages.
        labels: coordinates over the dimension `sequence`; None for a single clip without one.
    """
    reader = ClipReader(clips, source)
    seconds = {"units": "s", "axis": "T", "long_name": "time since the first frame"}
    time = Coordinate(("time",), np.arange(reader.shape[1]) / rate, seconds)
    sequence = () if labels is None else ("sequence",)
    return Frames(
        values=LazyValues.of(reader, tuple(map(len, clips))),
        channels=clips[0].video.channels,
        dims=(*sequence, "time", "y", "x"),
        coordinates={"time": time, **(labels or {})},
        source=source,
    )


def read_videos(
    paths: Sequence[Path], selection: Selection = EVERYTHING, source: str | None = None
) -> Frames:
    """Read whole videos, each a sequence; one video alone has no dimension of sequences.

    Args:
        paths: the files, at least one.
        selection: variables (grey), or (red, green, blue), or none for the files' own; the size
            of the frames; and their rate: every second, third, ... frame is taken.
        source: where they come from, for messages; the first path if None.

    Raises:
        UserError: if a file cannot be read or is cut off, sizes or rates differ, the rate is not
            the n-th part of a file's own, or something is asked for that videos do not have.
    """
    if selection.others or selection.missing:
        raise UserError(
            f"{paths[0]} is a video: it has no {', '.join(selection.others) or 'missing values'}; "
            "diagnostic, forcing and static variables, actions and missing values are read from "
            "labelled files"
        )
    rate = selection.rate
    videos = open_videos(paths, selection.variables, selection.size)
    for video in videos:
        _check(video)
    own = videos[0].rate
    for video in videos:
        if rate is None and abs(video.rate / own - 1) > ALIKE:
            raise UserError(
                f"{paths[0]} has {own:g} frames a second, but {video.path} {video.rate:g}: give "
                "one rate as data.options.rate"
            )
    clips = [Clip(v, 0, v.shape[0], stride_for(v, rate or own)) for v in videos]
    names = np.array([path.name for path in paths])
    labels = None if len(clips) == 1 else {"sequence": Coordinate(("sequence",), names)}
    return clip_frames(clips, rate or own, source or str(paths[0]), labels)


def stride_for(video: Video, rate: float) -> int:
    """Return n for which every n-th frame of a video gives `rate` frames a second.

    Raises:
        UserError: if there is none.
    """
    stride = max(1, round(video.rate / rate))
    if abs(stride * rate / video.rate - 1) > ALIKE:
        raise UserError(
            f"{video.path} has {video.rate:g} frames a second: every second, third, ... frame can "
            f"be taken, but none of this gives {rate:g} a second. Convert the video first "
            f"(ffmpeg -i IN -r {rate:g} OUT)"
        )
    return stride


def _check(video: Video) -> None:
    if not video.complete:
        raise UserError(
            f"{video.path} is cut off or damaged: {video.shape[0]} of its {video.declared} frames "
            "can be decoded. Copy it anew, or keep what is there (ffmpeg -i IN OUT)"
        )
    if not video.even:
        raise UserError(
            f"{video.path}: its frames do not follow one another at even times. Make them even "
            f"first (ffmpeg -i IN -r {video.rate:.3g} OUT)"
        )
