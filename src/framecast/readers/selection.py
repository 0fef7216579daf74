"""What is read of a file: which variables, for what, and how their values are understood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.frames.channels import Channel, Role
from framecast.frames.coarsen import CellSizes
from framecast.frames.durations import Every
from framecast.frames.period import Anchor
from framecast.frames.region import Ends
from framecast.frames.roles import FrameSpec
from framecast.frames.times import TOLERANCE

Join = Literal["time", "sequences"]
"""How several files are one: behind one another in time, or beside one another as sequences."""


@dataclass(frozen=True)
class Selection:
    """What is read of a file.

    Attributes:
        variables: prognostic ones, in this order; None for all that are not named below.
        diagnostic: variables that are predicted, and not read by the network.
        forcings: variables that are read by the network, and known ahead of time.
        static: variables without time.
        missing: values that stand for a missing one, beside NaN and what the file declares.
        actions: the variable of what is done between frames; None for none.
        action_shift: frames by which actions are stored late: 0 where `actions[t]` acts between
            frames t and t + 1; 1 where it led to frame t.
        label: the variable of the class of each sequence, or of each frame; None for none.
        irregular: whether the time between frames may vary throughout.
        dims: what dimensions of a labelled file are, the name of one for some of time, row,
            column, sequence and channel; what is not named is recognised.
        select: what is read of dimensions of a labelled file, by their name: values of the
            coordinate, or places along it where it has none.
        time_tolerance: share of a step that each time of a labelled file may be off.
        layout: what the axes of an unlabelled array are, a letter for each: n, t, c, h and w; None
            where its shape says it.
        size: (H, W) to which a video is resized, before anything is cut; None for its own.
        rate: frames a second that are taken from a video; None for all.
        join: how several files belong together: one after the other in time, or each a sequence;
            None for time, where the files have times.
        times_from: pattern of the times in the names of files (strptime's); None to guess it.
        group: the group of a NetCDF, HDF5 or Zarr file; None for the only one with variables.
        time_units: what plain numbers of time count; None where they stay numbers.
        region: least and greatest value of coordinates over the grid, or places of rows and
            columns, between which it is read.
        coarsen: cells along a side of the blocks whose means are read; 1 for the cells themselves.
        cells: sizes of the cells that a run learned from after `coarsen`; a file that has them is
            read as it is.
        northward: whether rows run from south to north, by their latitudes, or the other way: they
            are turned where they do not; None for the way of the file.
        period: first and last time that is read; None for an open end.
        every: how many frames, or how long, it is from one frame that is read to the next.
        anchor: the frame from which `every` counts.
        units: by name of a channel, the unit that its values are converted to.
        lazy: whether values are read a window at a time, however few they are.
        cache: whether values are written into the cache once, and read from there.
        stamped: whether the name of the file holds the time of its one frame.
    """

    variables: tuple[str, ...] | None = None
    diagnostic: tuple[str, ...] = ()
    forcings: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()
    actions: str | None = None
    action_shift: int = 0
    label: str | None = None
    irregular: bool = False
    dims: Mapping[str, str] = field(default_factory=dict)
    select: Mapping[str, Any] = field(default_factory=dict)
    time_tolerance: float = TOLERANCE
    layout: str | None = None
    size: tuple[int, int] | None = None
    rate: float | None = None
    join: Join | None = None
    times_from: str | None = None
    group: str | None = None
    time_units: str | None = None
    region: Mapping[str, Ends] = field(default_factory=dict)
    coarsen: int = 1
    cells: CellSizes | None = None
    northward: bool | None = None
    period: tuple[Any, Any] | None = None
    every: Every = 1
    anchor: Anchor = "first"
    units: Mapping[str, str] = field(default_factory=dict)
    lazy: bool = False
    cache: bool = False
    stamped: bool = False

    @classmethod
    def of(cls, spec: FrameSpec) -> "Selection":
        """Return what a trained network needs of a file, what it only predicts included."""
        return cls(
            variables=spec.names_of("prognostic"),
            diagnostic=spec.names_of("diagnostic"),
            forcings=spec.names_of("forcing"),
            static=tuple(c.name for c in spec.static),
            missing=spec.missing,
            actions=spec.action_variable,
            action_shift=spec.action_shift,
            label=spec.label,
            irregular=spec.irregular,
            dims=spec.dims,
            select=spec.select,
            time_tolerance=spec.time_tolerance,
            layout=spec.layout,
            time_units=spec.time_units,
            region=spec.region,
            coarsen=spec.coarsen,
            cells=spec.cells,
            northward=spec.northward,
            every=spec.every,
            anchor="last",
            units=spec.units,
            size=None
            if spec.region
            else (spec.grid[0] * spec.coarsen, spec.grid[1] * spec.coarsen),
            rate=spec.rate,
        )

    @property
    def past(self) -> "Selection":
        """What is needed to forecast: without the variables that are only predicted, and labels."""
        kept = [name for name in self.units if name not in self.diagnostic]
        return replace(self, diagnostic=(), label=None, units=self.units_of(kept))

    def units_of(self, names: Sequence[str]) -> dict[str, str]:
        """Return the units that some channels are converted to, by their names."""
        return {name: unit for name, unit in self.units.items() if name in names}

    @property
    def others(self) -> tuple[str, ...]:
        """Names that are no prognostic variables."""
        actions = () if self.actions is None else (self.actions,)
        return (*self.diagnostic, *self.forcings, *self.static, *actions)

    @property
    def count(self) -> int | None:
        """How many channels are asked for; None where no prognostic ones are named."""
        if self.variables is None:
            return None
        return len(self.variables) + len(self.diagnostic) + len(self.forcings)

    def role(self, name: str) -> Role:
        """Return the role of a variable that changes in time."""
        if name in self.diagnostic:
            return "diagnostic"
        return "forcing" if name in self.forcings else "prognostic"

    def channel(self, name: str, attributes: dict[str, object]) -> Channel:
        """Return a channel with the role that is asked for."""
        return Channel(name, attributes, self.role(name))

    def numbers(self, array: np.ndarray) -> Float[Tensor, "*any"]:
        """Return an array in float32, with NaN where nothing is known.

        Numbers beyond those of float32 become infinite, which is refused where frames are made.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self.blank(torch.from_numpy(array.astype(np.float32)))

    def blank(self, values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Return values with NaN in place of those that stand for a missing one."""
        for number in self.missing:
            stands = values == torch.tensor(number, dtype=values.dtype)
            values = values.masked_fill(stands, torch.nan)
        return values


EVERYTHING = Selection()
