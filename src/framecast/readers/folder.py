"""What a folder of files means: parts named train, validation and test, or one series."""

from pathlib import Path

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits
from framecast.readers.kinds import kind_of
from framecast.readers.open import open_frames
from framecast.readers.paths import Paths, files_in
from framecast.readers.selection import EVERYTHING, Selection

PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
"""The names of files and folders that say what is what."""


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of files, which a Zarr store is not."""
    return path.is_dir() and kind_of(path) == "folder"


def has_parts(path: Path) -> bool:
    """Whether a path is a folder that says itself what is for training, validation or the test."""
    return is_folder(path) and any(part_file(path, name) for name in PARTS)


def part_file(folder: Path, name: str) -> Path | None:
    """Return what a folder calls train, validation or test: a file, or a folder of files.

    Raises:
        UserError: if two names, such as val and validation, mean the same part.
    """
    found = [place for other in PARTS[name] if (place := _named(folder, other)) is not None]
    if len(found) > 1:
        raise UserError(
            f"{folder} holds {found[0].name} and {found[1].name}, which both mean the part for "
            f"{name}: keep one of them"
        )
    return found[0] if found else None


def _named(folder: Path, name: str) -> Path | None:
    files = sorted(folder.glob(f"{name}.*"))
    found = next((f for f in files if kind_of(f) not in ("unknown", "folder")), None)
    if found is None and (folder / name).is_dir() and files_in(folder / name):
        return folder / name
    return found


def read_test(place: Paths, selection: Selection = EVERYTHING) -> Frames:
    """Read frames; of a folder with parts, what is named test.

    A folder that has no parts is read whole.

    Raises:
        UserError: if there are none, or they cannot be read.
    """
    path = Path(place) if isinstance(place, str | Path) else None
    if path is None or not is_folder(path):
        return open_frames(place, selection)
    file = part_file(path, "test")
    if file is not None:
        return open_frames(file, selection)
    if has_parts(path) or not files_in(path):
        raise UserError(
            f"{path} is a folder without a file named test (test.nc, test.zarr, test.npy ...)"
            + ("" if has_parts(path) else ", and holds no other file of frames")
        )
    return open_frames(path, selection)


def read_parts(path: Path, selection: Selection = EVERYTHING) -> Splits:
    """Read the files, or folders of files, that are named train, validation and test.

    Raises:
        UserError: if none is named train.
    """

    def part(name: str) -> Frames | None:
        file = part_file(path, name)
        return None if file is None else open_frames(file, selection)

    train = part("train")
    if train is None:
        raise UserError(
            f"{path} is a folder without a file named train (train.nc, train.zarr, train.npy ...)"
            + _hint(path)
        )
    return Splits(train, part("validation"), part("test"))


def _hint(path: Path) -> str:
    """Say what a folder without a training part may be instead."""
    if begun := sorted(path.glob(".train.begun*")):
        return f": {begun[0].name} was begun and not finished; run what made it again"
    return ", and holds no other file of frames"
