"""How the frames of a video follow one another: at even steps, with some lost, or unevenly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

TOLERATED = 0.05
"""Share of frames that may stand off the steps of the others, and of a rate that is rounded."""

_JITTER = 0.25
"""Share of a step by which the time from frame to frame may be off, beside rounding."""

_DRIFT = 0.01
"""Share of the time since the first frame by which even steps may lead away from it."""


class Pace(NamedTuple):
    """When the frames of a video are shown.

    Attributes:
        rate: frames a second; of uneven frames, by their median step.
        times: seconds since the first frame, [T]. Where the pace is even, whole steps but for
            frames that stand off them.
        even: whether there is one step, though frames may be lost between others.
    """

    rate: float
    times: Float64[np.ndarray, " T"]
    even: bool


def pace_of(times: Sequence[float | None], nominal: Sequence[float], tick: float = 0.0) -> Pace:
    """Find the pace of frames.

    Args:
        times: of the frames, in seconds; those that have none stand evenly between their
            neighbours.
        nominal: rates that the file declares, of which the nearest is taken where it is near.
        tick: seconds to which the times are rounded.
    """
    known = _filled(times, 1 / nominal[0])
    if len(known) < 2:
        return Pace(nominal[0], np.zeros(1), True)
    steps = np.diff(known)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    uneven = Pace(1 / usual if usual > 0 else nominal[0], known - known[0], False)
    if steps.min() <= 0:
        return uneven
    near = np.abs(steps - usual) <= _JITTER * usual + min(tick, usual / 2)
    usual = float(steps[near].mean())  # rounded steps differ from one another
    whole = np.round(steps / usual)
    agrees = (whole >= 1) & (np.abs(steps / usual - whole) <= _JITTER + tick / usual)
    if 2 * (agrees & (whole == 1)).sum() <= len(steps) or (~agrees).mean() > TOLERATED:
        return uneven
    measured = whole[agrees].sum() / steps[agrees].sum()
    places = np.cumsum([0.0, *np.where(agrees, whole, steps * measured)])
    drift = np.abs((known - known[0]) * measured - places)
    if (drift > 0.5 + _DRIFT * places).any():
        return uneven
    rate = min(nominal, key=lambda declared: abs(declared / measured - 1))
    rate = rate if abs(rate / measured - 1) < TOLERATED else float(measured)
    return Pace(rate, places / rate, True)


def _filled(times: Sequence[float | None], step: float) -> Float64[np.ndarray, " T"]:
    """Times with those that are missing put between their neighbours; beyond the ends, in steps."""
    places = np.arange(len(times))
    there = [place for place, time in enumerate(times) if time is not None]
    if not there:
        return places * step
    known = [time for time in times if time is not None]
    beyond = np.minimum(places - there[0], 0) + np.maximum(places - there[-1], 0)
    return np.interp(places, there, known) + beyond * step
