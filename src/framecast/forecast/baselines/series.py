"""Forecasts of a baseline from frames that hold nothing but the past."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.baselines.baseline import BASELINES, Following, Training
from framecast.forecast.baselines.climate import Climate
from framecast.forecast.competitor import Stretch
from framecast.forecast.starts import context_start
from framecast.frames.batch import Place
from framecast.frames.frames import Frames

CONTEXT = 3
"""Past frames that are read before a forecast, if nothing else is said."""


def follow(
    name: str, frames: Frames, starts: Sequence[int], steps: int, context: int | None = None
) -> Iterator[Float[Tensor, "N S C H W"]]:
    """Yield the frames that follow each start, by a baseline.

    It is fitted to the frames up to the first of the starts, so that no forecast knows what came
    after.

    Args:
        name: one of BASELINES.
        frames: N sequences, of channels that are all predicted.
        starts: places of the last known frames.
        steps: K, lead times.
        context: past frames to read before each; None for three, or as many as there are.

    Raises:
        UserError: if there is no such baseline, it cannot be fitted, or there is too little past.
    """
    if context is not None and context < 1:
        raise UserError(f"--context {context} must be at least 1")
    known = frames.select(times=slice(0, min(starts) + 1))
    training = Training(known, Climate.of(known))
    following = Following(BASELINES.find(name).fit(training), training.climate, frames.times_from)
    every = [(sequence, start) for sequence in range(len(frames.values)) for start in starts]
    size = context or min(CONTEXT, *(_past(frames, *place) for place in every))
    first = [Place(n, context_start(frames, n, start, size)) for n, start in every]
    return _follow(following, frames, first, size, steps, len(starts))


def _follow(
    following: Following,
    frames: Frames,
    first: Sequence[Place],
    size: int,
    steps: int,
    starts: int,
) -> Iterator[Tensor]:
    values = torch.stack([frames.values[n, start : start + size] for n, start in first])
    times = np.stack([frames.times_from(*place, size + steps) for place in first], axis=1)
    unknown = torch.full_like(values[:, :1], torch.nan)
    state = None
    if size > 1:
        given = Stretch(first, values, size - 1, False)
        _, state = following.along(given, times[:size], None)
    for lead in range(steps):
        before = values[:, -1:] if lead == 0 else unknown
        stretch = Stretch((), torch.cat([before, unknown], dim=1), int(lead == 0), True)
        place = size - 1 + lead
        made, state = following.along(stretch, times[place : place + 2], state)
        yield made[0, :, 0].view(-1, starts, *made.shape[3:])


def _past(frames: Frames, sequence: int, start: int) -> int:
    context_start(frames, sequence, start, 1)  # says so where the sequence ends before it
    return start + 1 - frames.piece_of(sequence, start).start
