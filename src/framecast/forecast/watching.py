"""What a trained network names while frames come in, without knowing how many there will be."""

from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.datasets.activities import ActivityVideos
from framecast.datasets.source import Source
from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Batch, Place
from framecast.frames.windows import Windows
from framecast.models import Recogniser
from framecast.readers.decoding import find_videos
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.contents import source_of

Read = tuple[str, int, Batch]
"""What a frame is of, its number in it, counted from 1, and the frame as a window of one."""


class Moment(NamedTuple):
    """What a network names after a frame.

    Attributes:
        name: of the video, or of the sequence.
        frame: how many frames there were, those that were not read among them.
        probabilities: of the classes, [K].
    """

    name: str
    frame: int
    probabilities: Float[Tensor, " K"]


class Watch(NamedTuple):
    """What a network names of videos, or of the sequences of a file, as their frames come in.

    Attributes:
        classes: names of the classes.
        moments: after some of the frames, one video after the other; they are read as they are
            asked for.
    """

    classes: tuple[str, ...]
    moments: Iterator[Moment]


def watch(
    run: PathLike,
    place: PathLike | BufferedIOBase,
    *,
    step: int = 1,
    every: int = 1,
    device: str = "auto",
) -> Watch:
    """Name the classes of what goes on, from all frames that came before.

    Frames are read one by one. The network remembers those before in its state, so that each costs
    the same, however long it goes on.

    Args:
        run: folder of a run whose network tells classes apart.
        place: of a run on videos: a video, a folder of videos, or a stream of bytes such as
            standard input; else a file of frames such as those of the training.
        step: frames of a video from one that is read to the next, at least 1.
        every: frames that are read from one naming to the next, at least 1.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Raises:
        UserError: if the run names no classes, or what is at the place cannot be read.
    """
    for name, value in (("step", step), ("every", every)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    predictor, source = Predictor(load_checkpoint(run), device), source_of(run)
    spec = predictor.checkpoint.frames
    if not isinstance(predictor.model, Recogniser):
        raise UserError(
            f"{run} names no classes: it must be the folder of a run that was trained with "
            "model.classifier (docs/recognition.md)"
        )
    if isinstance(source, ActivityVideos):
        read = _of_videos(predictor, source, place, step)
    elif step > 1 or not isinstance(place, str | Path) or spec.reads_forcings:
        why = "reads forcings, which are known ahead" if spec.reads_forcings else "reads files"
        raise UserError(
            f"{run} {why}: frames are watched without --step, in a file, by a run without forcings"
        )
    else:
        read = _of_file(predictor, source, place)
    return Watch(spec.classes, _moments(predictor, read, every))


def _moments(predictor: Predictor, read: Iterator[Read], every: int) -> Iterator[Moment]:
    """Name after some of the frames; a new video, or sequence, is begun without a memory."""
    of, count, watched = None, 0, None
    for name, frame, batch in read:
        if name != of:
            of, count, watched = name, 0, None
        probabilities, watched = predictor.watch(batch, watched)
        count += 1
        if count % every == 0:
            yield Moment(name, frame, probabilities[0, -1])


def _of_videos(
    predictor: Predictor, source: ActivityVideos, place: PathLike | BufferedIOBase, step: int
) -> Iterator[Read]:
    """Every `step`-th frame of each video, the last of each stretch, as it is decoded."""
    videos: list[Path | BufferedIOBase] = [place] if not isinstance(place, str | Path) else []
    if isinstance(place, str | Path):
        videos += [Path(place)] if Path(place).is_fifo() else find_videos(Path(place))
    if not videos:
        raise UserError(f"{place} holds no video: a file, a folder of files or - is needed")
    for video in videos:
        name = str(video) if isinstance(video, Path) else "standard input"
        for number, frames in enumerate(source.stream(video), start=1):
            if number == 1:
                predictor.checkpoint.check(frames)
            if number % step == 0:
                yield name, number, Windows(frames, predictor.scaling, 1)[Place(0, 0)]


def _of_file(predictor: Predictor, source: Source, place: PathLike) -> Iterator[Read]:
    """The frames of each sequence of a file."""
    frames = source.read(place, Selection.of(predictor.checkpoint.frames).past)
    predictor.checkpoint.check(frames)
    windows = Windows(frames, predictor.scaling, 1)
    for sequence, start, stop in frames.pieces:
        name = f"{place}, sequence {sequence}" + (f", from frame {start}" if start else "")
        for frame in range(start, stop):
            yield name, frame + 1, windows[Place(sequence, frame)]
