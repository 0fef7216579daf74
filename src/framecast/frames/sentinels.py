"""Values that seem to stand for a missing one, such as -9999, where nothing declares them."""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.frames.frames import Frames

ISOLATED = 3.0
"""A value that lies so many times the range of all others away from them stands for something."""
LOOKED_AT = 24
"""Frames that are looked at, spread over a sequence."""
SEQUENCES = 4
"""Sequences that are looked at."""


def find_sentinel(known: Float[Tensor, " N"]) -> tuple[float, float] | None:
    """Return the least or greatest value, where it repeats and lies far away from all others.

    Args:
        known: values of a channel without those that are missing.

    Returns:
        The value and its share; None if there is none.
    """
    for candidate in (known.min(), known.max()) if len(known) else ():
        is_it = known == candidate
        others = known[~is_it]
        if is_it.sum() < 2 or len(others) < 2 or others.min() == others.max():
            continue
        distance = torch.minimum((candidate - others.min()).abs(), (candidate - others.max()).abs())
        if distance > ISOLATED * (others.max() - others.min()):
            return candidate.item(), is_it.double().mean().item()
    return None


def warn_of_sentinels(frames: Frames, becomes: str = "learned") -> None:
    """Warn of each channel with a value that seems to stand for a missing one.

    Some frames of some sequences are looked at.

    Args:
        frames: that are read.
        becomes: of such a value, if nothing is done: it is learned, or read, as it is.
    """
    looked_at = []
    for sequence in range(min(SEQUENCES, len(frames.values))):
        length = frames.lengths[sequence]
        places = torch.linspace(0, length - 1, min(LOOKED_AT, length)).long().tolist()
        looked_at += [frames.values[sequence, place : place + 1] for place in places]
    values = torch.cat(looked_at).transpose(0, 1).flatten(1).double()
    for name, channel in zip(frames.names, values, strict=True):
        found = find_sentinel(channel[~channel.isnan()])
        if found is not None:
            value, share = found
            warnings.warn(
                f"{frames.source}: {100 * share:.2g} % of {name} is {value:g}, far from all other "
                f"values. If it stands for a missing value, set data.missing '[{value:g}]' in "
                f"training; it is {becomes} as it is else",
                stacklevel=2,
            )
