"""The baselines that runs are scored beside, fitted to what the first run learned from."""

import math
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec

import torch
from torch import Tensor

from framecast.base.errors import UserError
from framecast.evaluate.runs import Run, training_frames
from framecast.forecast.baselines import BASELINES, Climate, Following, Training
from framecast.forecast.competitor import Stretch
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.readers.joins import choose_channels

USUAL = ("persistence", "climatology")
"""The baselines that are taken in any case, if they can be had."""
LEARNING = ("climatology", "damped_persistence", "linear_inverse")
"""Those that learn of the training frames, and need their grid."""
MOVING = "advection"
"""The one that is taken too where fields move."""
_MOVES = 0.8
"""Error of advection over that of persistence, on given frames, below which fields move."""
_LOOKED_AT = 8
"""Windows in which that is looked at."""
_SECONDS, _PATIENCE = 1.5e-5, 120.0
"""Seconds that the motion at a point takes, about, and those that are waited for unasked."""


def fit_baselines(
    names: Sequence[str] | None, run: Run, frames: Frames, places: Sequence[Place], context: int
) -> dict[str, Following]:
    """Fit baselines to the training frames of a run.

    Args:
        names: of BASELINES; None for persistence, climatology where the grid is that of the
            training, and advection where it foretells the last given frame of some windows clearly
            better than persistence and does not take long.
        run: of which the statistics, and the training frames where they are needed, are taken.
        frames: where the windows lie.
        places: where they begin.
        context: frames given in each.

    Raises:
        UserError: if there is no such baseline, the training frames that one needs cannot be read,
            or they have another grid.
    """
    source = _Source(run, frames, names is not None)
    if names is not None:
        return {name: source.fit(name) for name in names}
    fitted = {name: source.fit(name) for name in USUAL if name not in LEARNING or source.same_grid}
    cost = _SECONDS * 2 * len(places) * math.prod(source.frames.values.shape[2:])
    if cost < _PATIENCE and context > 2 and find_spec("skimage"):
        moving = source.fit(MOVING)
        if _moves(moving, fitted["persistence"], source.frames, places, context):
            fitted[MOVING] = moving
    return fitted


class _Source:
    """What baselines are fitted to.

    Args:
        run: whose data tell what is usual.
        frames: where the windows lie.
        asked: whether baselines were asked for, so that training frames must be read.
    """

    def __init__(self, run: Run, frames: Frames, asked: bool) -> None:
        names = [channel.name for channel in run.checkpoint.frames.predicted]
        self.run, self.asked = run, asked
        self.frames = choose_channels(frames, names)
        self.names = names
        scaling = run.checkpoint.scaling
        self.mean = scaling.predicted.climatology
        self.typical = scaling.denormalise(scaling.typical(frames))

    @property
    def same_grid(self) -> bool:
        """Whether the windows lie on the grid of the training, and where it lay."""
        return self.run.checkpoint.frames.lies_as(self.frames)

    def fit(self, name: str) -> Following:
        """Fit a baseline."""
        kind = BASELINES.find(name)
        if name not in LEARNING:
            training = Training(self.frames, Climate.constant(self.typical))
        elif not self.same_grid:
            raise UserError(
                f"the baseline {name} knows the grid of the training, {list(self.mean.shape[1:])}, "
                f"and {self.frames.source} has {list(self.frames.grid)}, or lies elsewhere: leave "
                "it out"
            )
        elif name == "climatology":
            training = Training(self.frames, self.climate)
        else:
            training = Training(self.training, self.climate)
        return Following(kind.fit(training), training.climate, self.frames.times_from)

    @cached_property
    def training(self) -> Frames:
        """The predicted channels of the training frames."""
        return choose_channels(training_frames(self.run), self.names)

    @cached_property
    def climate(self) -> Climate:
        """The climate of the training frames; the mean that the run holds where they are lost.

        They are read where their dates may tell of seasons or hours.
        """
        constant = Climate.constant(self.mean)
        if self.frames.times.dtype.kind not in "MO":
            return constant
        try:
            climate = Climate.of(self.training)
        except UserError:
            if self.asked:
                raise
            return constant
        return constant if climate.constant_in_time else climate


def _moves(
    moving: Following,
    still: Following,
    frames: Frames,
    places: Sequence[Place],
    context: int,
) -> bool:
    """Whether advection foretells the last given frame of some windows better than persistence."""
    every = -(-len(places) // _LOOKED_AT)
    errors = [_errors(f, frames, places[::every], min(context, 4)) for f in (moving, still)]
    return bool((errors[0] / errors[1]).nanmean() < _MOVES)


def _errors(following: Following, frames: Frames, places: Sequence[Place], count: int) -> Tensor:
    """Error of each channel [C] in the last of the first frames of windows."""
    values = torch.stack([frames.values[n, start : start + count] for n, start in places])
    state = None
    if count > 2:
        _, state = following.predict(Stretch(places, values[:, :-1], count - 2, False), None)
    later = [Place(n, start + count - 2) for n, start in places]
    made, _ = following.predict(Stretch(later, values[:, -2:], 1, True), state)
    return (made[0] - values[:, -1:]).square().nanmean((0, 1, 3, 4)).sqrt()
