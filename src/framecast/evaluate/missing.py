"""Values that forecasts in files do not hold."""

import warnings

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from framecast.evaluate.align import Aligned

_TOGETHER = 16
"""Frames of a forecast that are read at once."""


def where_possible(aligned: Aligned) -> Bool[Tensor, "C H W"] | None:
    """Return where all files forecast values at all; None for everywhere.

    What they lack of the known truth is said in warnings, with its share. Files are read for it.
    """
    possible = torch.ones(aligned.frames.values.shape[2:], dtype=torch.bool)
    frames = len(aligned.starts) * (aligned.frames.length - 1)
    for label in aligned.competitors:
        missing, lost = _counts(aligned, label)
        held = missing < frames
        possible &= held
        if never := int((lost > 0)[~held].sum()):
            warnings.warn(
                f"{label}: {never} of the {held.numel()} values of a frame are missing (NaN) in "
                "all frames: they count in no score, of others either",
                stacklevel=3,
            )
        if some := int(lost[held].sum()):
            warnings.warn(
                f"{label}: {some / (frames * held.numel()):.3g} of its values are missing (NaN) "
                "where others of the same places are not: scores that they count in are nan",
                stacklevel=3,
            )
    return None if possible.all() else possible


def _counts(aligned: Aligned, label: str) -> tuple[Int64[Tensor, "C H W"], Int64[Tensor, "C H W"]]:
    """Frames in which a forecast lacks a value, and those of them whose truth is known."""
    truth, filed = aligned.frames.values, aligned.competitors[label]
    missing = torch.zeros(truth.shape[2:], dtype=torch.int64)
    lost = missing.clone()
    leads = truth.shape[1] - 1
    for start in range(len(aligned.starts)):
        for first in range(0, leads, _TOGETHER):
            count = min(_TOGETHER, leads - first)
            gone = filed.missing(start, first, count)
            if gone.any():
                known = ~truth[start, 1 + first : 1 + first + count].isnan()
                missing += gone.sum(0)
                lost += (gone & known).sum(0)
    return missing, lost
