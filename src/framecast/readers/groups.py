"""Which group of an HDF5 file or a Zarr store is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py

from framecast.base.errors import UserError, nearest


def choose_group(path: Path, group: str | None) -> str:
    """Return the group of an HDF5 file that is read; the empty text for its root.

    Raises:
        UserError: as `open_raw`.
    """
    with h5py.File(path) as file:
        grids, every = [], [""]

        def look(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                every.append(name)
            elif is_grid(item):
                grids.append(name.rpartition("/")[0])

        file.visititems(look)
    return choose(path, group, grids, every)


def is_grid(item: Any) -> bool:
    """Whether what stands in an HDF5 file is an array of numbers of two dimensions or more."""
    return isinstance(item, h5py.Dataset) and item.ndim > 1 and item.dtype.kind in "iufb"


def choose(path: Path, group: str | None, grids: Iterable[str], every: Iterable[str]) -> str:
    """Return the group asked for; or the root, if it holds grids; or the only one that does.

    Args:
        path: for messages.
        group: what is asked for; None if nothing is.
        grids: the groups of all arrays of two dimensions or more.
        every: all groups, the empty text for the root.

    Raises:
        UserError: as `open_raw`.
    """
    holding = list(dict.fromkeys(grids))
    if group is not None:
        return check_group(path, group, [*holding, *every])
    if not holding or "" in holding:
        return ""
    if len(holding) > 1:
        raise UserError(
            f"{path} holds variables in several groups: {', '.join(holding)}. Choose one with "
            "data.group"
        )
    return holding[0]


def check_group(path: Path, group: str | None, known: list[str]) -> str:
    """Return the name of a group without slashes at its ends.

    Raises:
        UserError: if it is none of those that are known.
    """
    name = (group or "").strip("/")
    if name not in known:
        groups = [other for other in dict.fromkeys(known) if other]
        there = f"it has {', '.join(groups)}" if groups else "it has no groups"
        raise UserError(f"{path} has no group {name}{nearest(name, groups)}: {there}")
    return name
