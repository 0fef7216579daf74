"""A climatology that a file holds, by the day of the year and the hour of the day."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.baselines.climate import Climate, means_of
from framecast.frames.frames import Frames
from framecast.frames.lazy import load

_DAY = 86400
"""Seconds."""
DAY, HOUR = ("dayofyear", "day_of_year"), "hour"
"""Names of the dimensions, as WeatherBench 2 has them."""


def is_stored(frames: Frames) -> bool:
    """Whether frames are a climatology: over days of the year, and hours of each."""
    return len(frames.dims) == 4 and frames.dims[0] in DAY and frames.dims[1] == HOUR


@dataclass(frozen=True, eq=False)
class StoredClimate(Climate):
    """The means of a file, [P,Q,C,H,W] for P days of the year, from 1 January on, and Q hours.

    As in WeatherBench 2, 1 March is day 61 of a leap year and day 60 of others. Between two of its
    hours, and the last of a day and the first of the next, it is interpolated.
    """

    @classmethod
    def of(cls, frames: Frames) -> "StoredClimate":
        """Take the means of frames for which `is_stored` holds.

        Raises:
            UserError: unless its days are 1 to 366, or to 365, and its hours divide a day evenly.
        """
        days, hours = (frames.coordinates.get(dim) for dim in frames.dims[:2])
        count, each = frames.values.shape[:2]
        even = np.arange(each) * 24 / each
        whole = days is None or np.array_equal(days.values, np.arange(1, count + 1))
        if count not in (365, 366) or not whole:
            raise UserError(
                f"{frames.source} is a climatology over {frames.dims[0]}, which must be 1 to 366"
            )
        if hours is None or not np.array_equal(hours.values, even):
            raise UserError(
                f"{frames.source} is a climatology over hours of the day, which must divide it "
                "evenly from 0 on, such as 0, 6, 12, 18"
            )
        values = load(frames.values)
        known = ~values.isnan()
        table = means_of(values.nan_to_num(0.0), known.float())
        return cls(table, known.any(1).any(0))

    @property
    def says(self) -> str:
        """What it is a mean by, in words."""
        return "mean by day of the year and hour of the day, as a file holds it"

    def at(self, times: np.ndarray) -> Float[Tensor, "T C H W"]:
        """Return what is usual at some times [T], datetime64.

        Raises:
            UserError: for times that are no dates of the usual calendar.
        """
        if times.dtype.kind != "M":
            raise UserError(
                "a climatology by day of the year and hour needs forecasts and a truth with dates "
                "of the usual calendar"
            )
        step = _DAY // self.table.shape[1]
        seconds = times.astype("datetime64[s]").astype(np.int64)
        before = seconds // step * step
        share = torch.from_numpy((seconds - before) / step).float().view(-1, 1, 1, 1)
        low, high = (self._means(before + later, step) for later in (0, step))
        return torch.where(share == 0, low, (1 - share) * low + share * high)

    def _means(self, seconds: Int[np.ndarray, " T"], step: int) -> Float[Tensor, "T C H W"]:
        """The means at times that it holds, in seconds since 1970."""
        dates = seconds.astype("datetime64[s]")
        days = dates.astype("datetime64[D]") - dates.astype("datetime64[Y]")
        day = np.minimum(days.astype(int), len(self.table) - 1)
        return self.table[torch.from_numpy(day), torch.from_numpy(seconds % _DAY // step)]
