"""Open whatever a user names: a file by its suffix, a data set by its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from framecast.data import arrays, gridded
from framecast.data.frames import Frames
from framecast.errors import UserError
from framecast.files import PathLike


@dataclass(frozen=True)
class DataConfig:
    """The frames to learn from.

    Attributes:
        path: a NetCDF (.nc), Zarr (.zarr) or NumPy (.npy, .npz) file, or a folder that
            holds files named train, validation and test.
        variables: variables that become channels, in this order; all of them if null.
        validation_fraction: of one file, the share kept for validation, in [0, 1): the
            last sequences, or the last stretch of time before the test's if it holds one
            sequence. With 0, the last weights count as the best.
        test_fraction: of one file, the share kept for the test, in [0, 1), after the
            validation's.
        crops_per_sequence: random windows taken from each sequence in an epoch; as many as
            fit side by side if null.
    """

    path: str = "data/navier_stokes"
    variables: list[str] | None = None
    validation_fraction: float = 0.15
    test_fraction: float = 0.15
    crops_per_sequence: int | None = None

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be in [0, 1)")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must leave frames for training")
        if self.crops_per_sequence is not None and self.crops_per_sequence < 1:
            raise ValueError(f"crops_per_sequence {self.crops_per_sequence} must be at least 1")


class Splits(NamedTuple):
    """Frames for training, validation and test; the last two may be None."""

    train: Frames
    validation: Frames | None
    test: Frames | None


def read_frames(path: PathLike, variables: Sequence[str] | None = None) -> Frames:
    """Read a file of frames, by its suffix.

    Raises:
        UserError: if it is missing, of an unknown kind, or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if path.suffix in gridded.SUFFIXES:
        return gridded.read_gridded(path, variables)
    if path.suffix in arrays.SUFFIXES:
        return arrays.read_arrays(path, variables)
    known = ", ".join((*gridded.SUFFIXES, *arrays.SUFFIXES))
    raise UserError(f"{path}: cannot tell its kind from its name; readable are {known}")


def read_splits(config: DataConfig) -> Splits:
    """Read the frames and part them into training, validation and test.

    Raises:
        UserError: if the path is missing, or a folder without a file named train.
    """
    path = Path(config.path)
    if is_folder(path):
        return _read_folder(path, config)
    if not path.exists():
        raise UserError(
            f"data.path {path} does not exist. Give your own file with --data.path, or make the "
            "Navier-Stokes data first: framecast simulate navier_stokes --out data/navier_stokes"
        )
    return split(read_frames(path, config.variables), config)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of files, which a Zarr store is not."""
    return path.is_dir() and path.suffix not in gridded.SUFFIXES


def part_file(folder: Path, name: str) -> Path | None:
    """Return the file of a folder that is named train, validation or test, if there is one."""
    readable = (*gridded.SUFFIXES, *arrays.SUFFIXES)
    return next((f for f in sorted(folder.glob(f"{name}.*")) if f.suffix in readable), None)


def _read_folder(path: Path, config: DataConfig) -> Splits:
    def part(name: str) -> Frames | None:
        file = part_file(path, name)
        return None if file is None else read_frames(file, config.variables)

    train = part("train")
    if train is None:
        raise UserError(
            f"{path} is a folder without a file named train (train.nc, train.zarr, train.npy ...)"
        )
    return Splits(train, part("validation"), part("test"))


def split(frames: Frames, config: DataConfig) -> Splits:
    """Part frames by sequences, or, where there is one only, by time; the test comes last.

    Raises:
        UserError: if a share is so small that it is empty.
    """
    by_time = len(frames.values) == 1
    total = frames.length if by_time else len(frames.values)
    test = round(total * config.test_fraction)
    validation = round(total * config.validation_fraction)
    for name, count in (("validation", validation), ("test", test)):
        if count == 0 and getattr(config, f"{name}_fraction") > 0:
            raise UserError(
                f"{frames.source}: {name}_fraction {getattr(config, f'{name}_fraction')} of "
                f"{total} leaves nothing; raise it, or set it to 0"
            )

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
