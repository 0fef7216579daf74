"""Arrays without labels that stay in their file: the layout gives them those that they lack."""

from collections.abc import Sequence

import xarray as xr

from framecast.readers.gridded import GriddedReader, Part
from framecast.readers.layout import AXES, fitting
from framecast.readers.selection import Selection
from framecast.readers.stored import StoredArray
from framecast.readers.variable import as_variable

_DIMS = dict(zip(AXES, ("sequence", "time", "channel", "y", "x"), strict=True))


def stored_reader(
    arrays: Sequence[StoredArray], layout: str, source: str, selection: Selection
) -> GriddedReader:
    """Return a reader of arrays whose channels follow one another.

    Args:
        arrays: alike in shape but for their channels.
        layout: of each.
        source: the file, for messages.
        selection: says which values stand for a missing one.

    Raises:
        UserError: if arrays have another number of axes than the layout.
    """
    parts = [_part(array, fitting(layout, array.shape, source)) for array in arrays]
    return GriddedReader(tuple(parts), source, selection)


def _part(array: StoredArray, layout: str) -> Part:
    """All channels of an array, whose axes stay in the order in which they are stored."""
    stored = as_variable(array, [_DIMS[axis] for axis in layout], {})
    variable = xr.Dataset({"frames": stored})["frames"]  # a DataArray forgets how it is stored
    dims = tuple(_DIMS[axis] for axis in AXES if axis in layout)
    channels = range(variable.sizes.get("channel", 1))
    return Part(variable, dims, layout.count("n"), places=tuple(channels))
