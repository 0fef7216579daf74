"""Where an agent comes back to what it has been shown: by that, memory is told from guessing.

The pose of an agent, its place and the way that it looks, says what it sees. A frame of a forecast
is a *return* if its pose was that of a given frame, and the agent has been elsewhere since; its age
is the number of frames since it was last given. A frame is *new* if no earlier frame of the window
had its pose, so that nothing of it can be remembered. All others count as neither: the agent has
not left since the last given frame, or was there within the forecast alone.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.metrics.ages import NEITHER, NEW

POSE = ("agent_x", "agent_y", "agent_heading")
"""Coordinates of frames: the place on the ground, and the heading in radians."""
TURNED = 15.0
"""Degrees within which two headings count as one, where nobody says."""
WINDOWS = 64
"""Windows whose ages are kept: those of a batch are asked for stretch by stretch."""


class Returns:
    """The age of each frame of a forecast; of windows in which a pose is unknown, of none.

    Args:
        poses: place and heading of each frame, [N,T,3].
        context: frames of a window that are given.
        leads: K, frames that are forecast.
        distance: within which two places count as one, in the units of the poses.
        degrees: within which two headings do.
    """

    def __init__(
        self,
        poses: Float[np.ndarray, "N T 3"],
        context: int,
        leads: int,
        distance: float,
        degrees: float = TURNED,
    ) -> None:
        self.poses, self.context, self.leads = poses, context, leads
        self.distance, self.degrees = distance, degrees
        self._of_window = lru_cache(WINDOWS)(self._ages)

    def __call__(self, places: Sequence[Place], leads: slice) -> Int64[Tensor, "B S"]:
        """Return the ages at some leads of windows, by where these begin; `NEW` or `NEITHER`."""
        return torch.stack([self._of_window(place)[leads] for place in places])

    def _ages(self, place: Place) -> Int64[Tensor, " K"]:
        first = place.start
        poses = self.poses[place.sequence, first : first + self.context + self.leads]
        if np.isnan(poses).any():  # an unknown place may be any
            return torch.full((self.leads,), NEITHER)
        near = together(poses, self.distance, self.degrees)
        return torch.tensor([
            age_of(near[frame, :frame], self.context)
            for frame in range(self.context, self.context + self.leads)
        ])  # fmt: skip


def together(
    poses: Float[np.ndarray, "T 3"], distance: float, degrees: float
) -> Bool[np.ndarray, "T T"]:
    """Tell which frames have one pose, within a distance and an angle."""
    x, y, heading = poses.astype(np.float64).T
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    turned = np.abs(np.remainder(heading[:, None] - heading + math.pi, 2 * math.pi) - math.pi)
    return np.asarray((apart <= distance) & (np.degrees(turned) <= degrees + 1e-3))


def age_of(near: Bool[np.ndarray, " t"], context: int) -> int:
    """Return the age of frame t of a window.

    Args:
        near: which of the frames 0..t−1 have its pose.
        context: frames that were given.
    """
    elsewhere = np.flatnonzero(~near)
    left = elsewhere[-1] if len(elsewhere) else -1  # the last frame with another pose
    if left + 1 < context:
        return NEITHER
    visits = np.flatnonzero(near[: left + 1])
    shown = visits[visits < context]
    if len(shown):
        return len(near) - int(shown[-1])
    return NEITHER if len(visits) else NEW


def find_returns(
    frames: Frames, context: int, leads: int, tolerance: Sequence[float] | None = None
) -> Returns | None:
    """Return what tells the ages of frames; None where they have no poses.

    Args:
        frames: that windows lie in.
        context: frames of a window that are given.
        leads: frames that are forecast.
        tolerance: distance and degrees within which two poses count as one; None for half of the
            median length of a step, and `TURNED`.

    Raises:
        UserError: if a tolerance is given and the frames have no poses, or one is negative.
    """
    if any(name not in frames.coordinates for name in POSE):
        if tolerance is not None:
            raise UserError(
                f"--same-pose is given, but {frames.source} does not say where the agent stands "
                "(pos and rot in the files): leave it out"
            )
        return None
    poses = np.stack([frames.coordinates[name].values for name in POSE], axis=-1)
    if tolerance is None:
        return Returns(poses, context, leads, _step(poses) / 2)
    distance, degrees = tolerance
    if distance < 0 or degrees < 0:
        raise UserError(f"--same-pose {distance:g} {degrees:g} must not be negative")
    return Returns(poses, context, leads, distance, degrees)


def _step(poses: Float[np.ndarray, "N T 3"]) -> float:
    """The median length of a step; turns and halts are none."""
    lengths = np.hypot(*np.moveaxis(np.diff(poses[..., :2].astype(np.float64), axis=1), -1, 0))
    moved = lengths[np.isfinite(lengths) & (lengths > 0)]
    return float(np.median(moved)) if len(moved) else 0.0
