"""NetCDF and Zarr: labelled grids, read through xarray."""

import hashlib
import itertools
import math
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.chunks import Chunks
from framecast.frames.frames import Channel, Frames
from framecast.frames.lazy import HELD, LazyValues
from framecast.readers.actions import make_actions
from framecast.readers.blocks import LARGEST, Blocks
from framecast.readers.catalogue import Catalogue, Entry, catalogue, has_time
from framecast.readers.classes import label_coordinate
from framecast.readers.coordinates import coordinates_of, dims_of, plain
from framecast.readers.labelled import close_labelled, open_labelled, values_of
from framecast.readers.moment import with_moment
from framecast.readers.recognise import Roles
from framecast.readers.select import select
from framecast.readers.selection import EVERYTHING, Selection
from framecast.readers.statics import read_static

SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf", ".zarr")

FINGERPRINTED = 256
"""Frames of a large file that make its fingerprint."""


def read_gridded(path: Path, selection: Selection = EVERYTHING) -> Frames:
    """Read a NetCDF 3 or 4 file or a Zarr store.

    Args:
        path: file or store.
        selection: which variables become channels; all that have a time and two more dimensions
            if it names none. What their dimensions mean is recognised (`readers.recognise`):
            those that change in time must share time, rows, columns and sequences, and each
            level or band of one becomes a channel. Static ones have rows and columns alone.

    Raises:
        UserError: if the file cannot be read, no variables fit, or a dimension is unclear.
    """
    with ExitStack() as stack:
        dataset = open_labelled(path, selection.group)
        stack.callback(close_labelled, dataset, path)
        dataset = select(dataset, selection.select, path)
        if not has_time(dataset, selection):
            dataset = with_moment(dataset, selection, path)
        chosen = catalogue(dataset, selection, path)
        roles = chosen.shared
        if empty := [d for d in roles.shared if dataset.sizes[d] == 0]:
            raise UserError(f"{path} holds no frames: {', '.join(empty)} has length 0")
        reader = GriddedReader(_parts(dataset, chosen), str(path), selection)
        lazy = selection.lazy or 4 * math.prod(reader.shape) > HELD
        if lazy:
            stack.pop_all()  # the file stays open as long as the reader is there
        return Frames(
            values=LazyValues.of(reader) if lazy else reader.everything(),
            channels=tuple(_channel(dataset, entry, selection, path) for entry in chosen.entries),
            dims=dims_of(roles),
            coordinates={
                **coordinates_of(dataset, chosen, path),
                **label_coordinate(dataset, selection.label, roles, path),
            },
            attributes=plain(dataset.attrs),
            source=str(path),
            static=read_static(dataset, selection, roles, path),
            actions=_actions(dataset, selection, roles, path),
            irregular=selection.irregular,
            tolerance=selection.time_tolerance,
            evidence=chosen.evidence,
        )


@dataclass(frozen=True, eq=False)
class Part:
    """Channels that follow one another in the frames, and are read from one variable.

    Attributes:
        variable: as it is stored.
        dims: its dimensions as frames have them: (sequences...,) time, (versions,) (channels...,)
            row, column.
        sequences: how many dimensions of sequences it has.
        versions: whether it has one of versions, of which each time has one.
        places: of the channels along its dimensions of channels together.
    """

    variable: xr.DataArray
    dims: tuple[str, ...]
    sequences: int = 0
    versions: bool = False
    places: tuple[int, ...] = (0,)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        time, (h, w) = self.sizes[self.sequences], self.sizes[-2:]
        return math.prod(self.sizes[: self.sequences]), time, len(self.places), h, w

    @property
    def sizes(self) -> tuple[int, ...]:
        """The lengths of its dimensions."""
        return tuple(self.variable.sizes[dim] for dim in self.dims)

    @property
    def chunk(self) -> tuple[int, ...]:
        """How many sequences, by each of their dimensions, and times are stored together."""
        stored = self.variable.encoding.get("preferred_chunks") or {}
        over = self.dims[: self.sequences + 1]
        return tuple(min(stored.get(dim, 1), self.variable.sizes[dim]) for dim in over)

    def read(self, source: str, place: tuple[slice, ...]) -> np.ndarray:
        """Return values [N,T,C,H,W] of stretches of sequences, by their dimensions, and times."""
        stored = self.variable.isel(dict(zip(self.dims, place, strict=False)))
        array = values_of(stored, source).transpose([stored.dims.index(d) for d in self.dims])
        first = self.sequences + 1
        sizes, grid = array.shape[:first], array.shape[-2:]
        versions = (self.sizes[first],) if self.versions else ()
        channels = math.prod(self.sizes[first + len(versions) : -2])
        array = array.reshape(math.prod(sizes[:-1]), sizes[-1], *versions, channels, *grid)
        if self.versions:
            array = _merged(array, axis=2)
        return np.take(array, self.places, axis=-3) if array.shape[-3] > 1 else array


@dataclass(frozen=True, eq=False)
class GriddedReader:
    """Reads variables of an open file a window at a time: a `Reader`.

    Attributes:
        parts: the channels, by what they are read from.
        source: the file.
        selection: says which values stand for a missing one.
        blocks: the chunks that are kept.
    """

    parts: tuple[Part, ...]
    source: str
    selection: Selection
    blocks: Blocks = field(default_factory=Blocks)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, t, _, h, w = self.parts[0].shape
        return n, t, sum(part.shape[2] for part in self.parts), h, w

    @cached_property
    def chunks(self) -> Chunks | None:
        """How the frames are stored; None where each is on its own, or a chunk is too large."""
        *together, frames = self.chunk
        n, t = self.shape[:2]
        if math.prod(self.chunk) == 1:
            return None
        groups = None
        if math.prod(together) > 1:
            places = np.unravel_index(np.arange(n), self._sizes)
            numbers = [p // size for p, size in zip(places, together, strict=True)]
            groups = np.ravel_multi_index(numbers, [int(part.max()) + 1 for part in numbers])
        return Chunks(np.arange(0, t, frames), t, groups)

    @cached_property
    def chunk(self) -> tuple[int, ...]:
        """How many sequences, by each of their dimensions, and times are read together."""
        largest = tuple(map(max, zip(*(part.chunk for part in self.parts), strict=True)))
        fits = 4 * math.prod(largest) * math.prod(self.shape[2:]) <= LARGEST
        return largest if fits else (1,) * len(largest)

    @property
    def _sizes(self) -> tuple[int, ...]:
        """Of the dimensions of sequences."""
        first = self.parts[0]
        return first.sizes[: first.sequences]

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        place = tuple(map(int, np.unravel_index(sequence, self._sizes)))
        if math.prod(self.chunk) == 1 or start == stop:
            return self._read((*(slice(p, p + 1) for p in place), slice(start, stop)))[0]
        *together, frames = self.chunk
        corner = [p - p % size for p, size in zip(place, together, strict=True)]
        sizes = [min(size, n - c) for size, n, c in zip(together, self._sizes, corner, strict=True)]
        inside = [p - c for p, c in zip(place, corner, strict=True)]
        row = int(np.ravel_multi_index(inside, sizes)) if sizes else 0
        stretches = []
        for first in range(start - start % frames, stop, frames):
            block = self._block((*corner, first))[row]
            stretches.append(block[max(0, start - first) : stop - first])
        return torch.cat(stretches)

    def _block(self, corner: tuple[int, ...]) -> Float[Tensor, "N T C H W"]:
        """The chunk that begins at a place, in sequences and times."""
        place = tuple(slice(c, c + size) for c, size in zip(corner, self.chunk, strict=True))
        return self.blocks.get(corner, lambda: self._read(place))

    def cut(self, rows: Int[np.ndarray, " H"], columns: Int[np.ndarray, " W"]) -> "GriddedReader":
        """Return a reader of some rows and columns, without the rest of the grid."""
        parts = []
        for part in self.parts:
            chosen = dict(zip(part.dims[-2:], (rows, columns), strict=True))
            parts.append(replace(part, variable=part.variable.isel(chosen)))
        return replace(self, parts=tuple(parts), blocks=Blocks())

    def without_coordinates(self) -> "GriddedReader":
        """Return a reader of the same values that holds nothing but where they are."""
        bare = [part.variable.drop_vars(list(part.variable.coords)) for part in self.parts]
        parts = [replace(part, variable=v) for part, v in zip(self.parts, bare, strict=True)]
        return replace(self, parts=tuple(parts), blocks=Blocks())

    def everything(self) -> Float[Tensor, "N T C H W"]:
        """Return all values."""
        return self._read((slice(None),) * len(self.chunk))

    def _read(self, place: tuple[slice, ...]) -> Float[Tensor, "N T C H W"]:
        channels = [part.read(self.source, place) for part in self.parts]
        return self.selection.numbers(np.ascontiguousarray(np.concatenate(channels, axis=-3)))

    def fingerprint(self) -> str:
        """Return a digest of 256 frames spread evenly: all of a large file would take too long."""
        n, t = self.shape[:2]
        digest = hashlib.blake2b(digest_size=12)
        for place in np.linspace(0, n * t - 1, FINGERPRINTED).astype(int).tolist():
            digest.update(self.read(place // t, place % t, place % t + 1).numpy().data)
        return digest.hexdigest()


def _parts(dataset: xr.Dataset, chosen: Catalogue) -> tuple[Part, ...]:
    """What is read together: neighbours among the channels that are of one variable."""
    parts = []
    for name, entries in itertools.groupby(chosen.entries, lambda entry: entry.variable):
        roles, variable = chosen.roles[name], dataset[name]
        variable = variable.isel(dict.fromkeys(roles.dropped, 0), drop=True)
        places = np.array([entry.place for entry in entries], int)
        low, high = (ends.tolist() for ends in (places.min(0), places.max(0)))
        cut = {d: slice(a, b + 1) for d, a, b in zip(roles.channels, low, high, strict=True)}
        variable = variable.isel(cut)
        sizes = [variable.sizes[dim] for dim in roles.channels]
        flat = np.ravel_multi_index((places - low).T, sizes) if sizes else np.zeros(1, int)
        versions = roles.versions is not None
        at = tuple(map(int, flat))
        parts.append(Part(variable, roles.dims, len(roles.sequences), versions, at))
    return tuple(parts)


def _merged(array: np.ndarray, axis: int) -> np.ndarray:
    """Of several versions, the first that is known at each point."""
    merged, *others = np.moveaxis(array, axis, 0)
    for other in others:
        merged = np.where(np.isnan(merged), other, merged)
    return np.asarray(merged)


def _actions(
    dataset: xr.Dataset, selection: Selection, roles: Roles, path: Path
) -> Float[Tensor, "N T A"] | None:
    """What is done between frames; None if nothing is asked for."""
    if selection.actions is None:
        return None
    variable, over = dataset[selection.actions], (*roles.sequences, roles.time)
    parts = [d for d in map(str, variable.dims) if d not in over]
    if roles.time not in variable.dims or len(parts) > 1:
        raise UserError(
            f"{path}: data.actions {selection.actions} has dimensions {list(variable.dims)}; "
            f"needed are {roles.time} and at most one of the numbers in an action"
        )
    own = [dim for dim in over if dim in variable.dims]
    array = values_of(variable.transpose(*own, *parts), path)
    array = array if parts else array[..., None]
    places = [slice(None) if dim in own else None for dim in over]
    sizes = [dataset.sizes[dim] for dim in over]
    array = np.broadcast_to(array[(*places, ...)], (*sizes, array.shape[-1]))
    return make_actions(array.reshape(-1, *array.shape[-2:]), selection, str(path))


def _channel(dataset: xr.Dataset, entry: Entry, selection: Selection, path: Path) -> Channel:
    channel = selection.channel(entry.name, plain(dataset[entry.variable].attrs))
    if channel.declares_nonsense:
        warnings.warn(
            f"{path}: the range that {channel.name} declares (valid_range, or valid_min and "
            "valid_max) is not two numbers: it is ignored",
            stacklevel=2,
        )
    return channel
