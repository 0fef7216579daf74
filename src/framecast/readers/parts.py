"""Readers of values that are made of those of several parts, which stay where they are."""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.frames.chunks import Chunks, behind_one_another, side_by_side
from framecast.frames.lazy import LazyValues, Reader

FINGERPRINTED = 256
"""Frames that make the fingerprint of a series: all of them would take too long."""


@dataclass(frozen=True, eq=False)
class TimesReader:
    """Reads parts that follow one another in time: a `Reader`.

    Attributes:
        parts: with alike sequences, channels and grid.
        source: for messages.
    """

    parts: tuple[LazyValues, ...]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, _, c, h, w = self.parts[0].shape
        return n, self.starts[-1], c, h, w

    @property
    def starts(self) -> list[int]:
        """The place of the first frame of each part, and of the one after the last."""
        return [0, *accumulate(part.shape[1] for part in self.parts)]

    @property
    def chunks(self) -> Chunks | None:
        """How the parts are stored."""
        parts = [part.chunks for part in self.parts]
        return behind_one_another(parts, [part.shape[1] for part in self.parts])

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence, from as many parts as hold them."""
        starts, read = self.starts, []
        part = bisect_right(starts, start) - 1
        while start < min(stop, starts[-1]):
            end = min(stop, starts[part + 1])
            read.append(self.parts[part][sequence, start - starts[part] : end - starts[part]])
            start, part = end, part + 1
        return torch.cat(read)

    def fingerprint(self) -> str:
        """Return a digest of frames that are spread evenly."""
        return fingerprint_of(self)


@dataclass(frozen=True, eq=False)
class ChannelsReader:
    """Reads parts with different channels at their common times: a `Reader`.

    Attributes:
        parts: with alike sequences and grid.
        places: of the common times in each part.
        source: for messages.
    """

    parts: tuple[LazyValues, ...]
    places: tuple[np.ndarray, ...]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, _, _, h, w = self.parts[0].shape
        return n, len(self.places[0]), sum(part.shape[2] for part in self.parts), h, w

    @property
    def chunks(self) -> Chunks | None:
        """How the part with the largest chunks is stored."""
        own = [(p.chunks, at) for p, at in zip(self.parts, self.places, strict=True)]
        known = [chunks.at(places) for chunks, places in own if chunks is not None]
        return max(known, key=lambda chunks: chunks.cost(1), default=None)

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        read = []
        for part, places in zip(self.parts, self.places, strict=True):
            asked = places[start:stop]
            if not len(asked):
                return torch.empty(0, *self.shape[2:])
            stretch = part[sequence, int(asked[0]) : int(asked[-1]) + 1]
            read.append(stretch[torch.from_numpy(asked - asked[0])])
        return torch.cat(read, dim=1)

    def fingerprint(self) -> str:
        """Return a digest of frames that are spread evenly."""
        return fingerprint_of(self)


@dataclass(frozen=True, eq=False)
class ChosenReader:
    """Reads some of the channels of values: a `Reader`.

    Attributes:
        values: all channels.
        kept: places of those that are read.
    """

    values: LazyValues
    kept: tuple[int, ...]

    @property
    def source(self) -> str:
        """Where the values come from."""
        return self.values.reader.source

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, t, _, h, w = self.values.shape
        return n, t, len(self.kept), h, w

    @property
    def chunks(self) -> Chunks | None:
        """How the values are stored."""
        return self.values.chunks

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        return self.values[sequence, start:stop][:, list(self.kept)]

    def fingerprint(self) -> str:
        """Return a digest of the values and the choice."""
        return f"{self.values.fingerprint()} {self.kept}"


@dataclass(frozen=True, eq=False)
class SequencesReader:
    """Reads parts whose sequences stand side by side: a `Reader`.

    Attributes:
        parts: with alike channels and grid.
        source: for messages.
    """

    parts: tuple[LazyValues, ...]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W); T of the longest part."""
        _, _, c, h, w = self.parts[0].shape
        count = sum(len(part) for part in self.parts)
        return count, max(part.shape[1] for part in self.parts), c, h, w

    @property
    def chunks(self) -> Chunks | None:
        """How the parts are stored."""
        lengths, counts = [part.shape[1] for part in self.parts], list(map(len, self.parts))
        return side_by_side([part.chunks for part in self.parts], lengths, counts)

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        starts = [0, *accumulate(len(part) for part in self.parts)]
        part = bisect_right(starts, sequence) - 1
        return self.parts[part][sequence - starts[part], start:stop]

    def fingerprint(self) -> str:
        """Return a digest of frames that are spread evenly."""
        return fingerprint_of(self)


def fingerprint_of(reader: Reader) -> str:
    """Return a digest of frames of a reader that are spread evenly over all of them."""
    n, t = reader.shape[:2]
    digest = hashlib.blake2b(repr(reader.shape).encode(), digest_size=12)
    for place in np.linspace(0, n * t - 1, FINGERPRINTED).astype(int).tolist():
        digest.update(reader.read(place // t, place % t, place % t + 1).numpy().data)
    return digest.hexdigest()
