"""What the training frames usually hold: percentiles, and how often it is dry at each place."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.metrics.seeps import WetClimate

MOST = 1 << 24
"""Values of a channel that are looked at, at most: frames that are spread over all."""
_SEED = 1963


def percentiles(frames: Frames, channel: int, percents: Sequence[float]) -> list[float]:
    """Return percentiles of the known values of a channel, over all cells and times together.

    Of data with more than 17 million values, frames that are spread over all, and over all hours,
    are taken.

    Args:
        frames: of the training.
        channel: its place.
        percents: in (0, 100).

    Raises:
        UserError: if the channel is missing everywhere.
    """
    values = torch.cat([field[~field.isnan()] for field in _fields(frames, channel)]).numpy()
    if not values.size:
        name = frames.names[channel]
        raise UserError(f"{frames.source}: {name} is missing in all frames, and has no percentile")
    return [float(value) for value in np.percentile(values, percents)]


def wet_climate(frames: Frames, channel: int, dry: float) -> WetClimate:
    """Return how often a channel is dry at each place, and where heavy begins: SEEPS needs it.

    Light values are twice as likely as heavy ones: heavy begins at the upper third of the values
    that are not dry.

    Args:
        frames: of the training.
        channel: its place.
        dry: the value below which it is dry.
    """
    values = torch.stack(list(_fields(frames, channel))).numpy()
    known = ~np.isnan(values)
    count = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        probability = np.where(count > 0, (known & (values < dry)).sum(0) / count, np.nan)
    wet = np.sort(np.where(known & (values >= dry), values, np.nan), axis=0)  # NaN come last
    heavy = _upper_third(wet, (known & (values >= dry)).sum(0))
    as_tensor = (torch.from_numpy(a.astype(np.float32)) for a in (probability, heavy))
    return WetClimate(channel, dry, *as_tensor)


def _upper_third(ascending: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The quantile 2/3 of the first `count` values along the first axis, by linear steps."""
    place = 2 / 3 * np.maximum(count - 1, 0)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    low, high = (np.take_along_axis(ascending, at[None], 0)[0] for at in (below, above))
    return np.asarray(low + (high - low) * (place - below))


def _fields(frames: Frames, channel: int) -> Iterator[Float[Tensor, "H W"]]:
    """Frames of a channel; where there are too many, one of each stretch of as many as it takes.

    Which one is drawn: every eighth frame would be of the same hour where a day has eight.
    """
    total = sum(frames.lengths)
    every = math.ceil(total * math.prod(frames.grid) / MOST)
    stretches = np.arange(0, total, every)
    places = stretches + np.random.default_rng(_SEED).integers(every, size=len(stretches))
    firsts = np.cumsum([0, *frames.lengths])
    for place in places[places < total].tolist():
        sequence = int(np.searchsorted(firsts, place, "right")) - 1
        time = place - int(firsts[sequence])
        yield frames.values[sequence, time : time + 1][0, channel]
