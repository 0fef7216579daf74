"""What an evaluation knows: scores of models and baselines on the same windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.evaluate.runs import Run
from framecast.frames.frames import Frames
from framecast.metrics import Measure, Scores


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What is known of the forecasts of one model, or of one baseline.

    Attributes:
        label: its name, unique in an evaluation.
        runs: the runs that differ by their seed alone; none for a baseline.
        scores: of each run, or of the baseline, for frames 2..L of the windows.
        example: forecast of the first window by the first run, in physical units.
        groups: the same scores, of the windows of each group alone.
    """

    label: str
    runs: tuple[Run, ...]
    scores: tuple[Scores, ...]
    example: Float[Tensor, "K C H W"]
    groups: Mapping[str, tuple[Scores, ...]] = field(default_factory=dict)

    def mean(self, metric: str) -> Float64[Tensor, "S _C"]:
        """Return the mean of a metric over the runs, as `Scores.metric` gives it."""
        return self._all(metric).mean(0)

    def spread(self, metric: str) -> Float64[Tensor, "S _C"] | None:
        """Return the sample standard deviation of a metric over the runs; None for one run."""
        return self._all(metric).std(0, correction=1) if len(self.scores) > 1 else None

    def of_group(self, group: str) -> "Forecasts":
        """Return what is known of the windows of one group."""
        return replace(self, scores=self.groups[group])

    def pool(self, steps: slice) -> "Forecasts":
        """Return the scores over some of the steps together."""
        return replace(self, scores=tuple(scores.pool(steps) for scores in self.scores))

    def _all(self, metric: str) -> Tensor:
        return torch.stack([scores.metric(metric) for scores in self.scores])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Forecasts of all models and baselines, scored on the same windows.

    Steps count the predicted frames 2..L of a window of L = context + K frames. Those up to
    the context are one-step predictions from given frames (teacher forcing); the K after it
    are the forecast in a closed loop.

    Attributes:
        first: the first window, with its labels, in physical units: one sequence.
        windows: number of windows.
        context: frames given in each window.
        models: in the order in which their first runs were given.
        baselines: persistence (the frame before; in the forecast, the last given one) and,
            where the grid is that of the training, climatology (of the first run).
        measure: the metrics, and what they are taken with.
        by: the coordinate that groups windows; empty for none.
        groups: number of windows in each group.
    """

    first: Frames
    windows: int
    context: int
    models: tuple[Forecasts, ...]
    baselines: tuple[Forecasts, ...]
    measure: Measure
    by: str = ""
    groups: Mapping[str, int] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """K, the lead times."""
        return self.first.length - self.context

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were taken."""
        return self.measure.names

    @property
    def phases(self) -> dict[str, slice]:
        """The steps of each phase; none of the first where one frame is given."""
        given = self.context - 1
        return {"teacher_forced": slice(0, given), "closed_loop": slice(given, None)}

    @property
    def clip_ends(self) -> list[int]:
        """The lead at which each clip of the metric fvd ends."""
        return list(range(self.measure.clip, self.steps + 1, self.measure.clip))

    def average(self, forecasts: Forecasts) -> Forecasts:
        """Return the scores over all lead times of the forecast together: one step."""
        return forecasts.pool(self.phases["closed_loop"])

    def skill(self, model: Forecasts) -> Float64[Tensor, "K C"]:
        """Return 1 − RMSE / RMSE of persistence: 1 is perfect, 0 as good as persistence."""
        leads = self.phases["closed_loop"]
        return 1 - model.mean("rmse")[leads] / self.baselines[0].mean("rmse")[leads]
