"""What a baseline is: it looks at frames one after the other, and says what comes some steps on."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.registry import Registry
from framecast.forecast.baselines.climate import Climate
from framecast.forecast.competitor import Stretch
from framecast.frames.frames import Frames
from framecast.frames.scaling import fill

State = TypeVar("State")


class Training(NamedTuple):
    """What a baseline is fitted to.

    Attributes:
        frames: the predicted channels of the training part, or of the past of a forecast.
        climate: of these frames.
    """

    frames: Frames
    climate: Climate


class Baseline(ABC, Generic[State]):
    """Forecasts frames in physical units; what it remembers is a state, passed in and returned.

    Attributes:
        steps: whether the frame after each given one is predicted too, rather than only those that
            come after the last: not where it takes long.
    """

    steps = True

    @classmethod
    @abstractmethod
    def fit(cls, training: Training) -> "Baseline[State]":
        """Learn what is to be known of the training frames.

        Raises:
            UserError: if they do not suffice, or a library is missing.
        """

    @abstractmethod
    def observe(
        self, frame: Float[Tensor, "B C H W"], times: np.ndarray, state: State | None
    ) -> State:
        """Look at the next given frame.

        Args:
            frame: in physical units; what is missing is filled.
            times: of the frame in each of B windows.
            state: after the frame before; None for the first.
        """

    @abstractmethod
    def ahead(
        self, state: State, lead: int, times: np.ndarray
    ) -> tuple[Float[Tensor, "B C H W"], State]:
        """Forecast the frame at a lead, counted from the last that was given.

        Args:
            state: as it was returned at the lead before, or by `observe`.
            lead: 1, 2, ...
            times: of the frame in each of B windows.
        """


BASELINES: Registry[type[Baseline[Any]]] = Registry(
    "baseline", "framecast.baselines", lambda kind: kind
)
"""By name; each is a class that is fitted to training frames."""


class _Progress(NamedTuple):
    """State of a baseline, the last given frame without gaps, and the leads since."""

    state: Any
    last: Float[Tensor, "B C H W"]
    lead: int


class Following:
    """A baseline on windows: a `Competitor`.

    Args:
        baseline: that was fitted.
        climate: stands for values that were never known, and says where none can be.
        times_of: returns the times of some frames of a sequence, as `Frames.times_from` does.
    """

    def __init__(
        self,
        baseline: Baseline[Any],
        climate: Climate,
        times_of: Callable[[int, int, int], np.ndarray],
    ) -> None:
        self.baseline, self.climate, self.times_of = baseline, climate, times_of

    def predict(
        self, stretch: Stretch, state: _Progress | None
    ) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Look at what is given, and forecast from there, frame by frame."""
        count = stretch.steps + 1
        times = [self.times_of(*place, count) for place in stretch.places]
        return self.along(stretch, np.stack(times, axis=1), state)

    def along(
        self, stretch: Stretch, times: np.ndarray, state: _Progress | None
    ) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Do the same with the times of all frames [T + 1, B], also beyond the last frame."""
        first = stretch.values[:, 0]
        now = _Progress(None, self.climate.mean.expand_as(first), 0) if state is None else state
        predictions = []
        for step in range(stretch.steps):
            if step < stretch.given:
                now = self._observed(stretch.values[:, step], times[step], now)
            if not stretch.forecast and not self.baseline.steps:
                predictions.append(torch.full_like(first, torch.nan))
                continue
            lead = now.lead + 1
            frame, after = self.baseline.ahead(now.state, lead, times[step + 1])
            now = _Progress(after, now.last, lead)
            predictions.append(frame.where(self.climate.possible, torch.nan))
        return torch.stack(predictions, dim=1)[None], now

    def _observed(
        self, frame: Float[Tensor, "B C H W"], times: np.ndarray, now: _Progress
    ) -> _Progress:
        """Look at a frame, whose gaps are filled by what was known last."""
        filled = fill(frame[:, None], ~frame.isnan()[:, None], now.last)[:, 0]
        return _Progress(self.baseline.observe(filled, times, now.state), filled, 0)
