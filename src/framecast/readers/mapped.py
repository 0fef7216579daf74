"""Arrays in memory, or mapped from a file, that are read a window at a time."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from framecast.readers.selection import EVERYTHING, Selection


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads an array [N,T,C,H,W] of any numbers a window at a time: a `Reader`.

    Where the array is mapped from a file, another process is given the place of it in the file.

    Attributes:
        array: perhaps mapped from a file.
        source: the file.
        scale: what numbers are multiplied by, in float32.
        selection: says which values stand for a missing one.
    """

    array: np.ndarray
    source: str
    scale: float = 1.0
    selection: Selection = EVERYTHING

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, t, c, h, w = self.array.shape
        return n, t, c, h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        return self._numbers(self.array[sequence, start:stop])

    def everything(self) -> Float[Tensor, "N T C H W"]:
        """Return all values."""
        return self._numbers(self.array)

    def _numbers(self, array: np.ndarray) -> Float[Tensor, "*any"]:
        values = self.selection.numbers(array)
        return values if self.scale == 1 else values * self.scale

    def fingerprint(self) -> str:
        """Return a digest of all values, which are read in the order in which they are stored."""
        digest = hashlib.blake2b(repr((self.shape, self.scale)).encode(), digest_size=12)
        stored = np.argsort(self.array.strides)[::-1]
        for part in self.array.transpose(stored):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        file = _file_of(self.array)
        if file is None:
            return ArrayReader, (self.array, self.source, self.scale, self.selection)
        offset = file.offset + _address(self.array) - _address(file)
        place = (Path(str(file.filename)), offset, self.array.dtype, self.array.shape)
        return _mapped, (*place, self.array.strides, self.source, self.scale, self.selection)


def _mapped(
    path: Path,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *further: Any,
) -> ArrayReader:
    """A reader of an array at a place of a file, which is mapped into memory anew."""
    content = np.memmap(path, np.uint8, "r")
    return ArrayReader(np.ndarray(shape, dtype, content.data, offset, strides), *further)


def _file_of(array: np.ndarray) -> "np.memmap[Any, Any] | None":
    """The mapped file that an array is a view of; None if it is of memory."""
    found: Any = array
    while isinstance(found.base, np.ndarray):
        found = found.base
    return found if isinstance(found, np.memmap) and found.filename else None


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
