"""Labelled videos of one's own: a folder for each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framecast.base.errors import UserError, nearest
from framecast.base.hidden import unfinished_of
from framecast.datasets.activities import NONE, ActivityVideos, Entry, check_every_class, hold_out
from framecast.datasets.best_guess import BestGuess, read_best_guess
from framecast.datasets.source import register_source
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits
from framecast.readers.decoding import SUFFIXES, find_videos
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection

PARTS = ("train", "validation", "test")


@register_source("video_classes")
@dataclass(frozen=True)
class VideoClasses(ActivityVideos):
    """Folders named after classes, which hold the videos of each.

    A folder with folders named train, and perhaps validation and test, each of which holds the
    folders of classes, says itself what is what. Another folder is parted at random, the same
    share of every class. Folders are in the order of their names. Where it is known how often the
    best possible guess is right, a file best_guess.csv in the folder may say so.

    Attributes:
        path: folder of folders of videos (.mp4, .avi, .gif, .mov, .mkv, .webm).
        classes: names of the folders that are told apart; null for all.
        none_of_these: whether the videos of all other folders are read too, as one class more,
            none of these.
        validation_fraction: share of the videos of each class kept for validation, in [0, 1).
        test_fraction: share of the videos of each class kept for the test, in [0, 1).
    """

    classes: list[str] | None = None
    none_of_these: bool = False
    validation_fraction: float = 0.15
    test_fraction: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes {self.classes} names a folder twice")
        if self.none_of_these and self.classes is None:
            raise ValueError(
                "none_of_these would change nothing: name the classes that are told apart, from "
                "which all others differ (data.options.classes)"
            )

    def splits(self) -> Splits:
        """Read the parts.

        Raises:
            UserError: if there are no videos, or a class has none to learn from.
        """
        parts, classes = self._parts()
        train, validation, test = (
            self._part(name, parts, classes) if parts[name] else None for name in PARTS
        )
        if train is None:
            raise UserError(
                f"{self.path}: the fractions leave no video for training: lower "
                "data.validation_fraction or data.test_fraction"
            )
        return Splits(train, validation, test)

    def test(self) -> Frames | None:
        """Read the test part.

        Raises:
            UserError: as `splits`.
        """
        parts, classes = self._parts()
        return self._part("test", parts, classes, decode=True) if parts["test"] else None

    def best_guess(self, place: Paths | None, classes: Sequence[str]) -> BestGuess | None:
        """Read best_guess.csv, where the folder has one.

        Raises:
            UserError: if it is not such a table.
        """
        folder = self.path if place is None else place
        return read_best_guess(Path(folder), classes) if isinstance(folder, str | Path) else None

    def read(self, place: Paths, selection: Selection) -> Frames:
        """Read other videos: with labels where a folder holds folders of classes.

        Raises:
            UserError: as `ActivityVideos.read`.
        """
        folder = Path(place) if isinstance(place, str | Path) else None
        if folder is not None and (folder / "test").is_dir():
            folder = folder / "test"
        if folder is not None and (found := self._classes(folder)):
            entries = [entry for own in found.values() for entry in own]
            return self.labelled(entries, list(found), str(folder), decode=True)
        return super().read(place, selection)

    def _part(
        self,
        name: str,
        parts: Mapping[str, Sequence[Entry]],
        classes: Sequence[str],
        decode: bool = False,
    ) -> Frames:
        source, complete = f"{self.path} ({name})", name == "train"
        return self.labelled(parts[name], classes, source, complete=complete, decode=decode)

    def _parts(self) -> tuple[dict[str, list[Entry]], list[str]]:
        """The videos of each part, and the names of the classes."""
        folder = Path(self.path)
        if (folder / "train").is_dir():
            found = {name: self._classes(folder / name) for name in PARTS}
            classes = list(found["train"])
            self._check_chosen(classes, folder / "train")
            _check_several(classes, folder / "train")
            _check_known(found, classes, folder)
            parts = {name: [e for own in of.values() for e in own] for name, of in found.items()}
        else:
            found_here = self._classes(folder)
            classes = list(found_here)
            self._check_chosen(classes, folder)
            _check_several(classes, folder)
            parts = self._drawn([entry for own in found_here.values() for entry in own])
        check_every_class(parts["train"], classes, str(folder))
        return parts, classes

    def _classes(self, folder: Path) -> dict[str, list[Entry]]:
        """The videos of each class in a folder, those of other folders as they are asked for."""
        found = _folders(folder)
        if self.classes is None or not found:
            return found
        chosen = {name: found[name] for name in found if name in self.classes}
        others = [entry for name, own in found.items() if name not in chosen for entry in own]
        if self.none_of_these and others:
            chosen[NONE] = [entry._replace(label=NONE) for entry in others]
        return chosen

    def _check_chosen(self, classes: Sequence[str], folder: Path) -> None:
        """Refuse classes that there is no folder of, and a class of others without any."""
        for name in self.classes or ():
            if name not in classes:
                known = list(_folders(folder))
                raise UserError(
                    f"{folder} has no folder {name}{nearest(name, known)}, which "
                    f"data.options.classes names; it has {', '.join(known)}"
                )
        if self.none_of_these and NONE not in classes:
            raise UserError(
                f"{folder} has no other folders than {', '.join(classes)}: there are no videos of "
                "the class none of these (data.options.none_of_these)"
            )

    def _drawn(self, entries: Sequence[Entry]) -> dict[str, list[Entry]]:
        """Part the videos at random, the test first, so that it is the same for any validation."""
        rest, test = hold_out(entries, self.test_fraction, self.seed)
        share = self.validation_fraction / (1 - self.test_fraction)
        train, validation = hold_out(rest, share, self.seed)
        parts = {"train": train, "validation": validation, "test": test}
        for name in PARTS[1:]:
            fraction = getattr(self, f"{name}_fraction")
            if fraction and not parts[name]:
                raise UserError(
                    f"{self.path}: {name}_fraction {fraction} of the {len(entries)} videos, class "
                    "by class, leaves nothing; raise it, or set it to 0"
                )
        return parts


def _folders(folder: Path) -> dict[str, list[Entry]]:
    """The videos of each folder in a folder, by its name; an empty folder is a class without."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    named = [path for path in folders if not path.name.startswith(".")]
    found = {path.name: [Entry(file, path.name) for file in find_videos(path)] for path in named}
    return found if any(found.values()) else {}


def _check_several(classes: Sequence[str], folder: Path) -> None:
    """Refuse what leaves nothing to tell apart."""
    if unfinished_of(folder / "train").exists():
        raise UserError(f"{folder}: train was begun and not finished; run what made it again")
    if len(classes) < 2:
        raise UserError(
            f"{folder} holds {len(classes)} folders of videos ({', '.join(SUFFIXES)}), but classes "
            "are told apart: data.path must be a folder with a folder of videos for each of two "
            "classes or more, or with such folders in train, validation and test"
        )


def _check_known(
    found: Mapping[str, Mapping[str, Sequence[Entry]]], classes: Sequence[str], folder: Path
) -> None:
    """Refuse a class that there is nothing to learn of."""
    for part in PARTS[1:]:
        for name in found[part]:
            if name not in classes:
                raise UserError(
                    f"{folder / part} has the class {name}, of which {folder / 'train'} has none"
                    f"{nearest(name, classes)}"
                )
