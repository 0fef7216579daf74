"""How good forecasts are: scores per lead time beside the baselines, on the same windows."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.utils.data import DataLoader

from framecast.checkpoint import Checkpoint
from framecast.data.frames import Frames
from framecast.data.windows import Windows, side_by_side
from framecast.evaluate.runs import Run, check_frames, load_runs, test_frames
from framecast.files import PathLike
from framecast.metrics import Scores
from framecast.progress import track

Predict = Callable[[Tensor, int], Tensor]
"""(window [B,L,C,H,W], context) → predictions of its frames 2..L, [B,L-1,C,H,W]."""

Scored = tuple[Scores, Tensor]
"""Scores for frames 2..L, and the forecast [K,C,H,W] of the first window."""

PERSISTENCE, CLIMATOLOGY = "persistence", "climatology"


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What is known of the forecasts of one model, or of one baseline.

    Attributes:
        label: its name, unique in an evaluation.
        runs: the runs that differ by their seed alone; none for a baseline.
        scores: of each run, or of the baseline, for frames 2..L of the windows.
        example: forecast of the first window by the first run, in physical units.
    """

    label: str
    runs: tuple[Run, ...]
    scores: tuple[Scores, ...]
    example: Float[Tensor, "K C H W"]

    def mean(self, metric: str) -> Float64[Tensor, "S C"]:
        """Return the mean of a metric over the runs, for each step and channel."""
        return self._all(metric).mean(0)

    def spread(self, metric: str) -> Float64[Tensor, "S C"] | None:
        """Return the sample standard deviation of a metric over the runs; None for one run."""
        return self._all(metric).std(0, correction=1) if len(self.scores) > 1 else None

    def _all(self, metric: str) -> Tensor:
        return torch.stack([getattr(scores, metric) for scores in self.scores])


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
    """

    first: Frames
    windows: int
    context: int
    models: tuple[Forecasts, ...]
    baselines: tuple[Forecasts, ...]

    @property
    def steps(self) -> int:
        """K, the lead times."""
        return self.first.length - self.context

    @property
    def phases(self) -> dict[str, slice]:
        """The steps of each phase; none of the first where one frame is given."""
        given = self.context - 1
        return {"teacher_forced": slice(0, given), "closed_loop": slice(given, None)}

    def skill(self, model: Forecasts) -> Float64[Tensor, "K C"]:
        """Return 1 − RMSE / RMSE of persistence: 1 is perfect, 0 as good as persistence."""
        leads = self.phases["closed_loop"]
        return 1 - model.mean("rmse")[leads] / self.baselines[0].mean("rmse")[leads]


def evaluate(
    runs: Sequence[PathLike],
    *,
    data: PathLike | None = None,
    steps: int | None = None,
    context: int | None = None,
    batch_size: int = 16,
    progress: bool = False,
) -> Evaluation:
    """Score the forecasts of runs beside persistence and climatology.

    The windows lie side by side in every sequence. Runs whose configuration is the same but
    for the seed count as one model, with a mean and a spread.

    Args:
        runs: run folders.
        data: a file, used whole, or a folder with a file named test; None for the test part
            of the data that the runs were trained on.
        steps: K, lead times, at least 1; the longest horizon of the runs if None.
        context: frames given, at least 1; the longest context of the runs if None.
        batch_size: windows computed together; needs memory, changes no score.
        progress: whether to show a progress bar on stderr.

    Raises:
        UserError: if a run folder or the data cannot be used, they do not fit one another,
            or no window fits.
    """
    loaded = load_runs(runs)
    steps = max(run.checkpoint.horizon for run in loaded) if steps is None else steps
    context = max(run.checkpoint.context for run in loaded) if context is None else context
    frames = test_frames(loaded, data)
    check_frames(frames, loaded, context, steps)
    baselines = _baselines(loaded[0].checkpoint, frames.grid)
    predictors = [*baselines.values(), *(_predictor(run.checkpoint) for run in loaded)]
    positions = side_by_side(frames, context + steps)
    windows = DataLoader(Windows(frames.values, context + steps), batch_size, sampler=positions)
    scored = _score(predictors, track(windows, "evaluate", len(windows), progress), context)
    first, start = positions[0]
    return Evaluation(
        first=frames.select(slice(first, first + 1), slice(start, start + context + steps)).load(),
        windows=len(positions),
        context=context,
        models=_models(loaded, scored[len(baselines) :]),
        baselines=tuple(
            Forecasts(label, (), (scores,), example)
            for label, (scores, example) in zip(baselines, scored, strict=False)
        ),
    )


def _predictor(checkpoint: Checkpoint) -> Predict:
    model, statistics = checkpoint.model, checkpoint.statistics

    def predict(window: Tensor, context: int) -> Tensor:
        given = statistics.normalise(window[:, :context])
        state, predictions = None, []
        if context > 1:
            one_step, state = model(given[:, :-1])
            predictions = list(one_step.unbind(1))
        steps = window.shape[1] - context
        predictions += [frame for frame, _ in model.forecast(given[:, -1:], steps, state)]
        return statistics.denormalise(torch.stack(predictions, dim=1))

    return predict


def _baselines(checkpoint: Checkpoint, grid: tuple[int, int]) -> dict[str, Predict]:
    mean = checkpoint.statistics.climatology

    def climatology(window: Tensor, context: int) -> Tensor:
        return mean.expand_as(window[:, 1:])

    baselines: dict[str, Predict] = {PERSISTENCE: _persistence}
    if tuple(mean.shape[1:]) == grid:
        baselines[CLIMATOLOGY] = climatology
    return baselines


def _persistence(window: Tensor, context: int) -> Tensor:
    last = window[:, context - 1 : context]
    return torch.cat([window[:, : context - 1], last.expand_as(window[:, context:])], dim=1)


@torch.inference_mode()
def _score(predictors: Sequence[Predict], windows: Iterable[Tensor], context: int) -> list[Scored]:
    """Score every predictor on the same batches; keep its forecast of the first window."""
    scored: list[Scored] = []
    for window in windows:
        batch = [_score_batch(predict, window, context) for predict in predictors]
        if scored:
            batch = [(a + b, first) for (a, first), (b, _) in zip(scored, batch, strict=True)]
        scored = batch
    return scored


def _score_batch(predict: Predict, window: Tensor, context: int) -> Scored:
    predictions = predict(window, context)
    return Scores.of(predictions, window[:, 1:]), predictions[0, context - 1 :].clone()


def _models(runs: Sequence[Run], scored: Sequence[Scored]) -> tuple[Forecasts, ...]:
    """Join the runs that differ by their seed alone."""
    groups: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        training = {**run.config.get("training", {}), "seed": None}
        key = json.dumps({**run.config, "training": training}, sort_keys=True)
        groups.setdefault(key, []).append(place)
    members = list(groups.values())
    labels = _labels([runs[places[0]] for places in members])
    return tuple(
        Forecasts(
            label=label,
            runs=tuple(runs[place] for place in places),
            scores=tuple(scored[place][0] for place in places),
            example=scored[places[0]][1],
        )
        for label, places in zip(labels, members, strict=True)
    )


def _labels(runs: Sequence[Run]) -> list[str]:
    """The shortest names that tell the runs, and the baselines, apart."""
    paths = [run.path.resolve() for run in runs]
    choices = (
        [run.checkpoint.model.config.layer for run in runs],
        [path.name for path in paths],
        [str(path) for path in paths],
    )
    return next(c for c in choices if len({*c, PERSISTENCE, CLIMATOLOGY}) == len(c) + 2)
