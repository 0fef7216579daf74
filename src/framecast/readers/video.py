"""Clips: stretches of videos as sequences of frames, which are read from the cache of videos."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.frames import Coordinate, Frames
from framecast.frames.lazy import LazyValues
from framecast.frames.times import TOLERANCE
from framecast.readers.decoding import Video, check_complete, open_videos
from framecast.readers.selection import EVERYTHING, Selection

ALIKE = 0.01
"""Relative difference of frame rates that count as one, such as 29.97 and 30 a second."""

_EXACT = 1e-3
"""Share of a step by which times are rounded."""


class Sample(NamedTuple):
    """Frames that are taken of a video: their places in it, and their seconds from the first."""

    frames: Sequence[int]
    times: Float64[np.ndarray, " T"]


@dataclass(frozen=True, eq=False)
class Clip:
    """Some frames of a video, by their places in it, in order."""

    video: Video
    frames: Sequence[int]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def mark(self) -> bytes:
        """What it takes of which frames, in bytes."""
        if isinstance(self.frames, range):
            taken = self.frames.start, self.frames.stop, self.frames.step
            return repr((self.video.digest, *taken)).encode()
        return repr((self.video.digest, *self.frames)).encode()


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
        return clip.video.read(clip.frames[start:stop])

    def fingerprint(self) -> str:
        """Return a digest of the frames of the videos, and of what the clips take of them."""
        digest = hashlib.blake2b(digest_size=12)
        for clip in self.clips:
            digest.update(clip.mark)
        return digest.hexdigest()


def clip_frames(
    clips: Sequence[Clip],
    rate: float,
    source: str,
    labels: Mapping[str, Coordinate] | None = None,
    times: Float64[np.ndarray, " T"] | None = None,
) -> Frames:
    """Make frames of clips; the time axis counts seconds from the start of each.

    Args:
        clips: of one size and one set of channels.
        rate: frames a second.
        source: where they come from, for messages.
        labels: coordinates over the dimension `sequence`; None for a single clip without one.
        times: seconds from the first frame to each; None for steps of 1 / rate.
    """
    reader = ClipReader(clips, source)
    seconds = {"units": "s", "axis": "T", "long_name": "time since the first frame"}
    times = np.arange(reader.shape[1]) / rate if times is None else times
    time = Coordinate(("time",), times, seconds)
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
            of the frames; their rate; and whether the time between them may vary (irregular), for a
            single file, all of whose frames are then read at their own times, whatever the rate.
        source: where they come from, for messages; the first path if None.

    Raises:
        UserError: if a file cannot be read or is cut off, sizes or rates differ, frames follow
            one another at uneven times and neither a rate nor `irregular` is given, or something
            is asked for that videos do not have.
    """
    if selection.others or selection.missing:
        raise UserError(
            f"{paths[0]} is a video: it has no {', '.join(selection.others) or 'missing values'}; "
            "diagnostic, forcing and static variables, actions and missing values are read from "
            "labelled files"
        )
    videos = open_videos(paths, selection.variables, selection.size)
    rate = None if selection.irregular else selection.rate
    for video in videos:
        _check(video, even=rate is None and not (selection.irregular and len(videos) == 1))
        if rate is None and abs(video.rate / videos[0].rate - 1) > ALIKE and len(videos) > 1:
            raise UserError(
                f"{paths[0]} has {videos[0].rate:g} frames a second, but {video.path} "
                f"{video.rate:g}: give one rate as data.options.rate"
            )
    samples = [sample(video, rate) for video in videos]
    rate, source = rate or videos[0].rate, source or str(paths[0])
    if len(videos) == 1:
        frames, times = samples[0]
        if not selection.irregular:
            _say_gaps(videos[0], samples[0], "no window crosses these")
        joined = clip_frames([Clip(videos[0], frames)], rate, source, None, times)
    else:
        joined = _sequences(videos, samples, rate, source)
    return replace(joined, irregular=selection.irregular)


def _sequences(
    videos: Sequence[Video], samples: Sequence[Sample], rate: float, source: str
) -> Frames:
    """Each video as a sequence; where frames are lost, each stretch between is one of its own."""
    clips, names = [], []
    for video, taken in zip(videos, samples, strict=True):
        cuts = _say_gaps(video, taken, "what lies between is a sequence of its own")
        for number, (start, stop) in enumerate(pairwise([0, *cuts, len(taken.frames)]), start=1):
            clips.append(Clip(video, taken.frames[start:stop]))
            names.append(f"{video.path.name} ({number})" if cuts else video.path.name)
    return clip_frames(
        clips, rate, source, {"sequence": Coordinate(("sequence",), np.array(names))}
    )


def _say_gaps(video: Video, taken: Sample, remedy: str) -> list[int]:
    """Return the places before which frames of an even video are lost, and warn of them."""
    steps = np.diff(taken.times)
    if not video.even or not len(steps):
        return []
    usual = np.sort(steps)[(len(steps) - 1) // 2]
    cuts: list[int] = (np.flatnonzero(np.abs(steps / usual - 1) > TOLERANCE) + 1).tolist()
    if cuts:
        more = f" and {len(cuts) - 1} more times" if len(cuts) > 1 else ""
        warnings.warn(
            f"{video.path}: frames are missing after {taken.times[cuts[0] - 1]:.6g} s{more}: "
            f"{remedy}",
            stacklevel=2,
        )
    return cuts


def sample(video: Video, rate: float | None) -> Sample:
    """Choose the frames of a video that give `rate` frames a second; None for all.

    For each time that is wanted, it is the frame that is shown then: the last at or before it. No
    frame is shown where frames are lost, and none is interpolated. Where the rate is no n-th part
    of the video's own, which needs frames at uneven places, a warning says so.
    """
    everything = range(video.shape[0])
    if rate is None or (video.even and abs(video.rate / rate - 1) <= ALIKE):
        return Sample(everything, video.times * video.rate / (rate or video.rate))
    stride = max(1, round(video.rate / rate))
    whole = video.even and abs(stride * rate / video.rate - 1) <= ALIKE
    step = float(stride) if whole else video.rate / rate
    wanted, shown = _shown(video, step)
    if not whole:
        _say_resampled(video, rate, shown)
    regular = everything[::stride]
    frames = regular if np.array_equal(shown, regular) else shown.tolist()
    return Sample(frames, wanted / rate)


def _shown(video: Video, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The times, of every `step` frames, at which a frame is shown, and the places of these."""
    places = video.times * video.rate
    wanted = np.arange(int((places[-1] + _EXACT) / step) + 1)
    shown = np.searchsorted(places, wanted * step + _EXACT, "right") - 1
    if not video.even:
        return wanted, shown
    there = wanted * step - places[shown] < 1 - _EXACT
    return wanted[there], shown[there]


def _say_resampled(video: Video, rate: float, shown: np.ndarray) -> None:
    own = f"{video.rate:.4g} frames a second" if video.even else "frames at uneven times"
    taken = len(np.unique(shown))
    again = f", and taken {len(shown) - taken} times again" if taken < len(shown) else ""
    warnings.warn(
        f"{video.path} has {own}: for {rate:g} a second, the frame that is shown at each time is "
        f"taken, {taken} of {video.shape[0]}{again}; none is interpolated",
        stacklevel=2,
    )


def _check(video: Video, even: bool) -> None:
    """Refuse a video that is cut off, or uneven where it is to be even."""
    check_complete(video)
    if even and not video.even:
        steps = np.diff(video.times)
        raise UserError(
            f"{video.path}: its frames do not follow one another at even times, but after "
            f"{steps.min():.3g} to {steps.max():.3g} s (variable frame rate). Choose a constant "
            f"rate (data.source videos, data.options.rate {video.rate:.3g}), or, for a single "
            "file and a layer that reads the time between frames (conv_s5), set data.irregular "
            "(data.source files)"
        )
