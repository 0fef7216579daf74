"""Files of one's own: one, or many that are one series, or a folder that names its parts."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from framecast.base.claim import heal
from framecast.base.errors import UserError
from framecast.datasets.source import AbsentError, Source, register_source
from framecast.frames.frames import Frames
from framecast.frames.sentinels import warn_of_sentinels
from framecast.frames.splits import Splits, split
from framecast.readers.folder import has_parts, is_folder, read_parts, read_test
from framecast.readers.open import open_frames
from framecast.readers.paths import Paths, files_in, is_pattern
from framecast.readers.remote import is_address
from framecast.readers.selection import EVERYTHING, Selection

REMEDY = (
    "Give your own file with --data.path, or make a data set there first "
    "(framecast simulate --help)"
)
USUAL = 0.15
"""Share of a series that is kept for validation, and for the test, where none is said."""


@register_source("files")
@dataclass(frozen=True)
class Files(Source):
    """Files of any kind that is read (docs/data.md).

    Attributes:
        path: a file; a folder, a pattern or a list of files, which are one series; or a folder
            that holds files, or folders, named train, validation and test.
        selection: what is read of each file.
        validation_fraction: of one series, the share kept for validation, in [0, 1); USUAL if None.
        test_fraction: of one series, the share kept for the test, in [0, 1); USUAL if None.
    """

    path: list[str] | str | None = None
    selection: Selection = EVERYTHING
    validation_fraction: float | None = None
    test_fraction: float | None = None

    def splits(self) -> Splits:
        """Read the frames and part them into training, validation and test.

        Raises:
            UserError: if the path is missing, or a folder without a file named train.
        """
        place = self._existing_place()
        shares = self.validation_fraction, self.test_fraction
        if (folder := _folder(place)) and (has_parts(folder) or not files_in(folder)):
            _warn_of_shares(folder, *shares)
            parts = read_parts(folder, self.selection)
        else:
            frames = open_frames(place, self.selection)
            parts = split(frames, *(USUAL if share is None else share for share in shares))
        _check_used(self.selection, parts.train)
        warn_of_sentinels(parts.train)
        return parts

    def test(self) -> Frames | None:
        """Read the test part; of a folder that names its parts, no other file.

        Raises:
            UserError: if the path is missing, or such a folder has nothing named test.
        """
        folder = _folder(self._existing_place())
        if folder and has_parts(folder):
            return read_test(folder, self.selection)
        return self.splits().test

    def read(self, place: Paths, selection: Selection) -> Frames:
        """Read other frames in the way in which those of the training are read."""
        frames = read_test(place, self._as_in_training(selection))
        warn_of_sentinels(frames, "read")
        return frames

    def _as_in_training(self, selection: Selection) -> Selection:
        """What is read, with the settings that say how files are put together, and from where."""
        own = self.selection
        selection = replace(selection, join=own.join, times_from=own.times_from, group=own.group)
        return replace(selection, cache=own.cache)

    def _existing_place(self) -> Paths:
        if self.path is None:
            raise AbsentError("data.path is not set", REMEDY)
        for path in [self.path] if isinstance(self.path, str) else self.path:
            if is_address(path):
                continue
            heal(Path(path))
            if not is_pattern(path) and not Path(path).exists():
                within = "" if Path(path).is_absolute() else f" in {Path.cwd()}"
                raise AbsentError(f"data.path {path} does not exist{within}", REMEDY)
        return self.path


def _check_used(selection: Selection, frames: Frames) -> None:
    """Raise a UserError for a setting of another kind of file, which would change nothing."""
    labelled = bool(frames.evidence)
    if labelled and selection.layout is not None:
        raise UserError(
            f"{frames.source} names its dimensions, and data.layout is for arrays without names: "
            "say what a dimension is with data.dims"
        )
    for name in ("dims", "select"):
        if getattr(selection, name) and not labelled:
            raise UserError(
                f"{frames.source} has no names of dimensions, which data.{name} speaks of: say "
                "what its axes are with data.layout"
            )


def _warn_of_shares(folder: Path, validation: float | None, test: float | None) -> None:
    """Say that a share is not kept of data whose parts are told apart by their names."""
    for name, share in (("validation_fraction", validation), ("test_fraction", test)):
        if share:
            warnings.warn(
                f"{folder} names its parts, train, validation and test: data.{name} {share:g} "
                "changes nothing",
                stacklevel=3,
            )


def _folder(place: Paths) -> Path | None:
    """The folder that a place is; None if it is a file, a pattern or a list."""
    path = Path(place) if isinstance(place, str | Path) else None
    return path if path and is_folder(path) else None
