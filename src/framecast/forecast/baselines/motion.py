"""Motion between frames, and frames carried along by it."""

from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

Around = tuple[bool, bool]
"""Whether rows, and columns, go around: what leaves on one side comes in on the other."""

_EXPLAINED = 0.5
"""Share of the squared change that a shift of the whole frame may leave, to be taken."""
_HALVES = 3
"""Iterations for the velocity half a step back along a trajectory."""
_MARGIN = 16
"""Rows and columns by which a grid that goes around is continued while motion is looked for."""


def velocities(
    past: Sequence[Float[Tensor, "B C H W"]],
    around: Around = (False, False),
    together: bool = False,
) -> Float[Tensor, "B C 2 H W"]:
    """Return how far each point moves in a step, in rows and columns: a mean over the past.

    The optical flow is that of scikit-image. Source: Zach, Pock and Bischof, A duality based
    approach for realtime TV-L1 optical flow, 2007.

    Args:
        past: frames that follow one another, without gaps. One alone does not move.
        around: whether the grid goes around.
        together: whether all channels move as their mean does.
    """
    batch, channels, *grid = past[-1].shape
    if len(past) < 2 or min(grid) < 2:
        return torch.zeros(batch, channels, 2, *grid)
    frames = torch.stack(list(past)).double()
    frames = frames.mean(2, keepdim=True) if together else frames
    each = [
        np.stack([_velocity(part, around) for part in window]) for window in _alone(frames).numpy()
    ]
    found = torch.from_numpy(np.stack(each)).float()
    return found.expand(batch, channels, 2, *grid)


def further_back(
    velocity: Float[Tensor, "B C 2 H W"], shift: Float[Tensor, "B C 2 H W"], around: Around
) -> Float[Tensor, "B C 2 H W"]:
    """Follow a trajectory one step further back.

    Args:
        velocity: of each point in a step.
        shift: how far what arrives at each point has come so far.
        around: whether the grid goes around.
    """
    step = velocity
    for _ in range(_HALVES):
        step = _at(velocity, shift + step / 2, around)
    return shift + step


def carry(
    frame: Float[Tensor, "B C H W"], shift: Float[Tensor, "B C 2 H W"], around: Around
) -> Float[Tensor, "B C H W"]:
    """Return what arrives at each point; over an edge comes what stands at it."""
    return _at(frame[:, :, None], shift, around)[:, :, 0]


def _alone(frames: Float[Tensor, "N B C H W"]) -> Float[Tensor, "B C N H W"]:
    """The frames of each window and channel, from 0 to 1."""
    apart = frames.permute(1, 2, 0, 3, 4)
    low, high = apart.amin((2, 3, 4), keepdim=True), apart.amax((2, 3, 4), keepdim=True)
    return (apart - low) / (high - low).clamp(min=1e-30)


def _velocity(frames: np.ndarray, around: Around) -> np.ndarray:
    """Mean velocity [2,H,W] between frames [N,H,W] from 0 to 1."""
    grid = frames.shape[1:]
    margins = [min(_MARGIN, n) if goes else 0 for n, goes in zip(grid, around, strict=True)]
    wide = np.pad(frames, [(0, 0), *((margin, margin) for margin in margins)], mode="wrap")
    flows = [_flow(before, after) for before, after in pairwise(wide)]
    inside = (slice(margin, margin + n) for margin, n in zip(margins, grid, strict=True))
    return np.asarray(np.mean(flows, axis=0)[(slice(None), *inside)])


def _flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far each point of a frame [H,W] has moved since the one before, [2,H,W].

    A shift of the whole frame that explains most of the change comes first, so that what is alone
    on an empty ground takes the ground along.
    """
    library: Any = import_module("skimage.registration")
    shift, moved = np.zeros(2), before
    if before.any() and after.any():
        common, _, _ = library.phase_cross_correlation(
            after, before, upsample_factor=10, normalization=None
        )
        there = ndimage.shift(before, common, order=1, mode="nearest")
        change = np.square(before - after).mean()
        if np.square(there - after).mean() < _EXPLAINED * change:
            shift, moved = common, there
    # The library says where in the frame before each point of a frame was.
    rest = -library.optical_flow_tvl1(after, moved, dtype=np.float64)
    return np.asarray(rest + shift[:, None, None])


def _at(
    fields: Float[Tensor, "B C K H W"], shift: Float[Tensor, "B C 2 H W"], around: Around
) -> Float[Tensor, "B C K H W"]:
    """Fields at the places from which each point was shifted, with bilinear weights."""
    height, width = fields.shape[-2:]
    rows = torch.arange(height, dtype=fields.dtype)[:, None] - shift[..., 0, :, :]
    columns = torch.arange(width, dtype=fields.dtype) - shift[..., 1, :, :]
    rows, height = (rows % height, height + 1) if around[0] else (rows, height)
    columns, width = (columns % width, width + 1) if around[1] else (columns, width)
    wide = F.pad(fields.flatten(0, 1), (0, int(around[1]), 0, int(around[0])), mode="circular")
    places = torch.stack([
        2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1
    ], dim=-1)  # fmt: skip
    found = F.grid_sample(wide, places.flatten(0, 1), "bilinear", "border", align_corners=True)
    return found.view_as(fields)
