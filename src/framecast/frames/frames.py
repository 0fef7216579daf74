"""Frames: sequences of grids with everything that is known about them, validated once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.lazy import Values, lengths, load
from framecast.frames.times import Step, readable, step_of


@dataclass(frozen=True)
class Channel:
    """One variable of the frames: its name and attributes (units, long_name, ...)."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def units(self) -> str:
        """Units as the source gives them, or an empty string."""
        return str(self.attributes.get("units", ""))

    @property
    def valid_range(self) -> tuple[float, float] | None:
        """Least and greatest value that may occur, where the source declares them.

        They are the attribute valid_range, or valid_min and valid_max, of the CF conventions.
        """
        ends = self.attributes.get(
            "valid_range", [self.attributes.get(name) for name in ("valid_min", "valid_max")]
        )
        return None if None in ends else (float(ends[0]), float(ends[1]))


@dataclass(frozen=True, eq=False)
class Coordinate:
    """A coordinate of the source: values over some of the dimensions, kept as they were."""

    dims: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Frames:
    """One or several sequences of frames on one grid, with their labels.

    Attributes:
        values: float32 [N,T,C,H,W], in physical units, all finite: a tensor, or `LazyValues`,
            which are read, and checked, a window at a time.
        channels: one for each of C.
        dims: names of the dimensions of the source: (time, row, column), or (sequence,
            time, row, column) where it holds several sequences.
        coordinates: by name; the time axis is the one named after its dimension.
        attributes: of the whole source.
        source: where the frames come from, for messages.

    Raises:
        UserError: if the parts do not fit together, or a value is not finite.
    """

    values: Values
    channels: tuple[Channel, ...]
    dims: tuple[str, ...] = ("time", "y", "x")
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    source: str = "frames"

    def __post_init__(self) -> None:
        if self.values.ndim != 5 or 0 in self.values.shape:
            raise UserError(
                f"{self.source}: frames must be [N,T,C,H,W] and not empty, "
                f"not {list(self.values.shape)}"
            )
        if len(self.channels) != self.values.shape[2]:
            raise UserError(
                f"{self.source}: {self.values.shape[2]} channels, {len(self.channels)} names"
            )
        if len(self.dims) not in (3, 4) or (len(self.dims) == 3 and len(self.values) > 1):
            raise UserError(
                f"{self.source}: dims {self.dims} do not fit {len(self.values)} sequences"
            )
        self._check_coordinates()
        self._check_finite()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W)."""
        return self.values.shape[3], self.values.shape[4]

    @property
    def length(self) -> int:
        """T, frames of the longest sequence."""
        return self.values.shape[1]

    @property
    def lengths(self) -> list[int]:
        """Frames of each sequence."""
        return lengths(self.values)

    @property
    def time_dim(self) -> str:
        """Name of the time dimension."""
        return self.dims[-3]

    @property
    def times(self) -> np.ndarray:
        """The time axis [T]; 0, 1, 2, ... where the source has none."""
        axis = self.coordinates.get(self.time_dim)
        return np.arange(self.length) if axis is None else axis.values

    @property
    def step(self) -> Step | None:
        """Step of the time axis, None where there is one frame only."""
        return step_of(self.times) if self.length > 1 else None

    def select(self, sequences: slice = slice(None), times: slice = slice(None)) -> "Frames":
        """Return some of the sequences and a stretch of their frames."""
        values = self.values[sequences, times]
        kept = range(self.length)[times][: values.shape[1]]
        times = slice(kept.start, kept.stop, kept.step)
        chosen = {self.time_dim: times} | ({self.dims[0]: sequences} if len(self.dims) == 4 else {})
        coordinates = {
            name: replace(c, values=c.values[tuple(chosen.get(d, slice(None)) for d in c.dims)])
            for name, c in self.coordinates.items()
        }
        return replace(self, values=values, coordinates=coordinates)

    def load(self) -> "Frames":
        """Return the same frames with all values in memory."""
        return replace(self, values=load(self.values))

    def fingerprint(self) -> str:
        """Return a short digest of names, times and values: the same data, the same digest."""
        digest = hashlib.blake2b(digest_size=12)
        digest.update(repr((self.names, tuple(self.values.shape))).encode())
        digest.update(str(self.times[[0, -1]]).encode())
        if isinstance(self.values, Tensor):
            digest.update(self.values.contiguous().numpy().data)
        else:
            digest.update(self.values.fingerprint().encode())
        return digest.hexdigest()

    def _check_coordinates(self) -> None:
        sizes = dict(zip(reversed(self.dims), self._sizes(), strict=False))
        for name, c in self.coordinates.items():
            expected = tuple(sizes.get(d, -1) for d in c.dims)
            if c.values.shape != expected:
                raise UserError(
                    f"{self.source}: coordinate {name} {c.values.shape} does not fit "
                    f"{dict(zip(c.dims, expected, strict=True))}"
                )

    def _sizes(self) -> tuple[int, ...]:
        n, t, _, h, w = self.values.shape
        return w, h, t, n

    def _check_finite(self) -> None:
        if not isinstance(self.values, Tensor):
            return  # each window is checked when it is read
        finite = torch.isfinite(self.values)
        if finite.all():
            return
        n, t, c, y, x = (int(i) for i in (~finite).nonzero()[0])
        place = f"sequence {n}, time {readable(self.times[t])}, row {y}, column {x}"
        raise UserError(
            f"{self.source}: {int((~finite).sum())} values are not finite, the first in "
            f"{self.names[c]} at {place}. "
            "Gaps are not supported: fill or cut them first"
        )
