"""A stored array as a variable of xarray, of which nothing is read either."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter

from framecast.readers.stored import StoredArray


def as_variable(
    array: StoredArray,
    dims: Sequence[str],
    attributes: Mapping[str, Any],
    encoding: Mapping[str, Any] | None = None,
) -> xr.Variable:
    """Return a variable whose values stay in their file until they are asked for.

    Args:
        array: the values.
        dims: the names of its axes.
        attributes: of the variable.
        encoding: how it is stored; None names the chunks of the array.
    """
    if encoding is None:
        encoding = {} if array.chunks is None else _encoding(dims, array.chunks)
    return xr.Variable(dims, LazilyIndexedArray(_Backend(array)), attributes, encoding)


class _Backend(BackendArray):
    """What xarray asks for parts of a stored array."""

    def __init__(self, array: StoredArray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        cut = self.array.__getitem__
        found: np.ndarray = explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, cut)
        return found


def _encoding(dims: Sequence[str], chunks: tuple[int, ...]) -> dict[str, Any]:
    return {"chunks": chunks, "preferred_chunks": dict(zip(dims, chunks, strict=True))}
