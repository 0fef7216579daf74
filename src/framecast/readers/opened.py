"""Files that are opened where they are read: a few at a time, and anew in another process."""

import hashlib
import pickle
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.chunks import Chunks
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Reader, Values, chunks_of
from framecast.readers.entries import State, state_of
from framecast.readers.file import open_file
from framecast.readers.kinds import kind_of
from framecast.readers.selection import Selection
from framecast.readers.stamps import Stamps

OPEN = 32
"""Files of a series that are kept open at most."""


def open_lazily(path: Path, selection: Selection) -> Frames:
    """Return the frames of a file; values that do not fit into memory are read by opening it."""
    frames = open_file(path, selection)
    if not isinstance(frames.values, LazyValues):
        return frames
    opened = OpenFiles(files=OrderedDict({path: frames}))
    return opened.header(path, selection)


@dataclass(frozen=True, eq=False)
class OpenFiles:
    """Files that are open, a few at a time; the one that was read longest ago is closed first.

    Attributes:
        stamps: the times that file names give.
        files: those that are open, by path; none of them goes to another process.
    """

    stamps: Stamps = field(default_factory=Stamps)
    files: OrderedDict[Path, Frames] = field(default_factory=OrderedDict)

    def header(self, path: Path, selection: Selection) -> Frames:
        """Return the frames of a file, whose values are read by opening it again."""
        frames = self.open(path, selection)
        n, t, c, h, w = frames.values.shape
        chunks = chunks_of(frames.values)
        within = _within(frames.values, path)
        reader = FileReader(path, selection, self, (n, t, c, h, w), frames.source, chunks, within)
        ends = tuple(frames.lengths) if len(set(frames.lengths)) > 1 else None
        return replace(frames, values=LazyValues.of(reader, ends))

    def __getstate__(self) -> dict[str, Any]:
        return {"stamps": self.stamps, "files": OrderedDict()}

    def open(self, path: Path, selection: Selection) -> Frames:
        """Return the frames of a file that is kept open until others take its place."""
        if path not in self.files:
            stamped = path in self.stamps.times
            frames = open_file(path, replace(selection, lazy=True, stamped=stamped))
            self.files[path] = self.stamps.on(frames, path)
        self.files.move_to_end(path)
        if len(self.files) > OPEN:
            self.files.popitem(last=False)
        return self.files[path]


@dataclass(frozen=True, eq=False)
class FileReader:
    """Reads a file, which is opened where it is read: a `Reader`.

    It is small when it is pickled, whatever the file holds.

    Attributes:
        path: the file.
        selection: what is read of it.
        opened: keeps it open for a while.
        shape: (N, T, C, H, W), as it was when the file was first opened.
        source: what messages call it.
        chunks: how its frames are stored; None where each is on its own.
        within: reads it without finding out anew what is in it, as long as it stays as it was;
            None where it must be opened from the beginning.
    """

    path: Path
    selection: Selection
    opened: OpenFiles
    shape: tuple[int, int, int, int, int]
    source: str
    chunks: Chunks | None = None
    within: "Within | None" = None

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        if self.within is not None and self.within.holds(self.path):
            return self.within.reader.read(sequence, start, stop)
        values = self._values()
        if isinstance(values, LazyValues):
            return values.reader.read(sequence, start, stop)
        return values[sequence, start:stop]

    def fingerprint(self) -> str:
        """Return a digest of its values."""
        values = self._values()
        if isinstance(values, LazyValues):
            return values.reader.fingerprint()
        return hashlib.blake2b(values.contiguous().numpy().data, digest_size=12).hexdigest()

    def _values(self) -> Values:
        if self.within is not None and not self.within.holds(self.path):
            self.opened.files.pop(self.path, None)  # what was found in it before
        values = self.opened.open(self.path, self.selection).values
        if tuple(values.shape) != tuple(self.shape):
            raise UserError(
                f"{self.path} has changed since it was first read: it had {self.shape[1]} frames, "
                f"and has {values.shape[1]} now. Begin again when nothing is written to it"
            )
        return values


@dataclass(frozen=True)
class Within:
    """Reads the variables of a file by what was found out about it, and how the file was then."""

    reader: Reader
    state: State

    def holds(self, path: Path) -> bool:
        """Whether the file is there and has not been written to since."""
        return path.exists() and state_of(path) == self.state


def _within(values: Values, path: Path) -> Within | None:
    """What reads the variables of a NetCDF or HDF5 file; None where nothing can open it again."""
    if not isinstance(values, LazyValues) or kind_of(path) != "netcdf":
        return None
    from framecast.readers.gridded import GriddedReader  # which has read it already

    if not isinstance(values.reader, GriddedReader):
        return None
    bare = values.reader.without_coordinates()
    try:
        pickle.dumps(bare)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None  # it holds an open file, which cannot be opened again by what holds it
    return Within(bare, state_of(path))
