"""Advection: what is seen goes on moving as it did between the last given frames."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.extras import need
from framecast.forecast.baselines.baseline import BASELINES, Baseline, Training
from framecast.forecast.baselines.motion import Around, carry, further_back, velocities
from framecast.forecast.baselines.scales import split_scales
from framecast.frames.channels import is_picture
from framecast.frames.grids import find_grid

PAST = 3
"""Given frames whose motion counts: the mean of that between each and the next."""


class Motion(NamedTuple):
    """What moves, and how far it has come.

    Attributes:
        velocity: rows and columns that each point moves in a step.
        shift: how far what arrives at each point has come, in rows and columns.
        keeps: share of each scale that is left after a step; None until it is asked for.
    """

    velocity: Float[Tensor, "B C 2 H W"]
    shift: Float[Tensor, "B C 2 H W"]
    keeps: Float[Tensor, "B C S"] | None = None


class Moving(NamedTuple):
    """State of an advection.

    Attributes:
        past: the last given frames, the newest last, at most PAST.
        motion: between them; None until it is asked for.
    """

    past: tuple[Float[Tensor, "B C H W"], ...]
    motion: Motion | None = None

    @property
    def last(self) -> Float[Tensor, "B C H W"]:
        """The newest frame."""
        return self.past[-1]


@BASELINES.register("advection")
@dataclass(frozen=True, eq=False)
class Advection(Baseline[Moving]):
    """Carries the last given frame along, by its optical flow.

    What comes in over an edge is what stood at the edge, or, where the grid goes around, what left
    on the other side. Source: Germann and Zawadzki, Scale-dependence of the predictability of
    precipitation from continental radar images, part I, 2002.

    Attributes:
        around: whether rows, and columns, go around.
        together: whether all channels move alike, as the colours of a picture do.
    """

    around: Around = (False, False)
    together: bool = False

    steps = False

    @classmethod
    def fit(cls, training: Training) -> "Advection":
        """See what kind of grid it is.

        Raises:
            UserError: if scikit-image, which finds the flow, is missing.
        """
        need("skimage.registration", "flow", "the baseline advection")
        around = find_grid(training.frames).around
        return cls(around, is_picture(training.frames.channels))

    def observe(self, frame: Tensor, times: np.ndarray, state: Moving | None) -> Moving:
        """Keep the frame among the last ones."""
        return Moving((*(() if state is None else state.past[1 - PAST :]), frame))

    def ahead(self, state: Moving, lead: int, times: np.ndarray) -> tuple[Tensor, Moving]:
        """Carry the last frame a step further."""
        motion = self._further(state)
        return carry(state.last, motion.shift, self.around), state._replace(motion=motion)

    def _further(self, state: Moving) -> Motion:
        """Follow what arrives at each point a step further back; the motion is found at first."""
        motion = state.motion
        if motion is None:
            velocity = velocities(state.past, self.around, self.together)
            motion = Motion(velocity, torch.zeros_like(velocity))
        shift = further_back(motion.velocity, motion.shift, self.around)
        return motion._replace(shift=shift)


@BASELINES.register("filtered_advection")
@dataclass(frozen=True, eq=False)
class FilteredAdvection(Advection):
    """Advection without the small scales that are no longer known: the further on, the smoother.

    Each scale fades as the correlation of the last frame with the one before, carried along, says:
    ρ^lead. Source: Seed, A dynamic and spatial scaling approach to advection forecasting, 2003
    (S-PROG), with a process of first order.
    """

    def ahead(self, state: Moving, lead: int, times: np.ndarray) -> tuple[Tensor, Moving]:
        """Let each scale fade, and carry what is left along."""
        motion = self._further(state)
        keeps = self._keeps(state, motion) if motion.keeps is None else motion.keeps
        left = split_scales(state.last, self.around) * keeps[..., None, None] ** lead
        after = state._replace(motion=motion._replace(keeps=keeps))
        return carry(left.sum(2), motion.shift, self.around), after

    def _keeps(self, state: Moving, motion: Motion) -> Float[Tensor, "B C S"]:
        """The correlation of each scale with what the frame before says of it, in [0, 1]."""
        seen = split_scales(state.last, self.around)
        if len(state.past) < 2:
            return torch.ones(seen.shape[:3])
        said = split_scales(carry(state.past[-2], motion.shift, self.around), self.around)
        product = (said * seen).sum((-2, -1))
        power = (said.square().sum((-2, -1)) * seen.square().sum((-2, -1))).sqrt()
        correlation = torch.where(power > 0, product / power, 1.0).clamp(0, 1)
        correlation[..., 0] = 1.0  # the mean of the frame stays
        return correlation
