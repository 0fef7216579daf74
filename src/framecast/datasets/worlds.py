"""Episodes of worlds in which an agent acts: `.npz` files, or videos with actions beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.base.progress import track
from framecast.datasets.source import Source, register_source
from framecast.datasets.videos import check_size
from framecast.frames.channels import COLOUR, Channel, Coordinate
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues
from framecast.frames.splits import Splits
from framecast.readers.decoding import SUFFIXES
from framecast.readers.paths import Paths, find_paths, name_of
from framecast.readers.recordings import Recording, RecordingReader, read_recording
from framecast.readers.selection import Selection

POSE = ("x", "y", "z", "heading")
"""Names of the coordinates of the agent, where the files have them."""


@register_source("episodes")
@dataclass(frozen=True)
class Episodes(Source):
    """Episodes of one's own: `.npz` files with `video` and `actions`, or videos beside such files.

    A folder with folders named train, and perhaps validation and test, says itself what is what; in
    another, or where validation is missing, episodes are held out at random. Files may lie at any
    depth.

    Attributes:
        path: the folder.
        validation_fraction: share of the training episodes that is held out for validation, where
            no folder holds them, in [0, 1).
        test_fraction: share of the episodes kept for the test, where no folder holds them, in
            [0, 1).
        action_names: names of the actions, by their numbers from 0; null for those that the files
            name, or that the data set has.
        action_shift: frames by which actions are stored late: 0, action t is done after frame t;
            1, action t led to frame t. Null for the data set's own.
        with_actions: whether actions are read.
        rate: frames a second of `.npz` files, which do not say.
        size: [rows, columns] to which the frames of videos are resized; their own if null.
        seed: of what is held out.
    """

    path: str = "data/episodes"
    validation_fraction: float = 0.05
    test_fraction: float = 0.1
    action_names: list[str] | None = None
    action_shift: int | None = None
    with_actions: bool = True
    rate: float = 10.0
    size: list[int] | None = None
    seed: int = 0

    OWN_NAMES: ClassVar[tuple[str, ...]] = ()
    OWN_SHIFT: ClassVar[int | None] = None
    SUFFIXES: ClassVar[tuple[str, ...]] = (".npz", *SUFFIXES)

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.action_shift not in (None, 0, 1):
            raise ValueError(f"action_shift {self.action_shift} must be 0 or 1")
        if self.action_names is not None:
            check_names(self.action_names)
        if self.rate <= 0:
            raise ValueError(f"rate {self.rate} must be positive")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} must not be negative")

    def splits(self) -> Splits:
        """Read the parts.

        Raises:
            UserError: if there are no episodes, a file is missing or damaged, or they are not
                alike.
        """
        parts = self._parts()
        read = {name: self.frames(files, f"{self.path} ({name})") for name, files in parts.items()}
        return Splits(read["train"], read.get("validation"), read.get("test"))

    def test(self) -> Frames | None:
        """Read the test part.

        Raises:
            UserError: as `splits`.
        """
        files = self._parts().get("test")
        return self.frames(files, f"{self.path} (test)") if files else None

    def read(self, place: Paths, selection: Selection) -> Frames:
        """Read other episodes: files, and those of folders, or of their folders named test.

        Raises:
            UserError: as `splits`.
        """
        files: list[Path] = []
        for path in find_paths(place):
            found = self.find(path / "test") or self.find(path)
            if not found:
                raise UserError(f"{path} holds no episode ({', '.join(self.SUFFIXES)})")
            files += found
        return self.frames(files, name_of(place))

    def find(self, path: Path) -> list[Path]:
        """Return the episodes in a folder, by name, its folders in the order of their numbers.

        A `.npz` file that lies beside a video of its name holds its actions, and is no episode.
        """
        if path.is_file():
            return [path] if path.suffix.lower() in self.SUFFIXES else []
        files = [
            f
            for f in path.rglob("*")
            if f.suffix.lower() in self.SUFFIXES and f.is_file() and not _is_hidden(f, path)
        ]
        videos = {f.with_suffix("") for f in files if f.suffix.lower() != ".npz"}
        kept = [f for f in files if f.suffix.lower() != ".npz" or f.with_suffix("") not in videos]
        return sorted(kept, key=lambda file: _by_numbers(file.relative_to(path)))

    def frames(self, files: Sequence[Path], source: str) -> Frames:
        """Read episodes, each a sequence.

        Args:
            files: at least one.
            source: where they come from, for messages.
        """
        recordings = [
            read_recording(file, self.size, self.with_actions)
            for file in track(files, "read episodes", len(files), show=len(files) > 100)
        ]
        _check_alike(recordings)
        names = self._names(recordings)
        lengths = tuple(one.seen.shape[0] for one in recordings)
        reader = RecordingReader([one.seen for one in recordings], source)
        return Frames(
            values=LazyValues.of(reader, lengths),
            channels=tuple(Channel(name, {"valid_range": [0, 255]}) for name in COLOUR),
            dims=("sequence", "time", "y", "x"),
            coordinates=self._coordinates(recordings),
            source=source,
            actions=self._actions(recordings, names) if self.with_actions else None,
            action_names=names if self.with_actions else (),
        )

    def _parts(self) -> dict[str, list[Path]]:
        """The files of each part, without parts of none."""
        folder = Path(self.path)
        found = {name: self.find(folder / name) for name in ("train", "validation", "test")}
        if begun := [*folder.glob(".*.begun")]:
            raise UserError(
                f"{folder} is not finished ({begun[0].name}): give framecast simulate once more, "
                "which goes on where it was stopped"
            )
        if not found["train"]:
            everything = self.find(folder) if not (folder / "train").is_dir() else []
            if not everything:
                raise UserError(
                    f"{folder} holds no episodes ({', '.join(self.SUFFIXES)}): data.path must be "
                    "the folder with the folders train and test"
                )
            found["train"], found["test"] = self._held_out(everything, "test_fraction")
        if not found["validation"]:
            kept = self._held_out(found["train"], "validation_fraction")
            found["train"], found["validation"] = kept
        return {name: files for name, files in found.items() if files}

    def _held_out(self, files: list[Path], name: str) -> tuple[list[Path], list[Path]]:
        """Part episodes at random: what is kept, and what is held out."""
        count = math.floor(len(files) * getattr(self, name) + 0.5)
        if count == len(files) or (not count and getattr(self, name)):
            raise UserError(
                f"{self.path}: {name} {getattr(self, name)} of {len(files)} episodes leaves "
                f"nothing; {'lower' if count else 'raise'} it, or set it to 0"
            )
        held = set(np.random.default_rng(self.seed).permutation(len(files))[:count].tolist())
        parted = [[f for i, f in enumerate(files) if (i in held) is out] for out in (False, True)]
        return parted[0], parted[1]

    def _names(self, recordings: Sequence[Recording]) -> tuple[str, ...]:
        """Names of the actions: those that are given, else the files', else the data set's own."""
        if not self.with_actions:
            return ()
        first = recordings[0]
        for one in recordings:
            if one.names != first.names:
                raise UserError(
                    f"{one.path} names its actions {', '.join(one.names) or 'not at all'}, but "
                    f"{first.path} {', '.join(first.names) or 'not at all'}: give one "
                    "data.options.action_names"
                )
        names = self.action_names or first.names or self.OWN_NAMES
        if not names:
            raise UserError(
                f"{first.path} does not name its actions: name them, by their numbers from 0, as "
                "data.options.action_names, such as [left, right, forward]"
            )
        return tuple(names)

    def _actions(
        self, recordings: Sequence[Recording], names: Sequence[str]
    ) -> Float[Tensor, "N T A"]:
        """Actions as unit vectors; action t is done after frame t, NaN where none is known."""
        shift = self._shift(recordings[0])
        longest = max(one.seen.shape[0] for one in recordings)
        check_memory(
            4 * len(recordings) * longest * len(names),
            f"{self.path}: actions of {len(recordings)} episodes",
            "Learn from fewer episodes, or train without actions (--no-actions).",
        )
        actions = torch.full((len(recordings), longest, len(names)), torch.nan)
        units = np.eye(len(names), dtype=np.float32)
        for place, one in enumerate(recordings):
            assert one.actions is not None
            _check_known(one, names)
            late = torch.from_numpy(units[one.actions[shift:]])
            actions[place, : len(late)] = late
        return actions

    def _shift(self, first: Recording) -> int:
        """Frames by which actions are stored late."""
        shift = self.OWN_SHIFT if self.action_shift is None else self.action_shift
        if shift is None:
            raise UserError(
                f"{first.path}: its actions can be read in two ways: set data.options.action_shift "
                "0 if action t is done after frame t, or 1 if action t led to frame t"
            )
        return shift

    def _coordinates(self, recordings: Sequence[Recording]) -> dict[str, Coordinate]:
        """Time in seconds, names of the episodes, and the pose of the agent."""
        longest = max(one.seen.shape[0] for one in recordings)
        rate = recordings[0].seen.rate or self.rate
        seconds = {"units": "s", "axis": "T", "long_name": "time since the first frame"}
        root = Path(self.path)
        named = [
            str(one.path.relative_to(root) if root in one.path.parents else one.path)
            for one in recordings
        ]
        coordinates = {
            "time": Coordinate(("time",), np.arange(longest) / rate, seconds),
            "sequence": Coordinate(("sequence",), np.array(named)),
        }
        if all(one.pose is not None for one in recordings):
            poses = np.full((len(recordings), longest, len(POSE)), np.nan, np.float32)
            for place, one in enumerate(recordings):
                poses[place, : one.seen.shape[0]] = one.pose
            for place, name in enumerate(POSE):
                along = ("sequence", "time")
                coordinates[f"agent_{name}"] = Coordinate(along, poses[..., place])
        return coordinates


def _is_hidden(file: Path, folder: Path) -> bool:
    """Whether a file, or a folder that it lies in, is hidden, as what is not finished is."""
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def check_names(names: Sequence[str]) -> None:
    """Raise a ValueError unless these can be names of actions: several, and no two alike."""
    if not names or len(set(names)) < len(names):
        raise ValueError(f"action_names {list(names)} must be different names, at least one")


def _by_numbers(path: Path) -> tuple[tuple[bool, int, str], ...]:
    """What sorts 2.npz before 10.npz."""
    words = [(part.partition(".")[0], part) for part in path.parts]
    return tuple((not w.isdecimal(), int(w) if w.isdecimal() else 0, part) for w, part in words)


def _check_alike(recordings: Sequence[Recording]) -> None:
    first = recordings[0]
    for one in recordings:
        if one.seen.shape[1:] != first.seen.shape[1:]:
            sizes = [f"{s.seen.shape[2]}×{s.seen.shape[3]}" for s in (one, first)]
            raise UserError(f"{one.path} has frames of {sizes[0]}, but {first.path} of {sizes[1]}")


def _check_known(recording: Recording, names: Sequence[str]) -> None:
    assert recording.actions is not None
    outside = (recording.actions < 0) | (recording.actions >= len(names))
    if outside.any():
        place = int(np.argmax(outside))
        raise UserError(
            f"{recording.path}: action {recording.actions[place]} of frame {place} is none of the "
            f"{len(names)} actions {', '.join(names)}: name all that there are, from 0 on, as "
            "data.options.action_names, or learn without actions (framecast train --no-actions)"
        )
