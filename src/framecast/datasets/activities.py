"""Videos of activities: what all data sets of labelled videos share, whatever their layout.

A sequence is a sample of one video of which a part was seen: frames that are given, and the ones
that follow, which are predicted. Its label is the activity of the whole video, seen or not.
"""

import math
import warnings
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from framecast.base.errors import UserError
from framecast.datasets.best_guess import BestGuess
from framecast.datasets.source import Source
from framecast.datasets.videos import check_size
from framecast.frames.channels import COLOUR, GREY, Coordinate
from framecast.frames.frames import Frames
from framecast.frames.labels import Labels
from framecast.frames.lazy import LazyValues
from framecast.readers.decoding import (
    SUFFIXES,
    VideoFile,
    channels_of,
    failures_of,
    find_videos,
)
from framecast.readers.paths import Paths
from framecast.readers.samples import Sample, SampleReader, Sampling
from framecast.readers.selection import Selection
from framecast.readers.streams import stream_pictures

NONE = "none of these"
"""The class of what belongs to no other, where it is asked for."""
LISTED = 20
"""Videos that a message lists by name."""


class Entry(NamedTuple):
    """A labelled video.

    Attributes:
        video: the file.
        label: name of its class.
        further: other things that are known of it, by name, such as the group of its class.
    """

    video: Path
    label: str
    further: Mapping[str, str] = {}


@dataclass(frozen=True)
class ActivityVideos(Source):
    """What is taken of each video, whatever the layout.

    Attributes:
        path: where the videos are.
        variables: [grey], or [red, green, blue], which null stands for.
        size: [rows, columns] to which frames are resized.
        seen: shares of a video that are given, each in (0, 1]: each makes a sequence of its own of
            every video.
        frames: number of frames that are given of the seen share, at least 1: training.context.
        targets: number of frames after it that are to be predicted, at least 1: training.horizon.
        sampling: which frames: even, spread over the seen share, and targets at the same step; or
            last, the last ones of the seen share, and the targets right after them.
        strict: whether a video that cannot be decoded is an error. Otherwise, of those to learn
            from, the next one of its class is read in its place; of others, it is skipped; and
            that is said.
        seed: of what is random in how the videos are parted.
    """

    path: str = "data/videos"
    variables: list[str] | None = None
    size: list[int] = field(default_factory=lambda: [224, 224])
    seen: list[float] = field(default_factory=lambda: [0.25, 0.5])
    frames: int = 16
    targets: int = 10
    sampling: Sampling = "even"
    strict: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.variables is not None and tuple(self.variables) not in (GREY, COLOUR):
            raise ValueError(
                f"variables {self.variables} must be [{GREY[0]}], or [{', '.join(COLOUR)}]"
            )
        check_shares(self.seen)
        for name in ("frames", "targets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} must not be negative")

    @property
    def window(self) -> tuple[int, int]:
        """Frames that are given, and that are predicted, of each sequence."""
        return self.frames, self.targets

    def at(self, shares: Sequence[float]) -> "ActivityVideos":
        """Return the same data set with other shares of each video seen."""
        return replace(self, seen=list(shares))

    def best_guess(self, place: Paths | None, classes: Sequence[str]) -> BestGuess | None:
        """Return how often the best possible guess is right, where that is known.

        Args:
            place: of other videos; None for those of the data set itself.
            classes: that it must know.
        """
        return None

    def read(self, place: Paths, selection: Selection) -> Frames:
        """Read a video, or the videos of a folder, without labels: each is seen whole.

        Raises:
            UserError: if there is none, or one cannot be decoded.
        """
        return replace(self, seen=[1.0], strict=True).watch(place)

    def watch(self, place: Paths) -> Frames:
        """Read videos as they are seen, at each share, without labels and targets.

        Raises:
            UserError: if there is none; or, where this is strict, one cannot be decoded.
        """
        files = find_videos(Path(place)) if isinstance(place, str | Path) else []
        if not files:
            raise UserError(
                f"{place} holds no video: a file or a folder of files is needed, "
                f"{', '.join(SUFFIXES)}"
            )
        entries = self._readable([Entry(file, "") for file in files], str(place))
        return self._sample(entries, 0, str(place))

    def stream(self, video: Path | BufferedIOBase) -> Iterator[Frames]:
        """Yield the frames of a video one by one, as they are decoded, each a sequence.

        Raises:
            UserError: if it is no video, or cannot be decoded further.
        """
        source = str(video) if isinstance(video, Path) else "standard input"
        for picture in stream_pictures(video, self._names, (self.size[0], self.size[1])):
            values = torch.from_numpy(picture.astype(np.float32))[None, None]
            dims = ("sequence", "time", "y", "x")
            yield Frames(values, channels_of(self._names), dims, source=source)

    def labelled(
        self,
        entries: Sequence[Entry],
        classes: Sequence[str],
        source: str,
        *,
        complete: bool = False,
        decode: bool = False,
    ) -> Frames:
        """Read labelled videos.

        Args:
            entries: at least one.
            classes: names of all classes, in the order of their numbers.
            source: where they come from, for messages.
            complete: whether there must be a video of every class, as there must be to learn from.
            decode: whether all are decoded now, and those that cannot be are skipped, which is
                said. Else those that are not there are skipped, and each is decoded where it is
                first read; for one that cannot be, the next of its class is read.

        Raises:
            UserError: if there is none; or, where this is strict, one cannot be read; or a class
                has no video where it must have one.
        """
        kept = self._readable(entries, source, decode)
        if complete:
            check_every_class(kept, classes, source)
        frames = self._sample(kept, self.targets, source)
        number = {name: place for place, name in enumerate(classes)}
        numbers = [number[entry.label] for entry in kept for _ in self.seen]
        labels = Labels(torch.tensor(numbers, dtype=torch.int64), tuple(classes))
        return replace(frames, labels=labels)

    @property
    def _names(self) -> tuple[str, ...]:
        return COLOUR if self.variables is None else tuple(self.variables)

    def _file(self, entry: Entry) -> VideoFile:
        return VideoFile(entry.video, self._names, (self.size[0], self.size[1]))

    def _readable(self, entries: Sequence[Entry], source: str, decode: bool = True) -> list[Entry]:
        """Look at videos, and return those that can be read; what is skipped is said."""
        failures = failures_of([self._file(entry) for entry in entries], decode)
        if failures and (self.strict or len(failures) == len(entries)):
            raise UserError(_refusal(failures, len(entries), source))
        if failures:
            listed = _listed([path.name for path in failures])
            warnings.warn(
                f"{source}: {len(failures)} of {len(entries)} videos cannot be "
                f"{'decoded' if decode else 'found'}, and are skipped: {listed}. The first: "
                f"{next(iter(failures.values()))}",
                stacklevel=2,
            )
        return [entry for entry in entries if entry.video not in failures]

    def _sample(self, entries: Sequence[Entry], targets: int, source: str) -> Frames:
        """A sequence of each video, at each share."""
        taken = [(entry, share) for entry in entries for share in self.seen]
        samples = [Sample(self._file(entry), share, entry.label) for entry, share in taken]
        reader = SampleReader(samples, self.frames, targets, self.sampling, source, self.strict)
        along = {"axis": "T", "long_name": "place in the sample of frames"}
        time = Coordinate(("time",), np.arange(reader.shape[1]), along)
        return Frames(
            values=LazyValues.of(reader),
            channels=channels_of(self._names),
            dims=("sequence", "time", "y", "x"),
            coordinates={"time": time, **_coordinates(taken)},
            source=source,
        )


def check_shares(shares: Sequence[float]) -> None:
    """Raise a ValueError unless shares are some of a video, each once."""
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"seen {list(shares)} must be shares of a video, above 0 and at most 1")
    if len(set(shares)) < len(shares):
        raise ValueError(f"seen {list(shares)} names a share twice")


def check_every_class(entries: Collection[Entry], classes: Sequence[str], source: str) -> None:
    """Raise a UserError if a class has no video to learn from."""
    there = {entry.label for entry in entries}
    if missing := [name for name in classes if name not in there]:
        raise UserError(
            f"{source}: {len(missing)} of {len(classes)} classes have no video to learn from: "
            f"{_listed(missing)}. Add some, or leave the classes out"
        )


def hold_out(
    entries: Sequence[Entry], fraction: float, seed: int
) -> tuple[list[Entry], list[Entry]]:
    """Part videos at random, the same share of each class, and the same for the same seed.

    A class is parted by its own name and videos alone, so that others may come and go.

    Args:
        entries: in any order.
        fraction: share that is held out of each class, to the nearest number of videos.
        seed: of the choice.

    Returns:
        What is kept, and what is held out, both in the order of `entries`.
    """
    held: set[Path] = set()
    for name, count in Counter(entry.label for entry in entries).items():
        own = sorted(entry.video for entry in entries if entry.label == name)
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        chosen = random.permutation(count)[: math.floor(count * fraction + 0.5)]
        held |= {own[place] for place in chosen}
    kept = [entry for entry in entries if entry.video not in held]
    return kept, [entry for entry in entries if entry.video in held]


def _coordinates(taken: Sequence[tuple[Entry, float]]) -> dict[str, Coordinate]:
    """What is known of each sequence, by which scores may be kept apart."""
    known: dict[str, list[Any]] = {
        "sequence": [f"{entry.video.name}, {share:.0%} seen" for entry, share in taken],
        "video": [entry.video.name for entry, _ in taken],
        "seen": [share for _, share in taken],
    }
    if taken[0][0].label:
        known["class"] = [entry.label for entry, _ in taken]
    for name in taken[0][0].further:
        known[name] = [entry.further[name] for entry, _ in taken]
    return {name: Coordinate(("sequence",), np.array(values)) for name, values in known.items()}


def _refusal(failures: Mapping[Path, str], count: int, source: str) -> str:
    """Say what is wrong with videos; of a single one, that alone."""
    first = next(iter(failures.values()))
    if count == 1:
        return first
    listed = _listed([path.name for path in failures])
    return f"{source}: {len(failures)} of {count} videos cannot be read: {listed}. {first}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
