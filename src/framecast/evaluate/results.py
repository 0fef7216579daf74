"""What an evaluation knows: scores of models and baselines on the same windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from framecast.evaluate.examples import Example
from framecast.evaluate.recognition import Recognition
from framecast.evaluate.returns import Returns
from framecast.evaluate.runs import Run
from framecast.evaluate.sightings import Sighting
from framecast.frames.frames import Frames
from framecast.metrics import METRICS, Interval, Measure, Scores
from framecast.metrics.bootstrap import FEWEST, by_steps, draw


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What is known of the forecasts of one model, or of one baseline.

    Attributes:
        label: its name, unique in an evaluation.
        runs: the runs that differ by their seed alone; none for a baseline, a file, or several
            runs whose members are those of one ensemble.
        scores: of each run, and of each sample and each group of windows where there are several;
            or of the baseline: for frames 2..L of the windows, sums of each block of windows.
        example: forecast of the first window by the first run, in physical units.
        groups: the same scores, of the windows of each group alone.
        recognition: what each run names, of runs that tell classes apart; else empty.
        samples: of each window by each run, of world models; each is scored by itself.
    """

    label: str
    runs: tuple[Run, ...]
    scores: tuple[Scores, ...]
    example: Float[Tensor, "M K C H W"]
    groups: Mapping[str, tuple[Scores, ...]] = field(default_factory=dict)
    recognition: tuple[Recognition, ...] = ()
    samples: int = 1
    _intervals: dict[tuple[str, int], Interval] = field(
        init=False, repr=False, default_factory=dict
    )

    def has(self, metric: str) -> bool:
        """Whether the metric is known: some need several members."""
        return metric in self.scores[0].names

    @property
    def members(self) -> int:
        """M."""
        return len(self.example)

    @property
    def blocks(self) -> int:
        """Z, blocks of windows that follow one another; 0 where groups have not as many each."""
        counts = {scores.sets for scores in self.scores}
        return counts.pop() if len(counts) == 1 else 0

    def mean(self, metric: str, region: int = 0) -> Float64[Tensor, "S _C *axes"]:
        """Return the mean of a metric over `scores`, in one of the regions.

        Returns:
            For each step and channel, and the axes of the metric: [S,C], for events [S,C,Q], and
            so on. C is 1 for metrics of whole frames, and S counts clips for those of clips.
        """
        return self._all(metric)[:, :, _place(metric, region)].mean(0)

    def spread(self, metric: str, region: int = 0) -> Float64[Tensor, "S _C *axes"] | None:
        """Return the sample standard deviation of a metric over `scores`; None for one of them."""
        if len(self.scores) < 2:
            return None
        return self._all(metric)[:, :, _place(metric, region)].std(0, correction=1)

    def interval(self, metric: str, region: int = 0) -> Interval | None:
        """Return the 95 % interval of `mean`, by a bootstrap over blocks of windows.

        None where there are fewer than 5 blocks, and for metrics of clips.
        """
        if self.blocks < FEWEST or METRICS[metric].per == "clip":
            return None
        key = metric, _place(metric, region)
        if key not in self._intervals:
            draws, size = draw(self.blocks), self.size(metric)
            (found,) = by_steps(lambda s: (self.resampled(metric, draws, s, region),), *size)
            self._intervals[key] = found
        return self._intervals[key]

    def resampled(
        self,
        metric: str,
        draws: Float64[Tensor, "Y Z"],
        steps: slice = slice(None),
        region: int = 0,
    ) -> Float64[Tensor, "Y S _C *axes"]:
        """Return the mean over the runs of Y samples of the blocks, at some steps."""
        place = _place(metric, region)
        each = [scores.steps(steps).resampled(metric, draws, place) for scores in self.scores]
        return torch.stack(each).mean(0)

    def of_group(self, group: str) -> "Forecasts":
        """Return what is known of the windows of one group."""
        return replace(self, scores=self.groups[group])

    def pool(self, steps: slice) -> "Forecasts":
        """Return the scores over some of the steps together."""
        return replace(self, scores=tuple(scores.pool(steps) for scores in self.scores))

    def at(self, steps: slice) -> "Forecasts":
        """Return the scores of some of the steps."""
        return replace(self, scores=tuple(scores.steps(steps) for scores in self.scores))

    def _all(self, metric: str) -> Tensor:
        return torch.stack([scores.metric(metric) for scores in self.scores])

    def size(self, metric: str) -> tuple[int, int]:
        """Return S, and how many numbers stand behind a metric at each step."""
        first = self.scores[0]
        return next(iter(first.sums.values())).shape[1], first.width(metric)


class Comparison(NamedTuple):
    """How one forecast differs from another on the same windows.

    Attributes:
        difference: of the metric, ours − theirs.
        interval: of the difference; None where there are too few blocks.
        skill: 1 − |ours − perfect| / |theirs − perfect|: 1 is perfect, 0 as good as theirs; NaN
            for a metric without a perfect value.
        skill_interval: of the skill.
    """

    difference: Float64[Tensor, "S _C *axes"]
    interval: Interval | None
    skill: Float64[Tensor, "S _C *axes"]
    skill_interval: Interval | None

    @property
    def certain(self) -> Bool[Tensor, "S _C *axes"]:
        """Where the interval of the difference does not hold 0; nowhere without an interval."""
        if self.interval is None:
            return torch.zeros_like(self.difference, dtype=torch.bool)
        return (self.interval.low > 0) | (self.interval.high < 0)


def compare(ours: Forecasts, theirs: Forecasts, metric: str, region: int = 0) -> Comparison:
    """Compare two forecasts of the same windows, with the same resamples of their blocks.

    Raises:
        ValueError: if the metric is a curve, or of clips.
    """
    if not METRICS[metric].difference:
        raise ValueError(f"the values of {metric} are not to be subtracted")
    a, b = (forecasts.mean(metric, region) for forecasts in (ours, theirs))
    difference, skill = a - b, skill_of(metric, a, b)
    if ours.blocks < FEWEST:
        return Comparison(difference, None, skill, None)
    draws = draw(ours.blocks)

    def resampled(steps: slice) -> tuple[Tensor, Tensor]:
        a, b = (f.resampled(metric, draws, steps, region) for f in (ours, theirs))
        return a - b, skill_of(metric, a, b)

    of_difference, of_skill = by_steps(resampled, *ours.size(metric))
    return Comparison(difference, of_difference, skill, of_skill)


def skill_of(metric: str, ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the skill of a value of a metric beside another (see `Comparison`)."""
    perfect = METRICS[metric].perfect
    if perfect is None:
        return torch.full_like(ours, torch.nan)
    return 1 - (ours - perfect).abs() / (theirs - perfect).abs()


def _place(metric: str, region: int) -> int:
    """The place of a region among the values of a metric."""
    return region if METRICS[metric].regional else 0


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
        strides: frames from one window to the next, in turns; none where windows lie side by side,
            or forecasts stand in files.
        returns: by what ages are told; None where nobody knows where an agent stands.
        group_size: windows of each group that numbers are means over; None for one group of all.
        actions_hidden: whether world models were not told what is done.
        models: in the order in which their first runs were given.
        baselines: persistence (the frame before; in the forecast, the last given one) and,
            where the grid is that of the training, climatology (of the first run).
        measure: the metrics, and what they are taken with.
        by: the coordinate that groups windows; empty for none.
        groups: number of windows in each group.
        examples: windows that are shown, with the forecasts of the first run of each model, then
            of each baseline; the first window is the first of them.
        sightings: sequences that are shown with the classes that models name; none without classes.
    """

    first: Frames
    windows: int
    context: int
    models: tuple[Forecasts, ...]
    baselines: tuple[Forecasts, ...]
    measure: Measure
    by: str = ""
    groups: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    strides: tuple[int, ...] = ()
    returns: Returns | None = None
    group_size: int | None = None
    actions_hidden: bool = False

    @property
    def spread_over(self) -> str:
        """What the deviations of `Forecasts.spread` are taken over, in words."""
        several = {
            "seeds": any(len(model.runs) > 1 for model in self.models),
            "samples": any(model.samples > 1 for model in self.models),
            f"groups of {self.group_size} windows": self.group_size is not None,
        }
        return " and ".join(words for words, stands in several.items() if stands) or "seeds"

    @property
    def steps(self) -> int:
        """K, the lead times."""
        return self.first.length - self.context

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were taken."""
        return self.measure.names

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions; the first is the whole grid."""
        return self.measure.weights.regions

    @property
    def forecasts(self) -> tuple[Forecasts, ...]:
        """Models, then baselines."""
        return (*self.models, *self.baselines)

    @property
    def phases(self) -> dict[str, slice]:
        """The steps of each phase; none of the first where one frame is given."""
        given = self.context - 1
        return {"teacher_forced": slice(0, given), "closed_loop": slice(given, None)}

    @property
    def by_input(self) -> dict[str, slice]:
        """The steps that follow from true frames alone, and from own predictions if any do.

        The former are those of the teacher-forced phase and lead 1.
        """
        parts = {
            "true_frames": slice(0, self.context),
            "own_predictions": slice(self.context, None),
        }
        return parts if self.steps > 1 else {"true_frames": parts["true_frames"]}

    @property
    def clip_ends(self) -> list[int]:
        """The lead at which each clip of the metric fvd ends."""
        return list(range(self.measure.clip, self.steps + 1, self.measure.clip))

    def average(self, forecasts: Forecasts) -> Forecasts:
        """Return the scores over all lead times of the forecast together: one step."""
        return forecasts.pool(self.phases["closed_loop"])

    def skill(
        self, model: Forecasts, reference: Forecasts | None = None, metric: str = "rmse"
    ) -> Float64[Tensor, "K C *axes"]:
        """Return the skill by lead time: 1 is perfect, 0 as good as the reference.

        For the RMSE it is 1 − RMSE / RMSE of the reference. `compare` has its interval.

        Args:
            model: which is judged.
            reference: beside which; the first baseline, persistence, if None.
            metric: by which.
        """
        leads = self.phases["closed_loop"]
        other = self.baselines[0] if reference is None else reference
        return self.compare(model, other, metric).skill[leads]

    def compare(
        self, ours: Forecasts, theirs: Forecasts, metric: str = "rmse", region: int = 0
    ) -> Comparison:
        """Compare two forecasts at each step, with intervals (see `compare`)."""
        return compare(ours, theirs, metric, region)
