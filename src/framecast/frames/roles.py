"""What a network reads and predicts, channel by channel, and the fields that are derived for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from framecast.frames.channels import Channel, Role
from framecast.frames.coarsen import CellSizes
from framecast.frames.derived import derived_forcing_channels, derived_static_channels
from framecast.frames.frames import Frames
from framecast.frames.places import Corners, agree, corners, runs_northward
from framecast.frames.times import TOLERANCE

Bounds = tuple[float | None, float | None]
"""Least and greatest value that a variable may have; None for no bound."""


@dataclass(frozen=True)
class FrameSpec:
    """What frames must look like to suit a trained network.

    Attributes:
        channels: names, attributes and roles: prognostic, then diagnostic, then forcing ones.
        grid: (H, W).
        step: time from frame to frame, as text.
        static: channels of the fields that are the same at all times and come from the data.
        derived: names of forcings that are derived from the times (`derived.FORCINGS`).
        derived_static: names of fields that are derived from the coordinates (`derived.STATIC`).
        flagged: names of the channels whose mask the network reads.
        actions: A, numbers in the action between two frames; 0 for none.
        continuous_actions: whether these numbers are measured, such as a speed and an angle, and
            not the unit vector of one of A actions.
        irregular: whether the network reads the time between frames.
        bounds: by name of a variable, what its forecasts are held within.
        missing: values that stand for a missing one in the data.
        action_variable: name of the actions in the data; None if there are none.
        action_shift: frames by which the data store actions late.
        dims: what dimensions of the data are, where the user said it, by data.dims.
        select: what was read of dimensions of the data, by data.select.
        time_tolerance: share of a step that each time of the data may be off.
        time_units: what plain numbers of time counted, by data.time_units.
        region: the part of the grid that was read, by data.region.
        coarsen: cells along a side of the blocks whose means were read, by data.coarsen.
        cells: sizes of the cells after that; None without it, or without coordinates.
        corners: coordinates of the first and the last point of the grid, by name; empty where there
            are none.
        northward: whether rows ran from south to north; None where no latitudes said so.
        every: how many frames, or how long, it was from one frame that was read to the next.
        units: by name of a channel, the unit that its values were converted to, by data.units.
        layout: what the axes of unlabelled arrays are, where the user said it, by data.layout.
        vectors: names of the channels that are components of vectors.
        classes: names of the classes that sequences are labelled with; none without labels.
        action_names: of the actions, where they are named, in the order of their numbers.
        label: name of the labels in the data; None if there are none, or if files are not read.
    """

    channels: tuple[Channel, ...]
    grid: tuple[int, int]
    step: str
    static: tuple[Channel, ...] = ()
    derived: tuple[str, ...] = ()
    derived_static: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    actions: int = 0
    continuous_actions: bool = False
    irregular: bool = False
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    missing: tuple[float, ...] = ()
    action_variable: str | None = None
    action_shift: int = 0
    dims: Mapping[str, str] = field(default_factory=dict)
    select: Mapping[str, Any] = field(default_factory=dict)
    time_tolerance: float = TOLERANCE
    layout: str | None = None
    time_units: str | None = None
    region: Mapping[str, Any] = field(default_factory=dict)
    coarsen: int = 1
    cells: CellSizes | None = None
    corners: Corners = field(default_factory=dict)
    northward: bool | None = None
    every: int | str = 1
    units: Mapping[str, str] = field(default_factory=dict)
    vectors: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    label: str | None = None

    @classmethod
    def of(cls, frames: Frames, **settings: Any) -> "FrameSpec":
        """Describe frames; `settings` are the fields that frames do not know."""
        return cls(
            channels=frames.channels,
            grid=frames.grid,
            step=str(frames.step),
            static=() if frames.static is None else frames.static.channels,
            actions=0 if frames.actions is None else frames.actions.shape[-1],
            continuous_actions=frames.actions is not None and not frames.numbered_actions,
            irregular=frames.irregular,
            corners=corners(frames),
            northward=runs_northward(frames),
            classes=() if frames.labels is None else frames.labels.names,
            action_names=frames.action_names,
            **settings,
        )

    def lies_as(self, frames: Frames) -> bool:
        """Whether frames lie on the grid of the training, where both say where they lie."""
        return frames.grid == self.grid and agree(self.corners, corners(frames))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)

    @property
    def rate(self) -> float | None:
        """Frames a second, where the time axis is one of plain numbers, as that of videos is."""
        try:
            return 1 / float(self.step)
        except ValueError:
            return None

    @property
    def predicted(self) -> tuple[Channel, ...]:
        """The channels that are predicted: prognostic, then diagnostic."""
        return tuple(c for c in self.channels if c.role != "forcing")

    @property
    def reads_forcings(self) -> bool:
        """Whether any forcing is read, of the data or derived."""
        return bool(self.derived or self.of_role("forcing"))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of what is read beside prognostic channels, in the order of their reading.

        Forcings at the frame and at the one after it (name and name'), their masks, and static
        fields.
        """
        forcings = [c.name for c in self.of_role("forcing")]
        forcings += [c.name for c in derived_forcing_channels(self.derived)]
        forcings += [f"mask of {n}" for n in self.flagged if n in forcings]
        static = [c.name for c in (*self.static, *derived_static_channels(self.derived_static))]
        return (*forcings, *(f"{name}'" for name in forcings), *static)

    @property
    def read_vectors(self) -> tuple[int, ...]:
        """Places of components of vectors among all that the network reads."""
        prognostic = [channel.name for channel in self.of_role("prognostic")]
        masks = [""] * len(self.flags)
        read = [*prognostic, *masks, *(name.removesuffix("'") for name in self.conditions)]
        return tuple(place for place, name in enumerate(read) if name in self.vectors)

    @property
    def flags(self) -> tuple[int, ...]:
        """Places of the prognostic channels whose mask the network reads."""
        prognostic = self.of_role("prognostic")
        return tuple(i for i, c in enumerate(prognostic) if c.name in self.flagged)

    def of_role(self, *roles: Role) -> tuple[Channel, ...]:
        """Return the channels of these roles, in their order."""
        return tuple(c for c in self.channels if c.role in roles)

    def names_of(self, *roles: Role) -> tuple[str, ...]:
        """Return the names of the channels of these roles."""
        return tuple(c.name for c in self.of_role(*roles))
