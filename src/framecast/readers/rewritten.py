"""Frames of slow sources, written once into the cache: into Zarr, in chunks of a few frames."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from jaxtyping import Float
from torch import Tensor
from zarr.codecs import BloscCodec

from framecast.base.fetch import cache_folder
from framecast.base.limits import check_disk
from framecast.base.progress import track
from framecast.base.whole import make_once
from framecast.frames.chunks import Chunks
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, held
from framecast.frames.places import rows_ascend
from framecast.readers.entries import key_of
from framecast.readers.guard import guarded
from framecast.readers.remote import address_of
from framecast.readers.selection import Selection

_LAYOUT = 1
"""Of the cache: another number makes all entries anew."""

FEW = 8
"""Frames of a chunk at most: windows in random order then read little beside what they need."""
SMALL, LARGE = 1 << 20, 1 << 23
"""Bytes that a chunk has at least, if it holds fewer than `FEW` frames, and at most, if a channel
is not larger."""
STRETCH = 1 << 26
"""Bytes that are copied at once."""


def rewritten(frames: Frames, files: Sequence[Path], selection: Selection) -> Frames:
    """Return the same frames with values that are read from the cache, where they are written once.

    All but the values is the source's own. An entry belongs to the place, the length and the time
    of change of all files, and to what is selected; removing it is always safe.

    Args:
        frames: whose values are lazy.
        files: that they are read from.
        selection: with which they are read.

    Raises:
        UserError: if they cannot be read, or there is no room for them.
    """
    values = frames.values
    if not isinstance(values, LazyValues):
        return frames
    folder = cache_folder("frames") / _key(frames, values, files, selection)
    make_once(folder, lambda partial: _write(values, partial, frames.source))
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    n, t, c, h, w = about["shape"]
    reader = RewrittenReader(folder, frames.source, (n, t, c, h, w), about["fingerprint"])
    ends = tuple(values.lengths) if len(set(values.lengths)) > 1 else None
    cached = LazyValues.of(reader, ends)
    return replace(frames, values=cached if selection.lazy else held(cached))


@dataclass(frozen=True, eq=False)
class RewrittenReader:
    """Reads frames from an entry of the cache: a `Reader`.

    Attributes:
        folder: the entry.
        source: what the frames were read from.
        shape: (N, T, C, H, W).
        digest: the fingerprint of the source.
    """

    folder: Path
    source: str
    shape: tuple[int, int, int, int, int]
    digest: str

    @cached_property
    def array(self) -> Any:
        """The stored array, [N,T,C,H,W]."""
        return zarr.open_array(self.folder / "values.zarr", mode="r")

    @property
    def chunks(self) -> Chunks | None:
        """How the frames are stored."""
        frames, length = self.array.chunks[1], self.shape[1]
        return None if frames == 1 else Chunks(np.arange(0, length, frames), length)

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        hint = f"it may be damaged: remove {self.folder}, and it is written anew"
        with guarded(self.folder, f"(the cache of {self.source}) cannot be read", hint):
            return torch.from_numpy(np.asarray(self.array[sequence, start:stop]))
        raise AssertionError("guarded lets no error pass in silence")

    def fingerprint(self) -> str:
        """Return the fingerprint of the source, whose values these are."""
        return self.digest

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "array"}


def _key(frames: Frames, values: LazyValues, files: Sequence[Path], selection: Selection) -> str:
    """The name of an entry, whatever is done to its frames later.

    A run names what it reads, where its training took what was there: such settings are known by
    what came of them. Chunks of a remote store come and go, so that its values are asked instead.
    """
    local = [file for file in files if not (file.is_dir() and address_of(file))]
    remote = values.reader.fingerprint() if len(local) < len(files) else ""
    later: dict[str, Any] = {
        "period": None,
        "every": 1,
        "anchor": "first",
        "units": {},
        "time_units": None,
    }
    seen: dict[str, Any] = {
        **dict.fromkeys(("variables", "actions", "size", "rate", "cells", "northward")),
        **dict.fromkeys(("diagnostic", "forcings", "static"), ()),
        "action_shift": 0,
        "irregular": False,
    }
    came = frames.names, values.shape, frames.times.tolist(), rows_ascend(frames)
    settings = replace(selection, cache=False, lazy=False, **later, **seen)
    how = (
        settings,
        came,
        remote,
        version("framecast"),
        _LAYOUT,
    )  # another version may read otherwise
    return f"{files[0].stem}-{key_of(local, *how)}"


def _write(values: LazyValues, folder: Path, source: str) -> None:
    size = 4 * math.prod(values.shape)
    check_disk(
        size,
        cache_folder("frames"),
        f"{source}: its cache, before it is compressed,",
        "Leave out data.cache, or set the environment variable FRAMECAST_CACHE to a folder on a "
        "larger disk",
    )
    folder.mkdir()
    chunks = _chunks(values.shape)
    array = zarr.create_array(
        folder / "values.zarr",
        shape=values.shape,
        chunks=chunks,
        dtype="float32",
        compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
        # A chunk of -0 would else be left out, and read as 0.
        config={"write_empty_chunks": True},
    )
    stretches = list(_stretches(values, chunks[1]))
    for sequence, start, stop in track(stretches, f"cache {source}", len(stretches)):
        array[sequence, start:stop] = values[sequence, start:stop].numpy()
    about = {"source": source, "shape": values.shape, "fingerprint": values.reader.fingerprint()}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _chunks(shape: tuple[int, int, int, int, int]) -> tuple[int, int, int, int, int]:
    """Chunks of one frame, or of a few small ones, or of some channels of a large one."""
    _, t, c, h, w = shape
    frames = min(FEW, t, max(1, SMALL // (4 * c * h * w)))
    channels = min(c, max(1, LARGE // (4 * h * w)))
    return 1, frames, channels, h, w


def _stretches(values: LazyValues, frames: int) -> Iterator[tuple[int, int, int]]:
    """Sequences and stretches that hold whole chunks."""
    size = 4 * math.prod(values.shape[2:])
    step = frames * max(1, STRETCH // (frames * size))
    for sequence, length in enumerate(values.lengths):
        for start in range(0, length, step):
            yield sequence, start, min(start + step, length)
