"""Whether frames that are to be scored are those that a run learned from."""

import glob
import sys
from collections.abc import Sequence
from pathlib import Path

from framecast.base.ranks import ranks_here
from framecast.evaluate.runs import Run
from framecast.readers.folder import has_parts, part_file
from framecast.readers.paths import Paths, is_pattern, name_of
from framecast.readers.remote import is_address


def tell_of_learned(runs: Sequence[Run], data: Paths | None) -> None:
    """Say on stderr which runs learned from the files at `data`, which are then scored whole.

    Files count as the same by their place: of a copy nobody knows.

    Args:
        runs: that are evaluated.
        data: what they are evaluated on; None for the test part of their own data.
    """
    if data is None or not ranks_here().first:
        return
    scored = _files(data, ("test",))
    for run in runs:
        own = run.data.path
        if own is not None and _overlap(scored, _files(own, ("train", "validation"))):
            print(
                f"{name_of(data)} is what {run.path} learned from, and its scores say little about "
                "other frames: name files that it has not seen, or leave out --data if it kept a "
                "test part",
                file=sys.stderr,
            )


def _files(data: Paths, parts: Sequence[str]) -> list[Path]:
    """The files and folders that are there; of a folder with parts, those of these names."""
    places = [data] if isinstance(data, str | Path) else data
    files = [file for place in places for file in _there(str(place))]
    if len(files) == 1 and has_parts(files[0]):
        files = [file for part in parts if (file := part_file(files[0], part)) is not None]
    return [file.resolve() for file in files]


def _there(place: str) -> list[Path]:
    """What a path or a pattern leads to: data of a run may have moved since."""
    if is_address(place):
        return []
    found = glob.glob(place, recursive=True) if is_pattern(place) else [place]
    return [path for path in map(Path, found) if path.exists()]


def _overlap(some: Sequence[Path], others: Sequence[Path]) -> bool:
    """Whether a file is among both, or lies in a folder of the others."""
    return any(a == b or a in b.parents or b in a.parents for a in some for b in others)
