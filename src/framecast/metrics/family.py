"""What a family of metrics is: sums that are taken of each window, and formulas of the sums."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from framecast.frames.batch import Place

Sums = Mapping[str, Tensor]
"""Sums by name, in float64. Those of windows are [B,S,...], one for each window and step; those of
sets of windows are [...,S,...]. What follows S is regions and channels, and what each sum says."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What was to be predicted, at S steps of B windows.

    Attributes:
        values: in physical units, NaN where nothing is known, [B,S,C,H,W].
        climatology: what is usual at these places and times, likewise; None where nobody knows.
        places: of the first of the steps of each window: they seed what is drawn at random.
        forecast: whether the steps lie in a forecast, and do not follow given frames.
        ages: how long ago the place that each frame shows was shown (`metrics.ages`); None where
            nobody knows.
        given: the frames that were given before the first of the steps, [B,T,C,H,W]; None where
            they are not asked for.
    """

    values: Float[Tensor, "B S C H W"]
    climatology: Float[Tensor, "B S C H W"] | None = None
    places: tuple[Place, ...] = ()
    forecast: bool = True
    ages: Int64[Tensor, "B S"] | None = None
    given: Float[Tensor, "B T C H W"] | None = None

    @cached_property
    def known(self) -> Bool[Tensor, "B S C H W"] | None:
        """Where the truth is known; None for everywhere."""
        missing = self.values.isnan()
        return ~missing if missing.any() else None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was predicted, by M members: one for a deterministic forecast.

    Attributes:
        members: in physical units, [M,B,S,C,H,W].
    """

    members: Float[Tensor, "M B S C H W"]

    @cached_property
    def mean(self) -> Float[Tensor, "B S C H W"]:
        """The mean over the members."""
        return self.members[0] if len(self.members) == 1 else self.members.mean(0)

    def missing(self, truth: Truth) -> Bool[Tensor, "B S C"] | None:
        """Where any value is not a number though the truth is known; None for nowhere."""
        holes = self.mean.isnan()
        if not holes.any():
            return None
        return (holes if truth.known is None else holes & truth.known).any(-1).any(-1)


class Family(ABC):
    """Metrics that follow from the same sums.

    Each metric is a method of its name in METRICS, which takes the sums of any windows and returns
    [...,S,R,C,*axes]: R is 1 where no region is told apart, C is 1 where channels are judged
    together, and the axes are those of the metric.

    Attributes:
        metrics: names of the metrics.
        statistics: names of the sums.
    """

    metrics: ClassVar[tuple[str, ...]]
    statistics: ClassVar[tuple[str, ...]]

    def reference(self, truth: Truth) -> Any:
        """Return what is computed of the truth once, for all predictions of it."""
        return None

    @abstractmethod
    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return the sums of each window and step, [B,S,...]; nothing where there are none.

        What is missing of the truth counts nowhere.
        """

    def metric(self, name: str, sums: Sums) -> Tensor:
        """Return a metric of the sums of some windows."""
        value: Tensor = getattr(self, name)(sums)
        return value
