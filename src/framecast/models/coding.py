"""Frames as the codes of a tokeniser, which are made once and kept in the cache."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.fetch import cache_folder
from framecast.base.whole import make_once
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues
from framecast.frames.statistics import Statistics
from framecast.models.tokeniser import Tokeniser

AT_ONCE = 32
"""Frames that are encoded together."""
CODE = "code"
"""Name of the one channel of frames of codes."""
Normalise = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class CodeReader:
    """Reads the codes of frames, one channel of whole numbers: a `Reader`.

    A sequence is encoded when it is first read. Its entry in the cache belongs to the frames and to
    the tokeniser, so that every run that learns from both finds it there.

    Attributes:
        frames: that are encoded.
        tokeniser: that encodes them, in evaluation mode.
        normalise: what brings its frames to the values that it reads.
    """

    frames: Frames
    tokeniser: Tokeniser
    normalise: Normalise

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, 1, h, w)."""
        return len(self.frames.values), self.frames.length, 1, *self.tokeniser.code_grid

    @property
    def source(self) -> str:
        """Where the frames come from."""
        return self.frames.source

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return the codes of frames start to stop - 1 of a sequence."""
        codes = np.load(self._encoded(sequence), mmap_mode="r")[start:stop]
        return torch.from_numpy(codes.astype(np.float32))[:, None]

    def fingerprint(self) -> str:
        """Return a digest of the frames and the tokeniser."""
        return self._key

    @property
    def missing(self) -> int:
        """How many sequences are not encoded yet."""
        return sum(not self._file(n).exists() for n in range(len(self.frames.values)))

    def _file(self, sequence: int) -> Path:
        return cache_folder("codes") / self._key / f"{sequence}.npy"

    @cached_property
    def _key(self) -> str:
        parts = self.frames.fingerprint(), self.tokeniser.fingerprint()
        return hashlib.blake2b(" ".join(parts).encode(), digest_size=12).hexdigest()

    def _encoded(self, sequence: int) -> Path:
        """The codes of a sequence in the cache, int32 [T,h,w], made first if they are not there."""
        file = self._file(sequence)

        def encode(partial: Path) -> None:
            length = self.frames.lengths[sequence]
            codes = [
                self._codes(self.frames.values[sequence, start : start + AT_ONCE])
                for start in range(0, length, AT_ONCE)
            ]
            with partial.open("wb") as out:
                np.save(out, torch.cat(codes).numpy())

        make_once(file, encode)
        return file

    @torch.no_grad()
    def _codes(self, frames: Float[Tensor, "T C H W"]) -> Tensor:
        device = self.tokeniser.widen.weight.device
        codes = self.tokeniser.encode(self.normalise(frames).to(device))
        return codes.int().cpu()


def as_codes(reader: CodeReader) -> Frames:
    """Return frames as the codes that are read of them, with all that belongs to them."""
    frames = reader.frames
    return replace(
        frames,
        values=LazyValues.of(reader, tuple(frames.lengths)),
        channels=(Channel(CODE),),
        coordinates={n: c for n, c in frames.coordinates.items() if not set(c.dims) & {"y", "x"}},
        static=None,
    )


def code_statistics(grid: tuple[int, int]) -> Statistics:
    """Return statistics that leave codes as they are."""
    return Statistics(torch.zeros(1), torch.ones(1), torch.zeros(1, *grid))
