"""What an exported program takes and returns: tensors by name, with shapes, units and meaning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from framecast.frames.channels import Channel
from framecast.frames.derived import derived_forcing_channels, derived_static_channels
from framecast.layers.recurrence import State
from framecast.runs.checkpoint import Checkpoint

BATCH, HEIGHT, WIDTH = "batch", "height", "width"
"""Sizes that may differ from call to call."""
PAST = "past"
"""Frames that a state looks back at, where it grows with each."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a program, in float32.

    Attributes:
        name: by which the program knows it.
        shape: of each dimension its size, or the name of one that may differ.
        meaning: in words.
        channels: along the dimension of channels, where they have names.
        start: of a state, the number that fills it before the first frame; None if it has no start.
    """

    name: str
    shape: tuple[int | str, ...]
    meaning: str
    channels: tuple[Channel, ...] = ()
    start: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        said: dict[str, Any] = {"name": self.name, "shape": list(self.shape)}
        if self.channels:
            said["channels"] = [c.name for c in self.channels]
            said["units"] = [c.units for c in self.channels]
        if self.start is not None:
            said["start"] = self.start
        return said | {"meaning": self.meaning}


@dataclass(frozen=True)
class Signature:
    """All tensors of a program, in the order in which it takes and returns them.

    Attributes:
        inputs: what it reads, without the state.
        state: what it returns and is given again with the next frame; taken by a step alone.
        outputs: what it returns before the state.
    """

    inputs: tuple[Entry, ...]
    state: tuple[Entry, ...]
    outputs: tuple[Entry, ...] = field(default=())


def sides(checkpoint: Checkpoint, any_grid: bool) -> tuple[int | str, int | str]:
    """Return the height and the width of frames: names where every grid will do."""
    return (HEIGHT, WIDTH) if any_grid else checkpoint.frames.grid


def read_beside(checkpoint: Checkpoint, any_grid: bool, steps: int | None) -> Iterator[Entry]:
    """Yield what a program reads beside frames, of so many steps; None for a step by itself."""
    spec, size = checkpoint.frames, sides(checkpoint, any_grid)
    frames = 2 if steps is None else steps + 1
    over = () if steps is None else (steps,)
    when = "at the frame and at the one after it" if steps is None else "at all frames and one more"
    if given := spec.of_role("forcing"):
        shape = (BATCH, frames, len(given), *size)
        yield Entry("forcings", shape, f"forcings {when}; NaN where missing", given)
    if derived := derived_forcing_channels(spec.derived):
        meaning = f"derived from the times {when}, without units: see derived.py"
        yield Entry("derived_forcings", (BATCH, frames, len(derived), *size), meaning, derived)
    if spec.static:
        meaning = "static fields; NaN where missing"
        yield Entry("static", (len(spec.static), *size), meaning, spec.static)
    if placed := derived_static_channels(spec.derived_static):
        meaning = "derived from the coordinates, without units: see derived.py"
        yield Entry("derived_static", (len(placed), *size), meaning, placed)
    if spec.actions:
        shape = (BATCH, *over, spec.actions)
        yield Entry("actions", shape, "what is done between each frame and the next")
    if spec.irregular:
        yield Entry("intervals", (BATCH, *over), "time since the frame before, in regular steps")
    noise = checkpoint.model.noise_channels
    if noise and checkpoint.model.head is None:
        meaning = "standard normal numbers, by which members of an ensemble differ"
        yield Entry("noise", (BATCH, *over, noise, *size), meaning)


def state_entries(checkpoint: Checkpoint, any_grid: bool) -> Iterator[Entry]:
    """Yield the state: what fills gaps, and what the layers carry."""
    spec, model, size = checkpoint.frames, checkpoint.model, sides(checkpoint, any_grid)
    read = spec.of_role("prognostic")
    meaning = "the last known value of each cell, as the network sees it; it fills gaps"
    yield Entry("last_known", (BATCH, len(read), *size), meaning, start=0.0)
    if given := spec.of_role("forcing"):
        yield Entry("last_forcings", (BATCH, len(given), *size), meaning, start=0.0)
    cells = model.reduction
    first = pytree.tree_leaves(initial_state(checkpoint, 1, (cells, 2 * cells)))
    for place, state in enumerate(first):
        start = float(state.flatten()[0]) if state.numel() else 0.0
        shape = _state_shape(state, model.reduction, size)
        yield Entry(f"state_{place}", shape, "what the layers carry on", start=start)


def initial_state(checkpoint: Checkpoint, batch: int, grid: tuple[int, int]) -> State:
    """Return what the layers carry before the first frame, for frames of a grid."""
    model = checkpoint.model
    cells = (-(-side // model.reduction) for side in grid)
    return model.recurrences.initial_state(batch, *cells)


def _state_shape(
    state: Tensor, cells: int, size: tuple[int | str, int | str]
) -> tuple[int | str, ...]:
    """The shape of what a layer carries, [B,...,H,W] on the encoder's grid."""
    suffix = "" if cells == 1 else f"/{cells}"
    coarse = [f"{side}{suffix}" if isinstance(side, str) else -(-side // cells) for side in size]
    between: list[int | str] = list(state.shape[1:-2])
    if not state.numel():
        between[0] = PAST
    return (BATCH, *between, *coarse)


def example(entries: Sequence[Entry], sizes: dict[str, int], seed: int = 0) -> list[Tensor]:
    """Return random tensors of the shapes of entries, where names stand for sizes."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(shape_of(e, sizes), generator=random) for e in entries]


def shape_of(entry: Entry, sizes: dict[str, int]) -> tuple[int, ...]:
    """Return the shape of an entry, where names stand for sizes."""
    return tuple(_size(side, sizes) for side in entry.shape)


def _size(side: int | str, sizes: dict[str, int]) -> int:
    if isinstance(side, int):
        return side
    name, _, cells = side.partition("/")
    return sizes[name] // int(cells or 1)
