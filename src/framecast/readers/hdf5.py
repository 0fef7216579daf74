"""Variables of HDF5 files that are read without what labelled files need around them.

To find out what is in a file takes a hundredth of a second, and once that is known, each reading
through its labels a thousandth. Both count where a series has a file for each frame.
"""

import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import h5py
import numpy as np
import xarray as xr

from framecast.readers.entries import State, state_of
from framecast.readers.stored import StoredArray, Stretches
from framecast.readers.variable import as_variable

OPEN = 64
"""Files that a process keeps open at most; the one that was read longest ago is closed first."""


def read_plainly(dataset: xr.Dataset, path: Path, group: str) -> xr.Dataset:
    """Return a data set whose grids of numbers are read from their file as they stand there.

    Coordinates of one dimension stay as they are, and so does what HDF5 holds in another type or
    shape, for instance variables along an unlimited dimension that end before others.

    Args:
        dataset: opened without decoding.
        path: the file.
        group: where the variables are; the empty text for the root.
    """
    plain: dict[str, xr.Variable] = {}
    with h5py.File(path) as file:
        inside = file[group] if group else file
        for name, variable in dataset.variables.items():
            stored = inside.get(str(name))
            if variable.ndim < 2 or not isinstance(stored, h5py.Dataset):
                continue
            alike = stored.shape == variable.shape and stored.dtype == variable.dtype
            if not alike or stored.dtype.kind not in "iuf":
                continue
            dims = tuple(map(str, variable.dims))
            reader = _Reader(path, str(stored.name))
            array = StoredArray(variable.shape, variable.dtype, reader.read, stored.chunks)
            plain[str(name)] = as_variable(array, dims, variable.attrs, variable.encoding)
    close = dataset.close

    def close_all() -> None:
        close()
        _open.pop(path, None)

    dataset = dataset.assign(plain)
    dataset.set_close(close_all)
    return dataset


@dataclass(frozen=True)
class _Reader:
    """Reads an array of a file, which is closed when the last of its readers is gone."""

    path: Path
    name: str

    def __post_init__(self) -> None:
        weakref.finalize(self, _open.pop, self.path, None).atexit = False

    def read(self, place: Stretches) -> np.ndarray:
        with _one_at_a_time:
            return np.asarray(_opened(self.path)[self.name][place])


_open: OrderedDict[Path, tuple[State, h5py.File]] = OrderedDict()
"""The files that are open, the one that was read last at the end. One that is taken out is closed
as soon as nothing reads it any more."""
_one_at_a_time = RLock()


def _opened(path: Path) -> h5py.File:
    """A file as it is: one that has been written to since is opened anew."""
    state = state_of(path)
    if path not in _open or _open[path][0] != state:
        _open.pop(path, None)
        _open[path] = state, h5py.File(path)
    _open.move_to_end(path)
    while len(_open) > OPEN:
        _open.popitem(last=False)
    return _open[path][1]
