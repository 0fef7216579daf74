"""Arrays without labels in files of other programs: MATLAB, PyTorch, safetensors, HDF5 and Zarr.

They are read by name, as those of a `.npz` file are, and stay in their file until parts of them are
asked for; but for those of MATLAB 5, which are read whole.
"""

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from safetensors import safe_open

from framecast.base.errors import UserError
from framecast.readers.groups import choose_group, is_grid
from framecast.readers.guard import guarded
from framecast.readers.kinds import Kind, kind_of
from framecast.readers.odim import is_odim
from framecast.readers.stored import Array, StoredArray, check_chunk, stored

_NUMBERS = (
    *("double", "single", "logical", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)
"""Classes of MATLAB whose arrays are read."""


def _nothing() -> None:
    """Close nothing."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The arrays of an open file, by name.

    Attributes:
        sizes: bytes of each array.
        find: gives an array.
        whole: whether an array is read whole when it is asked for, rather than stay in the file.
        close: closes the file, in which arrays stay.
    """

    sizes: Mapping[str, int]
    find: Callable[[str], Array]
    whole: bool = False
    close: Callable[[], None] = _nothing

    @property
    def files(self) -> list[str]:
        """The names of the arrays."""
        return list(self.sizes)

    def __contains__(self, name: object) -> bool:
        return name in self.sizes

    def __getitem__(self, name: str) -> Array:
        return self.find(name)

    def __enter__(self) -> "Contents":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_contents(path: Path, group: str | None = None) -> Contents:
    """Find the arrays of numbers in a file, which stays open.

    Args:
        path: `.mat` of version 5 or 7.3, `.pt`, `.safetensors`, HDF5 or Zarr.
        group: of an HDF5 file or a Zarr store; None for the only one with arrays.

    Raises:
        UserError: if it cannot be read, or holds objects whose reading would run code.
    """
    openers: dict[Kind, Callable[[Path, str | None], Contents]] = {
        "matlab": _matlab,
        "torch": _torch,
        "safetensors": _safetensors,
        "netcdf": _hdf5,
        "zarr": _zarr,
    }
    kind = kind_of(path)
    hint = "it may be truncated, damaged, or hold something else than arrays of numbers"
    with guarded(path, f"cannot be read ({kind})", hint):
        return openers[kind](path, group)


def is_unlabelled(path: Path, group: str | None) -> bool:
    """Whether an HDF5 file or a Zarr store names no dimension of any of its arrays.

    Raises:
        UserError: if it cannot be opened.
    """
    kind = "Zarr" if kind_of(path) == "zarr" else "NetCDF"
    hint = "it may be truncated, or in another format than its name says"
    with guarded(path, f"cannot be read as {kind}", hint):
        if kind == "Zarr":
            return _zarr_is_unlabelled(path, group)
        return bool(h5py.is_hdf5(path)) and _hdf5_is_unlabelled(path, group)
    raise AssertionError("guarded lets no error pass in silence")


def _matlab(path: Path, group: str | None) -> Contents:
    """A file of MATLAB; those of version 7.3 are HDF5, whose axes are in the opposite order."""
    if h5py.is_hdf5(path):
        return _grids_of(path, "", turned=True)
    from scipy.io import loadmat, whosmat  # for these files alone: it takes a while

    shapes = {name: shape for name, shape, kind in whosmat(path) if kind in _NUMBERS}
    sizes = {name: 8 * math.prod(shape) for name, shape in shapes.items()}
    return Contents(sizes, lambda name: loadmat(path, variable_names=[name])[name], whole=True)


def _torch(path: Path, group: str | None) -> Contents:
    """A file of PyTorch: a tensor, or tensors by name; never code."""
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path} is no file of PyTorch 1.6 or later: load it, and save it again (torch.save)"
        )
    loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    named = loaded if isinstance(loaded, Mapping) else {"frames": loaded}
    tensors = {str(name): t for name, t in named.items() if isinstance(t, torch.Tensor)}
    sizes = {name: t.numel() * t.element_size() for name, t in tensors.items()}
    return Contents(sizes, lambda name: _from_tensor(tensors[name], tensors[name].shape))


def _safetensors(path: Path, group: str | None) -> Contents:
    file: Any = safe_open(path, framework="pt")  # closed once nothing is read of it
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    sizes = {name: 8 * math.prod(shape) for name, shape in shapes.items()}
    return Contents(sizes, lambda name: _from_tensor(file.get_slice(name), shapes[name]))


def _from_tensor(tensor: Any, shape: Sequence[int]) -> StoredArray:
    """An array of what is mapped from a file, and cut as tensors are."""
    kind = _as_array(tensor[(slice(0, 0),) * len(shape)]).dtype
    return StoredArray(tuple(shape), kind, lambda part: _as_array(tensor[part]))


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array; NumPy has no numbers of 16 bits with the range of float32."""
    array: np.ndarray = (
        tensor.float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    ).numpy()
    return array


def _hdf5(path: Path, group: str | None) -> Contents:
    return _grids_of(path, choose_group(path, group))


def _grids_of(path: Path, group: str, turned: bool = False) -> Contents:
    """The arrays of a group of an HDF5 file, perhaps with their axes in the opposite order."""
    with ExitStack() as stack:
        file = stack.enter_context(h5py.File(path))
        sizes = {name: item.nbytes for name, item in _grids(file[group or "/"]).items()}
        stack.pop_all()  # open until the contents are closed

    def find(name: str) -> StoredArray:
        array = _checked(path, name, file[f"{group}/{name}"])
        return array.turned() if turned else array

    return Contents(sizes, find, close=file.close)


def _checked(path: Path, name: str, array: Any) -> StoredArray:
    """An array of HDF5 or Zarr whose chunks fit into memory."""
    check_chunk(path, name, array.dtype, array.chunks or ())
    return stored(array)


def _zarr(path: Path, group: str | None) -> Contents:
    """A store of arrays, or a single array."""
    from framecast.readers import stores  # for them alone: Zarr takes a while

    with ExitStack() as stack:
        store, place = stores.open_store(path, group)
        stack.callback(store.close)
        every = stores.arrays_in(store, place)
        stack.pop_all()  # open until the contents are closed
    arrays = {name: array for name, array in every.items() if array.ndim > 1}
    sizes = {name: array.nbytes for name, array in arrays.items()}
    return Contents(sizes, lambda name: _checked(path, name, arrays[name]), close=store.close)


def _hdf5_is_unlabelled(path: Path, group: str | None) -> bool:
    if is_odim(path):
        return False
    with h5py.File(path) as file:
        items = _grids(file[choose_group(path, group) or "/"]).values()
        known = ("DIMENSION_LIST", "_Netcdf4Coordinates", "_Netcdf4Dimid")
        return bool(items) and not any(key in item.attrs for item in items for key in known)


def _zarr_is_unlabelled(path: Path, group: str | None) -> bool:
    from framecast.readers import stores

    store, place = stores.open_store(path, group)
    try:
        arrays = stores.arrays_in(store, place).values()
        return bool(arrays) and not any(map(_names_dims, arrays))
    finally:
        store.close()


def _names_dims(array: Any) -> bool:
    named = getattr(array.metadata, "dimension_names", None)
    return bool(named) or "_ARRAY_DIMENSIONS" in array.attrs


def _grids(group: Any) -> dict[str, Any]:
    """The arrays of an HDF5 group; names that are no text, in a damaged file, are left out."""
    return {name: i for name, i in group.items() if isinstance(name, str) and is_grid(i)}
