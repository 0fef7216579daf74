"""The KTH actions: 25 persons, six actions, four scenarios, in grey, 25 frames a second.

Schüldt, Laptev and Caputo, Recognizing human actions: a local SVM approach, ICPR 2004. The videos
are parted by persons as is usual in video prediction: 1 to 16 to learn from, 17 to 25 for the test.
"""

import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from framecast.base.errors import UserError
from framecast.datasets.source import Source, register_source
from framecast.datasets.videos import check_size
from framecast.frames.channels import GREY
from framecast.frames.frames import Coordinate, Frames
from framecast.frames.splits import Splits
from framecast.readers.decoding import Video, open_videos
from framecast.readers.video import Clip, clip_frames

ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
LIST = "00sequences.txt"
TRAINING, TEST = range(1, 17), range(17, 26)
"""Persons."""


@dataclass(frozen=True)
class Entry:
    """A sequence of the published list: frames `start` to `stop` - 1 of a video, from 0."""

    person: int
    action: str
    scenario: int
    start: int
    stop: int

    @property
    def video(self) -> str:
        """Name of the video."""
        return f"person{self.person:02d}_{self.action}_d{self.scenario}"

    @property
    def name(self) -> str:
        """The video, and its frames as the list counts them, from 1."""
        return f"{self.video} {self.start + 1}-{self.stop}"


@register_source("kth")
@dataclass(frozen=True)
class Kth(Source):
    """The KTH actions as they are published: AVI files in folders, and the list of sequences.

    Attributes:
        path: folder with 00sequences.txt and a folder for each action, which holds its videos,
            personNN_ACTION_dS_uncomp.avi.
        actions: which to read.
        validation_persons: of persons 1 to 16, those that are kept for validation; none leaves
            all sixteen for training.
        size: [rows, columns] to which the frames, 120×160, are resized.
    """

    path: str = "data/kth"
    actions: list[str] = field(default_factory=lambda: list(ACTIONS))
    validation_persons: list[int] = field(default_factory=lambda: [15, 16])
    size: list[int] = field(default_factory=lambda: [128, 128])

    def __post_init__(self) -> None:
        check_size(self.size)
        if not self.actions or not set(self.actions) <= set(ACTIONS):
            raise ValueError(f"actions {self.actions} must be some of {', '.join(ACTIONS)}")
        if not set(self.validation_persons) < set(TRAINING):
            raise ValueError(
                f"validation_persons {self.validation_persons} must be some of 1 to 16, not all"
            )

    def splits(self) -> Splits:
        """Read the parts.

        Raises:
            UserError: if the list or a video is not there, or cannot be read.
        """
        kept = set(self.validation_persons)
        return Splits(
            train=self._read(set(TRAINING) - kept, "training"),
            validation=self._read(kept, "validation") if kept else None,
            test=self.test(),
        )

    def test(self) -> Frames:
        """Read the sequences of persons 17 to 25.

        Raises:
            UserError: as `splits`.
        """
        return self._read(set(TEST), "test")

    def _read(self, persons: Collection[int], part: str) -> Frames:
        entries = [
            entry
            for entry in read_list(Path(self.path) / LIST)
            if entry.person in persons and entry.action in self.actions
        ]
        if not entries:
            raise UserError(f"{self.path}: {LIST} names no sequence for {part}")
        files = {e.video: _file(Path(self.path), e) for e in entries}
        _check_there(files.values(), self.path)
        videos = dict(zip(files, open_videos(list(files.values()), GREY, self.size), strict=True))
        return _frames(entries, videos, f"{self.path} ({part})")


def read_list(file: Path) -> list[Entry]:
    """Read the published list of sequences.

    A line is `person01_boxing_d1 frames 1-95, 96-185, ...`, or says `*missing*` of a video that was
    never published. Lines that do not begin with a person are its preface. Frames of two sequences
    may overlap.

    Raises:
        UserError: if the file is not there, or a line is not understood.
    """
    if not file.is_file():
        raise UserError(
            f"{file} does not exist: data.path must be the folder with {LIST} and the folders "
            f"{', '.join(ACTIONS)}, as published (docs/data.md says where)"
        )
    entries: list[Entry] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if re.match(r"person\d+_", line):
            try:
                entries += _entries(line)
            except ValueError as error:
                raise UserError(f"{file}: line {number} is not understood: {line}") from error
    return entries


def _entries(line: str) -> Iterator[Entry]:
    """The sequences of a line.

    Raises:
        ValueError: if it is not one of the list.
    """
    found = re.fullmatch(r"person(\d+)_([a-z]+)_d(\d)\s+(?:frames\s+(.*?)|\*missing\*)\s*", line)
    if found is None or found[2] not in ACTIONS:
        raise ValueError(line)
    for stretch in (found[4] or "").split(",") if found[4] else []:
        first, last = map(int, stretch.split("-"))
        if not 1 <= first <= last:
            raise ValueError(stretch)
        yield Entry(int(found[1]), found[2], int(found[3]), first - 1, last)


def _file(folder: Path, entry: Entry) -> Path:
    return folder / entry.action / f"{entry.video}_uncomp.avi"


def _check_there(files: Collection[Path], folder: str) -> None:
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} of {len(files)} videos are missing, the first {missing[0]}. "
            "Unpack each archive into the folder of its action, or choose the actions that are "
            'there (data.options.actions, such as ["walking"])'
        )


def _frames(entries: Sequence[Entry], videos: dict[str, Video], source: str) -> Frames:
    """Sequences with their labels; those that outlast their video end with it."""
    short = [e for e in entries if e.stop > videos[e.video].shape[0]]
    if short:
        warnings.warn(
            f"{source}: {len(short)} sequences are cut, or left out, since their videos end "
            f"before them: {', '.join(e.name for e in short)}",
            stacklevel=2,
        )
    entries = [e for e in entries if e.start < videos[e.video].shape[0]]
    clips = [
        Clip(videos[e.video], range(e.start, min(e.stop, videos[e.video].shape[0])))
        for e in entries
    ]
    labels = {
        "sequence": [e.name for e in entries],
        "action": [e.action for e in entries],
        "person": [e.person for e in entries],
        "scenario": [e.scenario for e in entries],
    }
    coordinates = {k: Coordinate(("sequence",), np.array(v)) for k, v in labels.items()}
    return clip_frames(clips, clips[0].video.rate, source, coordinates)
