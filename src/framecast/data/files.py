"""Files of one's own: a file by its suffix, a data set by its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framecast.data import arrays, gridded, moving_mnist, video
from framecast.data.clips import read_videos
from framecast.data.frames import Frames
from framecast.data.registry import Splits, register_source
from framecast.errors import UserError
from framecast.files import PathLike

_READABLE = (*gridded.SUFFIXES, *arrays.SUFFIXES, *video.SUFFIXES)


@register_source("files")
@dataclass(frozen=True)
class Files:
    """A NetCDF (.nc), Zarr (.zarr), NumPy (.npy, .npz) or video file, or a folder of such files.

    Attributes:
        path: the file, or a folder that holds files named train, validation and test.
        variables: variables that become channels, in this order; all of them if null.
        validation_fraction: of one file, the share kept for validation, in [0, 1).
        test_fraction: of one file, the share kept for the test, in [0, 1).
    """

    path: str = "data/navier_stokes"
    variables: list[str] | None = None
    validation_fraction: float = 0.15
    test_fraction: float = 0.15

    def splits(self) -> Splits:
        """Read the frames and part them into training, validation and test.

        Raises:
            UserError: if the path is missing, or a folder without a file named train.
        """
        path = self._existing_path()
        if is_folder(path):
            return _read_folder(path, self.variables)
        frames = read_frames(path, self.variables)
        return split(frames, self.validation_fraction, self.test_fraction)

    def test(self) -> Frames | None:
        """Read the test part; of a folder, no other file.

        Raises:
            UserError: if the path is missing, or a folder without a file named test.
        """
        path = self._existing_path()
        return read_test(path, self.variables) if is_folder(path) else self.splits().test

    def _existing_path(self) -> Path:
        path = Path(self.path)
        if not path.exists():
            raise UserError(
                f"data.path {path} does not exist. Give your own file with --data.path, or make "
                "the Navier-Stokes data first: framecast simulate navier_stokes --out "
                "data/navier_stokes"
            )
        return path


def read_frames(
    path: PathLike,
    variables: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
    rate: float | None = None,
) -> Frames:
    """Read a file of frames, by its suffix.

    Args:
        path: NetCDF, Zarr, NumPy or video.
        variables: which become channels, in this order; None for all.
        size: (H, W) to which a video is resized; None for its own.
        rate: frames a second that are taken from a video; None for all.

    Raises:
        UserError: if it is missing, of an unknown kind, or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if path.name == moving_mnist.PUBLISHED:
        return moving_mnist.read_published(path)
    if path.suffix in gridded.SUFFIXES:
        return gridded.read_gridded(path, variables)
    if path.suffix in arrays.SUFFIXES:
        return arrays.read_arrays(path, variables)
    if path.suffix.lower() in video.SUFFIXES:
        return read_videos([path], variables, size, rate)
    raise UserError(
        f"{path}: cannot tell its kind from its name; readable are {', '.join(_READABLE)}"
    )


def read_test(
    path: PathLike,
    variables: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
    rate: float | None = None,
) -> Frames:
    """Read a file of frames; of a folder, the file or the folder of videos that is named test.

    A folder of videos that has no such parts is read whole. The arguments are those of
    `read_frames`.

    Raises:
        UserError: if there is none, or it cannot be read.
    """
    path = Path(path)
    if not is_folder(path):
        return read_frames(path, variables, size, rate)
    file = part_file(path, "test")
    if file is not None:
        return read_frames(file, variables, size, rate)
    has_parts = part_file(path, "train") is not None or (path / "train").is_dir()
    videos = video.find_videos(path / "test" if has_parts else path)
    if not videos:
        raise UserError(
            f"{path} is a folder without a file named test (test.nc, test.zarr, test.npy ...), "
            "and not one of videos"
        )
    return read_videos(videos, variables, size, rate, source=str(path))


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of files, which a Zarr store is not."""
    return path.is_dir() and path.suffix not in gridded.SUFFIXES


def split(frames: Frames, validation_fraction: float, test_fraction: float) -> Splits:
    """Part frames by sequences, or, where there is one only, by time; the test comes last.

    Raises:
        UserError: if a share is so small that it is empty.
    """
    by_time = len(frames.values) == 1
    total = frames.length if by_time else len(frames.values)
    test = _count("test_fraction", test_fraction, total, frames.source)
    validation = _count("validation_fraction", validation_fraction, total, frames.source)

    def part(start: int, count: int) -> Frames | None:
        chosen = slice(start, start + count)
        if count == 0:
            return None
        return frames.select(times=chosen) if by_time else frames.select(sequences=chosen)

    first = total - validation - test
    train = part(0, first)
    if train is None:
        raise UserError(f"{frames.source}: the fractions leave nothing of {total} for training")
    return Splits(train, part(first, validation), part(first + validation, test))


def _count(name: str, fraction: float, total: int, source: str) -> int:
    count = round(total * fraction)
    if count == 0 and fraction > 0:
        raise UserError(
            f"{source}: {name} {fraction} of {total} leaves nothing; raise it, or set it to 0"
        )
    return count


def part_file(folder: Path, name: str) -> Path | None:
    """The file of a folder that is named train, validation or test, if there is one."""
    return next((f for f in sorted(folder.glob(f"{name}.*")) if f.suffix in _READABLE), None)


def _read_folder(path: Path, variables: Sequence[str] | None) -> Splits:
    def part(name: str) -> Frames | None:
        file = part_file(path, name)
        return None if file is None else read_frames(file, variables)

    train = part("train")
    if train is None:
        hint = "for a folder of videos add --data.source videos"
        raise UserError(
            f"{path} is a folder without a file named train (train.nc, train.zarr, train.npy ...)"
            + (f": {hint}" if video.find_videos(path) else "")
        )
    return Splits(train, part("validation"), part("test"))
