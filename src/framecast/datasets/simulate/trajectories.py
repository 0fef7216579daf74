"""A store of simulated trajectories: a Zarr group that grows batch by batch and can be resumed.

One array of dimensions (trajectory, time, rows, columns), the last three under names of their own,
with their coordinate arrays, laid out so that `xarray.open_zarr` reads it as a data set. The
attributes of the group say how it was made.

A trajectory has chunks of its own, so that none is written again once it counts, and the count
of complete trajectories is raised after their chunks are on disk. Zarr replaces each file as a
whole. A kill at any point therefore loses the batch at hand and nothing else. A store appears under
its own name when it is complete.
"""

import math
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from framecast.base.claim import claim
from framecast.base.disk import full_disk_named
from framecast.base.errors import UserError
from framecast.base.hidden import unfinished_of
from framecast.base.limits import check_disk
from framecast.base.progress import open_bar

COMPLETE = "trajectories_complete"
CHUNK_FRAMES = 100
"""Most frames in a chunk, so that a window of a long trajectory is read without the rest."""
KEPT = "The trajectories that are complete are kept: free some space and give the command again"

Attributes = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Axis:
    """A coordinate: its values, shape [length], and what they mean, also by a name of CF."""

    values: NDArray[np.float64]
    units: str
    long_name: str
    standard_name: str | None = None

    def attributes(self, letter: str) -> dict[str, Any]:
        """Attributes of the array, with the letter of its axis in CF: T, Y or X."""
        named = {} if self.standard_name is None else {"standard_name": self.standard_name}
        return {"units": self.units, "long_name": self.long_name, **named, "axis": letter}


@dataclass(frozen=True)
class Variable:
    """What a store holds: one variable with its attributes and coordinates, and its kind of number.

    The axes are those of time, rows and columns, by the names of the dimensions. Trajectories that
    were not yet computed read as NaN, in integers as 0.
    """

    name: str
    attributes: Mapping[str, Any]
    axes: Mapping[str, Axis]
    dtype: str = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape [T, H, W] of a trajectory."""
        return tuple(len(axis.values) for axis in self.axes.values())


class TrajectoryStore:
    """An open store, to which complete trajectories are appended in order.

    Until it is complete it stands beside its place, under a hidden name.
    """

    def __init__(self, group: zarr.Group, name: str, path: Path) -> None:
        self._group, self._path = group, path
        self._array = cast("zarr.Array[Any]", group[name])

    @property
    def total(self) -> int:
        """Trajectories the store is for."""
        return int(self._array.shape[0])

    @property
    def complete(self) -> int:
        """Trajectories it already holds: the first ones."""
        return cast(int, self._group.attrs[COMPLETE])

    def append(self, values: NDArray[Any]) -> None:
        """Write the next trajectories, [N, T, H, W], and then count them.

        With the last one the store moves to its place.

        Raises:
            ValueError: they are of another shape, or more than are missing.
        """
        first = self.complete
        last = first + len(values)
        if values.shape[1:] != self._array.shape[1:] or last > self.total:
            raise UserError(
                f"trajectories of shape {values.shape} do not fit: the store is of shape "
                f"{self._array.shape} and {self.total - first} are missing"
            )
        with full_disk_named(self._path, KEPT):
            self._array[first:last] = values
            self._group.attrs[COMPLETE] = last
        if last == self.total and not self._path.exists():
            unfinished_of(self._path).rename(self._path)


def open_store(
    path: Path, variable: Variable, count: int, attributes: Attributes
) -> TrajectoryStore:
    """Create a store for `count` trajectories, or open the one that an earlier call began.

    Args:
        path: the folder of the store; its parents are made.
        variable: what it holds.
        count: trajectories it is for, at least 1.
        attributes: how they are made, every parameter by name; kept in the group's attributes.

    Raises:
        ValueError: `count` is below 1; the path holds something else, or a store that was made
            with other attributes; or an unfinished one, of another version of framecast.
    """
    if count < 1:
        raise UserError(f"{path}: the number of trajectories is {count}, must be at least 1")
    wanted = {
        "Conventions": "CF-1.11",
        "framecast_version": package_version(),
        **attributes,
        "trajectories": count,
    }
    place = path if path.exists() else unfinished_of(path)
    if not place.exists():
        size = count * math.prod(variable.shape) * np.dtype(variable.dtype).itemsize
        remedy = "Choose fewer or smaller trajectories, or another disk."
        check_disk(size, path, f"{count:,} trajectories {list(variable.shape)}", remedy)
        with full_disk_named(path, KEPT):
            _create(place, variable, count, wanted)
    group = _open(place)
    stored = group.attrs.asdict()
    finished = stored[COMPLETE] == stored.get("trajectories")
    for key in [*wanted, *(stored.keys() - wanted.keys() - {COMPLETE})]:
        if stored.get(key) != wanted.get(key) and not (finished and key == "framecast_version"):
            raise UserError(
                f"{path}: was made with {key}={stored.get(key)!r}, not {wanted.get(key)!r}; "
                "remove it, or choose another folder"
            )
    if not finished:
        _remove_litter(place)
    return TrajectoryStore(group, variable.name, path)


def write_stores(
    out: Path,
    variable: Variable,
    counts: Mapping[str, int],
    attributes: Callable[[str], Attributes],
    produce: Callable[[str, range], NDArray[Any]],
    batch: int,
    progress: bool = True,
) -> None:
    """Make the stores of all splits in a folder, or go on with those that are unfinished.

    Args:
        out: the folder, which no other process writes into meanwhile.
        variable: what each store holds.
        counts: trajectories of each split.
        attributes: of the store of a split (see `open_store`).
        produce: as in `fill`.
        batch: as in `fill`.
        progress: as in `fill`.

    Raises:
        ValueError: as `open_store` and `fill`.
    """
    with claim(out) as folder:
        stores = {
            split: open_store(folder / f"{split}.zarr", variable, count, attributes(split))
            for split, count in counts.items()
        }
        fill(stores, produce, batch, progress)


def fill(
    stores: Mapping[str, TrajectoryStore],
    produce: Callable[[str, range], NDArray[Any]],
    batch: int,
    progress: bool = True,
) -> None:
    """Compute and append all trajectories that are missing, in batches.

    Args:
        stores: a store for each split.
        produce: makes the trajectories [N, T, H, W] of a split at a range of indices.
        batch: trajectories computed, and written, together; at least 1.
        progress: show on stderr how far it is.

    Raises:
        ValueError: `batch` is below 1.
    """
    if batch < 1:
        raise UserError(f"batch={batch}: must be at least 1")
    with open_bar("trajectories a second", progress) as bar:
        for split, store in stores.items():
            task = bar.begin(split, store.total, store.complete)
            while store.complete < store.total:
                first = store.complete
                indices = range(first, min(first + batch, store.total))
                store.append(produce(split, indices))
                bar.advance(task, len(indices))
            if progress and not bar.shown:
                bar.say(f"{split}: {store.complete}/{store.total} trajectories")


def _create(path: Path, variable: Variable, count: int, attributes: Attributes) -> None:
    """Lay out an empty store beside the path and move it there, so that it appears as a whole."""
    draft = path.with_name(path.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(draft, zarr_format=3, attributes={**attributes, COMPLETE: 0})
    group.create_array(
        variable.name,
        shape=(count, *variable.shape),
        chunks=(1, min(variable.shape[0], CHUNK_FRAMES), *variable.shape[1:]),
        dtype=variable.dtype,
        fill_value=float("nan") if variable.dtype.startswith("float") else 0,
        dimension_names=("trajectory", *variable.axes),
        attributes=dict(variable.attributes),
    )
    for (name, axis), letter in zip(variable.axes.items(), "TYX", strict=True):
        group.create_array(
            name,
            data=axis.values,
            dimension_names=(name,),
            attributes=axis.attributes(letter),
        )
    with warnings.catch_warnings():
        # Zarr says that format 3 does not specify consolidated metadata yet. xarray looks for it
        # all the same, and warns where it is missing.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(draft)
    draft.rename(path)


def _open(path: Path) -> zarr.Group:
    try:
        group = zarr.open_group(path, mode="r+")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(_foreign(path)) from error
    if COMPLETE not in group.attrs:
        raise UserError(_foreign(path))
    return group


def _foreign(path: Path) -> str:
    return (
        f"{path}: exists and is not a store of simulated trajectories; "
        "move it away, or choose another folder"
    )


def _remove_litter(path: Path) -> None:
    """Remove the temporary files that Zarr leaves where it is killed while writing."""
    for litter in path.rglob("*.partial"):
        litter.unlink()


def package_version() -> str:
    """Return the version of framecast."""
    try:
        return metadata.version("framecast")
    except metadata.PackageNotFoundError:
        return "not installed"
