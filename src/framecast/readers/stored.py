"""Arrays that stay in their file, of which parts are read where they are asked for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from framecast.base.limits import check_memory

Stretches = tuple[slice, ...]
"""A part of an array: from where to where, along each axis."""


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array in an open file, of which nothing is in memory.

    It is cut by numbers and slices, as NumPy's are, and what is cut is read at once.

    Attributes:
        shape: of all of it.
        dtype: of what is read.
        read: gives a part, which has all axes.
        chunks: how many values along each axis are stored together; None where any part can be
            read on its own.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Stretches], np.ndarray]
    chunks: tuple[int, ...] | None = None

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all of it, once it is read."""
        return self.dtype.itemsize * math.prod(self.shape)

    def __getitem__(self, place: tuple[int | slice, ...]) -> np.ndarray:
        every = (*place, *(slice(None),) * (self.ndim - len(place)))
        spans, inside = zip(*map(_span, every, self.shape), strict=True) if every else ((), ())
        return np.asarray(self.read(spans)[inside])

    def at_a_time(self) -> "StoredArray":
        """Return what is stored at one time with an axis of time before the others."""
        chunks = None if self.chunks is None else (1, *self.chunks)
        shape = 1, *self.shape
        return StoredArray(shape, self.dtype, lambda p: self.read(p[1:])[None][p[0]], chunks)

    def turned(self) -> "StoredArray":
        """Return it with its axes in the opposite order."""
        chunks = None if self.chunks is None else self.chunks[::-1]
        return StoredArray(self.shape[::-1], self.dtype, lambda p: self.read(p[::-1]).T, chunks)


Array = np.ndarray | StoredArray
"""An array in memory, or one that stays in its file."""


def stored(array: Any) -> StoredArray:
    """Return an array of an open file of HDF5 or Zarr, which stays open as long as it is there."""
    read = array.__getitem__
    return StoredArray(array.shape, array.dtype, lambda p: np.asarray(read(p)), array.chunks)


def check_chunk(path: Path, name: str, dtype: np.dtype[Any], chunk: Sequence[int]) -> None:
    """Refuse a chunk that does not fit into memory, in which all of it must be at once.

    Raises:
        UserError: that names it.
    """
    check_memory(
        dtype.itemsize * math.prod(chunk),
        f"{path}: one chunk {list(chunk)} of {name}",
        "Store it in smaller chunks first (nccopy -c, or xarray's chunk and to_zarr)",
    )


def _span(place: int | slice, size: int) -> tuple[slice, int | slice]:
    """The stretch that a number, or a slice that ascends, lies in, and its places in it."""
    if isinstance(place, slice):
        start, stop, step = place.indices(size)
        return slice(start, max(start, stop)), slice(None, None, step)
    first = int(place) % size
    return slice(first, first + 1), 0
