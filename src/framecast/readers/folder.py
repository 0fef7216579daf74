"""What a folder of files means: parts named train, validation and test, or videos."""

from pathlib import Path

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits
from framecast.readers import gridded
from framecast.readers.decoding import find_videos
from framecast.readers.open import READABLE, open_frames
from framecast.readers.selection import EVERYTHING, Selection
from framecast.readers.video import read_videos


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of files, which a Zarr store is not."""
    return path.is_dir() and path.suffix not in gridded.SUFFIXES


def part_file(folder: Path, name: str) -> Path | None:
    """Return the file of a folder that is named train, validation or test, if there is one."""
    return next((f for f in sorted(folder.glob(f"{name}.*")) if f.suffix in READABLE), None)


def read_test(path: Path, selection: Selection = EVERYTHING) -> Frames:
    """Read a file of frames; of a folder, the file or the folder of videos that is named test.

    A folder of videos that has no such parts is read whole.

    Raises:
        UserError: if there is none, or it cannot be read.
    """
    if not is_folder(path):
        return open_frames(path, selection)
    file = part_file(path, "test")
    if file is not None:
        return open_frames(file, selection)
    has_parts = part_file(path, "train") is not None or (path / "train").is_dir()
    videos = find_videos(path / "test" if has_parts else path)
    if not videos:
        raise UserError(
            f"{path} is a folder without a file named test (test.nc, test.zarr, test.npy ...), "
            "and not one of videos"
        )
    return read_videos(videos, selection, source=str(path))


def read_parts(path: Path, selection: Selection = EVERYTHING) -> Splits:
    """Read the files of a folder that are named train, validation and test.

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
    if begun := sorted(path.glob(".train.partial.*")):
        return f": {begun[0].name} was begun and not finished; run what made it again"
    if find_videos(path):
        return ": for a folder of videos add --data.source videos"
    return ""
