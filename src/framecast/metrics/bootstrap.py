"""Bootstrap: how far a score might have come out otherwise, on other windows of the same kind."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

RESAMPLES = 1000
LEVEL = 0.95
"""Share of the resamples that lie in an interval, between equal tails."""
FEWEST = 5
"""Blocks without which there is no interval: few draws of few blocks say nothing."""
_SEED = 1979
_NUMBERS = 1 << 23
"""Numbers that are held of all resamples at once, at most, but for a single step."""


class Interval(NamedTuple):
    """The ends of the interval of each value."""

    low: Float64[Tensor, "*any"]
    high: Float64[Tensor, "*any"]


def draw(blocks: int) -> Float64[Tensor, "Y Z"]:
    """Return how often each of Z blocks is drawn, with replacement, in each of 1000 resamples.

    The same number of blocks has the same draws, so that forecasts of the same windows are
    resampled alike. Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993; with
    blocks in time, Künsch, The jackknife and the bootstrap for general stationary observations,
    1989.
    """
    random = np.random.default_rng(_SEED)
    counts = random.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
    return torch.from_numpy(counts).double()


def interval(values: Float64[Tensor, "Y *any"]) -> Interval:
    """Return the quantiles of each value over its resamples; those that are no number are left.

    NaN where nothing is left. Infinite ones are the greatest or the least of all: where there are
    some, the quantiles are values of resamples, and nothing between them.
    """
    array = values.numpy()
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    if np.isfinite(array).all():
        low, high = np.quantile(array, tails, axis=0)
    else:
        none = np.isnan(array).all(0)
        method: Literal["inverted_cdf", "linear"]
        method = "inverted_cdf" if np.isinf(array).any() else "linear"
        low, high = np.nanquantile(np.where(none, 0.0, array), tails, axis=0, method=method)
        low, high = (np.where(none, np.nan, end) for end in (low, high))
    return Interval(torch.from_numpy(np.asarray(low)), torch.from_numpy(np.asarray(high)))


def by_steps(
    resampled: Callable[[slice], tuple[Tensor, ...]], steps: int, width: int
) -> list[Interval]:
    """Return the intervals of some values at each of S steps, a few steps at a time.

    Args:
        resampled: gives values [Y,s,...] at s of the steps.
        steps: S.
        width: numbers behind each resample of a step.
    """
    size = max(1, _NUMBERS // (RESAMPLES * width))
    parts = [
        [interval(values) for values in resampled(slice(start, start + size))]
        for start in range(0, steps, size)
    ]
    return [
        Interval(*(torch.cat(ends) for ends in zip(*several, strict=True)))
        for several in zip(*parts, strict=True)
    ]
