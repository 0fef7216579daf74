"""Words and ticks that the table and the pictures share."""

import math

import numpy as np

from framecast.evaluate import Forecasts

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which the colour-blind can tell apart."""
DAY = 24
"""Hours."""


def title(forecasts: Forecasts, space: str = " ") -> str:
    """Name a model, with the number of its seeds, and of samples, where there are several."""
    counts = {"seeds": len(forecasts.runs), "samples": forecasts.samples}
    several = [f"{count} {what}" for what, count in counts.items() if count > 1]
    return f"{forecasts.label}{space}({', '.join(several)})" if several else forecasts.label


def chosen(count: int, most: int) -> np.ndarray:
    """Up to `most` of the places 0..count-1: both ends, and between them lead times that step."""
    if count <= most:
        return np.arange(count)
    stride = math.ceil(count / (most - 2))
    return np.unique([0, *range(stride - 1, count, stride), count - 1])


def chosen_leads(times: np.ndarray, units: str, most: int) -> np.ndarray:
    """Up to `most` of the places of lead times, as `chosen`; of many hours, whole days.

    Errors of weather are known by days: the first lead time stands before them, where there are
    at least three days.
    """
    days = np.flatnonzero(np.asarray(times) % DAY == 0) if units == "h" else np.array([], int)
    if 3 <= len(days) < most < len(times):
        return np.unique([0, *days])
    return chosen(len(times), most)
