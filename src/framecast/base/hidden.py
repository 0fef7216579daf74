"""Hidden names beside a path: of its lock, of what is being written there, of what is replaced."""

import re
import shutil
from pathlib import Path


def lock_of(path: Path) -> Path:
    """Return the file that the process locks which writes `path`."""
    return path.with_name(f".{path.name}.lock")


def partial_of(path: Path) -> Path:
    """Return where `path` stands until it is whole. The suffix is kept: writers look at it."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def unfinished_of(path: Path) -> Path:
    """Return where `path` stands that is made in parts, until all are there: no claim removes it.

    What makes it goes on there after it was stopped.
    """
    return path.with_name(f".{path.stem}.begun{path.suffix}")


def former_of(path: Path) -> Path:
    """Return where a folder at `path` stands while another one takes its place."""
    return path.with_name(f".{path.stem}.former{path.suffix}")


def recover(path: Path) -> None:
    """Put a folder back whose replacement was cut off; nothing where none was."""
    if former_of(path).exists() and not path.exists():
        former_of(path).rename(path)


def clear(path: Path) -> None:
    """Recover `path`, and remove what killed processes left beside it and, if a folder, in it.

    Only who holds the claim of `path` knows that nobody is writing there any more.
    """
    recover(path)
    left = [partial_of(path), former_of(path), *_named_by_process(path)]
    if path.is_dir():
        left += [
            file for file in path.iterdir() if re.fullmatch(r"\..*\.partial(\..*)?", file.name)
        ]
    for leftover in left:
        remove(leftover)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that it holds; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _named_by_process(path: Path) -> list[Path]:
    """What earlier versions left: the number of a process stood in the name."""
    name = re.compile(rf"\.{re.escape(path.stem)}\.\d+\.partial{re.escape(path.suffix)}")
    return [file for file in path.parent.iterdir() if name.fullmatch(file.name)]
