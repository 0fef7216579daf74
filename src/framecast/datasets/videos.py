"""Videos of one's own: a file, or a folder of files."""

from dataclasses import dataclass
from pathlib import Path

from framecast.base.errors import UserError
from framecast.datasets.source import Source, register_source
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits, split
from framecast.readers.decoding import SUFFIXES, find_videos
from framecast.readers.selection import Selection
from framecast.readers.video import read_videos


@register_source("videos")
@dataclass(frozen=True)
class Videos(Source):
    """A video, or a folder of videos, each of which is a sequence of its own length.

    A folder with folders named train, and perhaps validation and test, says itself what is what.
    Another folder is parted by files, in the order of their names; a single file by time.

    Attributes:
        path: a file (.mp4, .avi, .gif, .mov, .mkv, .webm), or a folder that holds some, at any
            depth.
        variables: [grey], or [red, green, blue]; null for the files' own.
        validation_fraction: share of the files, or of the time of a single one, kept for
            validation, in [0, 1).
        test_fraction: share kept for the test, in [0, 1), the last.
        size: [rows, columns] to which frames are resized; the files' own if null.
        rate: frames a second: every n-th frame where a file has a whole multiple, else the frame
            that is shown at each time; the files' own if null.
    """

    path: str = "data/videos"
    variables: list[str] | None = None
    validation_fraction: float = 0.15
    test_fraction: float = 0.15
    size: list[int] | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"rate {self.rate} must be positive")

    def splits(self) -> Splits:
        """Read the parts.

        Raises:
            UserError: if there are no videos, they cannot be read, or they are not alike.
        """
        path = Path(self.path)
        if (path / "train").is_dir():
            train, validation, test = (self._part(n) for n in ("train", "validation", "test"))
            if train is None:
                raise UserError(f"{path / 'train'} holds no video ({', '.join(SUFFIXES)})")
            return Splits(train, validation, test)
        return split(self._read(path), self.validation_fraction, self.test_fraction)

    def test(self) -> Frames | None:
        """Read the test part.

        Raises:
            UserError: as `splits`.
        """
        named = (Path(self.path) / "train").is_dir()
        return self._part("test") if named else self.splits().test

    def _part(self, name: str) -> Frames | None:
        folder = Path(self.path) / name
        return self._read(folder) if find_videos(folder) else None

    def _read(self, path: Path) -> Frames:
        files = find_videos(path)
        if not files:
            raise UserError(
                f"{path} holds no video: a file or a folder of files is needed, "
                f"{', '.join(SUFFIXES)}"
            )
        selection = Selection(
            variables=None if self.variables is None else tuple(self.variables),
            size=None if self.size is None else (self.size[0], self.size[1]),
            rate=self.rate,
        )
        return read_videos(files, selection, source=str(path))


def check_size(size: list[int] | None) -> None:
    """Raise a ValueError if a size is not two positive numbers."""
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"size {size} must be [rows, columns], both at least 1")
