"""How frames become what a network sees: the one place that normalises, fills and derives."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framecast.frames.batch import Limits
from framecast.frames.derived import derive_forcings, derive_static
from framecast.frames.frames import Frames
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics

EXAMINED = 64
"""Frames that are looked through at once."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """What takes frames of a kind to what a network sees, and back.

    Attributes:
        spec: what the network reads and predicts.
        statistics: of the training frames.
    """

    spec: FrameSpec
    statistics: Statistics

    @cached_property
    def predicted(self) -> Statistics:
        """The statistics of the predicted channels."""
        return self.statistics.part(slice(0, len(self.spec.predicted)))

    @cached_property
    def forcing(self) -> Statistics:
        """The statistics of the forcing channels that come from data."""
        return self.statistics.part(slice(len(self.spec.predicted), None))

    def arrange(
        self, values: Float[Tensor, "T _C H W"], frames: Frames
    ) -> Float[Tensor, "T C H W"]:
        """Return values of frames in the order of the spec's channels, NaN for absent ones.

        Variables that are only predicted need not be there to forecast.
        """
        names = self.spec.names
        if frames.names == names:
            return values
        none = torch.full_like(values[:, 0], torch.nan)
        found = dict(zip(frames.names, values.unbind(1), strict=True))
        return torch.stack([found.get(name, none) for name in names], dim=1)

    def normalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """Predicted channels in physical units → what the network sees."""
        return self.predicted.normalise(values)

    def denormalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """The inverse of `normalise`."""
        return self.predicted.denormalise(values)

    def typical(self, frames: Frames | None = None) -> Float[Tensor, "C H W"]:
        """Return what fills values that nothing is known of: the climatology, normalised.

        On another grid than that of the training, or elsewhere, and where nothing was ever known,
        it is 0: the mean of the channel.

        Args:
            frames: whose grid it is; None for that of the training.
        """
        field = self.normalise(self.predicted.climatology).nan_to_num(0.0)
        if frames is None or self.spec.lies_as(frames):
            return field
        return field.new_zeros(len(field), *frames.grid)

    def physical(
        self, held: Float[Tensor, "*any C H W"], possible: Bool[Tensor, "C H W"] | None
    ) -> Float[Tensor, "*any C H W"]:
        """Predictions in physical units, within their bounds to the last digit, NaN where none is.

        Args:
            held: predicted channels as the network sees them, within their limits.
            possible: where a value may be known at all; None for everywhere.
        """
        values = self.denormalise(held)
        if self.spec.bounds:
            values = values.clamp(*(end.to(values) for end in self._ends()))
        return values if possible is None else values.where(possible, torch.nan)

    @cached_property
    def training_limits(self) -> Limits:
        """What holds of every frame that is predicted on the grid of the training."""
        known = self.predicted.known
        possible = None if known is None or known.gt(0).all() else known.gt(0)
        return Limits(*self._bounds(), possible)

    def limits(self, frames: Frames) -> Limits:
        """Return what holds of every frame that is predicted from these."""
        low, high = self._bounds()
        return Limits(low, high, self._possible(frames))

    def static(self, frames: Frames) -> Float[Tensor, "S H W"] | None:
        """Return the static fields, of the data and derived; None if the network reads none."""
        parts = []
        if frames.static is not None and self.spec.static:
            parts.append(self.statistics.normalise_static(frames.static.values))
        if self.spec.derived_static:
            parts.append(derive_static(self.spec.derived_static, frames))
        return torch.cat(parts) if parts else None

    def fill_forcings(
        self, values: Float[Tensor, "T F H W"]
    ) -> tuple[Float[Tensor, "T F H W"], Bool[Tensor, "T F H W"]]:
        """Normalise the forcings of the data, fill what is missing, and say what is known.

        Args:
            values: in physical units.
        """
        known = ~values.isnan()
        return fill(self.forcing.normalise(values)[None], known[None], None)[0], known

    def forcings(
        self,
        frames: Frames,
        filled: Float[Tensor, "*any T F H W"],
        known: Bool[Tensor, "*any T F H W"],
        times: np.ndarray,
    ) -> Float[Tensor, "*any T _F H W"]:
        """Return all forcings at some frames: of the data, derived, and masks of those with gaps.

        Args:
            frames: whose coordinates say where the grid lies.
            filled: of the data, as `fill_forcings` returns them.
            known: where they are.
            times: of the frames.
        """
        channels = self.spec.of_role("forcing")
        flagged = [i for i, c in enumerate(channels) if c.name in self.spec.flagged]
        derived = derive_forcings(self.spec.derived, frames, times)
        derived = derived.expand(*filled.shape[:-4], *derived.shape)
        return torch.cat([filled, derived, known[..., flagged, :, :].float()], dim=-3)

    def _bounds(self) -> tuple[Tensor | None, Tensor | None]:
        if not self.spec.bounds:
            return None, None
        low, high = (self.normalise(end) for end in self._ends())
        return low, high

    def _ends(self) -> tuple[Float[Tensor, "C 1 1"], Float[Tensor, "C 1 1"]]:
        """Least and greatest value of each predicted channel, in physical units, or infinity."""
        ends = []
        for place, missing in enumerate((-torch.inf, torch.inf)):
            given = [self.spec.bounds.get(c.name, (None, None))[place] for c in self.spec.predicted]
            end = torch.tensor([missing if value is None else value for value in given])
            ends.append(end[:, None, None])
        return ends[0], ends[1]

    def _possible(self, frames: Frames) -> Bool[Tensor, "C H W"] | None:
        """Where any training frame has a value; on another grid or elsewhere, any of these."""
        known = self.predicted.known
        if known is None:
            return None
        if not self.spec.lies_as(frames):
            known = self._ever_known(frames)
        possible = known > 0
        return None if possible.all() else possible

    def _ever_known(self, frames: Frames) -> Float[Tensor, "C H W"]:
        """1 where any frame has a value, or where a channel is absent from all, else 0."""
        known = torch.zeros(len(self.spec.predicted), *frames.grid, dtype=torch.bool)
        for sequence in range(len(frames.values)):
            for part in stretches(frames, sequence, EXAMINED):
                seen = self.arrange(part, frames)[:, : len(known)]
                known |= (~seen.isnan()).any(0)
        absent = [c.name not in frames.names for c in self.spec.predicted]
        known[absent] = True
        return known.float()


def fill(
    values: Float[Tensor, "B T C H W"],
    known: Bool[Tensor, "B T C H W"],
    before: Float[Tensor, "B C H W"] | None,
) -> Float[Tensor, "B T C H W"]:
    """Fill what is missing by the last known value, and what comes before any by `before`, or 0."""
    last = torch.zeros_like(values[:, 0]) if before is None else before
    filled = []
    for frame, mask in zip(values.unbind(1), known.unbind(1), strict=True):
        last = frame.where(mask, last)
        filled.append(last)
    return torch.stack(filled, dim=1)


def stretches(frames: Frames, sequence: int, length: int) -> Iterator[Float[Tensor, "T C H W"]]:
    """Yield all frames of a sequence, `length` of them at a time."""
    for start in range(0, frames.lengths[sequence], length):
        yield frames.values[sequence, start : start + length]
