"""What data hold, before anything is learned from them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from framecast.datasets.config import DataConfig
from framecast.doctor.channels import ChannelFindings, examine_channels
from framecast.doctor.opening import describe_kind, find_static, open_parts, with_source
from framecast.frames.frames import Frames
from framecast.frames.grids import Grid, find_grid


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found.

    Attributes:
        data: how the data are read, with the source that suits them.
        kind: of the path, in words.
        parts: the frames by the names of their parts; all of them, under no name, where nothing
            says which is what.
        channels: what is known of each channel, from the training part or the whole.
        grid: of the frames.
        static: names of fields in the data that are the same at all times.
    """

    data: DataConfig
    kind: str
    parts: Mapping[str, Frames]
    channels: list[ChannelFindings]
    grid: Grid
    static: tuple[str, ...] = ()

    @property
    def frames(self) -> Frames:
        """The training part, or the whole."""
        return next(iter(self.parts.values()))

    @property
    def divided(self) -> bool:
        """Whether the data say themselves which part is what."""
        return "" not in self.parts

    @property
    def days(self) -> float | None:
        """Length of the time axis in days; None where its times are no dates."""
        times = self.frames.times
        if np.issubdtype(times.dtype, np.datetime64):
            return float((times[-1] - times[0]) / np.timedelta64(1, "D"))
        if times.dtype == object:
            return float((times[-1] - times[0]).total_seconds() / 86400)
        return None


def examine(data: DataConfig) -> Findings:
    """Read data as training would, and look at them.

    Raises:
        UserError: if they cannot be read.
    """
    data = with_source(data)
    parts = open_parts(data)
    frames = next(iter(parts.values()))
    channels = examine_channels(frames)
    static = find_static(data, [c.name for c in channels if c.still])
    return Findings(data, describe_kind(data), parts, channels, find_grid(frames), static)
