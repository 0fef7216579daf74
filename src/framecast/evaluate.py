"""How good forecasts are: scores per lead time beside the baselines, on the same windows."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from jaxtyping import Float, Float64
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader

from framecast.checkpoint import Checkpoint, load_checkpoint
from framecast.data import arrays, gridded
from framecast.data.frames import Channel, Frames
from framecast.data.sources import DataConfig, read_frames, read_splits
from framecast.data.windows import Windows, side_by_side
from framecast.errors import UserError
from framecast.metrics import Scores

Predict = Callable[[Tensor, int], Tensor]
"""(window [B,L,C,H,W], context) → predictions of its frames 2..L, [B,L-1,C,H,W]."""

Scored = tuple[Scores, Tensor]
"""Scores for frames 2..L, and the forecast [K,C,H,W] of the first window."""

PERSISTENCE, CLIMATOLOGY = "persistence", "climatology"


@dataclass(frozen=True, eq=False)
class Run:
    """A run of training, read from its folder.

    Attributes:
        path: the folder.
        config: all of its config.yaml.
        checkpoint: its best weights.
    """

    path: Path
    config: Mapping[str, Any]
    checkpoint: Checkpoint

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.config.get("training", {}).get("seed", 0))

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.checkpoint.model.parameters())

    @property
    def data(self) -> DataConfig:
        """The data that it was trained on."""
        try:
            return DataConfig(**self.config.get("data", {}))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.path / 'config.yaml'}: data: {error}") from error


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
    runs: Sequence[Path],
    *,
    data: Path | None = None,
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
    frames = _test_frames(loaded, data)
    _check_frames(frames, loaded, context, steps)
    baselines = _baselines(loaded[0].checkpoint, frames.grid)
    predictors = [*baselines.values(), *(_predictor(run.checkpoint) for run in loaded)]
    positions = side_by_side(frames, context + steps)
    windows = DataLoader(Windows(frames.values, context + steps), batch_size, sampler=positions)
    with _progress(len(positions), progress) as advance:
        scored = _score(predictors, windows, context, advance)
    return Evaluation(
        first=frames.select(slice(0, 1), slice(0, context + steps)),
        windows=len(positions),
        context=context,
        models=_models(loaded, scored[len(baselines) :]),
        baselines=tuple(
            Forecasts(label, (), (scores,), example)
            for label, (scores, example) in zip(baselines, scored, strict=False)
        ),
    )


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run folders.

    Raises:
        UserError: if there is none, one is not a run folder, two are alike in configuration
            and seed, or their channels or units differ.
    """
    if not paths:
        raise UserError("no run to evaluate: name one or more run folders")
    runs = [Run(path, _read_config(path), load_checkpoint(path)) for path in paths]
    for place, run in enumerate(runs):
        for other in runs[:place]:
            _check_pair(other, run)
    return runs


def _read_config(run: Path) -> dict[str, Any]:
    file = run / "config.yaml"
    if not file.exists():
        raise UserError(f"{run} is not a run folder: it has no config.yaml")
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{file} does not hold keys and values: it is not a run's configuration")
    return config


def _check_pair(first: Run, second: Run) -> None:
    if first.config == second.config:
        raise UserError(
            f"{first.path} and {second.path} have the same configuration and seed: name one of "
            "them (a spread needs runs of several seeds)"
        )
    ours, theirs = (_with_units(run.checkpoint.frames.channels) for run in (first, second))
    if ours != theirs:
        raise UserError(
            f"{first.path} forecasts {', '.join(ours)}, but {second.path} forecasts "
            f"{', '.join(theirs)}: they cannot be compared; evaluate them apart"
        )


def _with_units(channels: Sequence[Channel]) -> list[str]:
    return [f"{c.name} [{c.units or 'no units'}]" for c in channels]


def _test_frames(runs: Sequence[Run], data: Path | None) -> Frames:
    if data is not None:
        names = runs[0].checkpoint.frames.names
        return _test_file(data, names) if _is_folder(data) else read_frames(data, names)
    config = _common_data(runs)
    path = Path(config.path)
    if not path.exists():
        raise UserError(
            f"{runs[0].path} was trained on {path}, which is not there now: name the data with "
            "--data"
        )
    if _is_folder(path):
        return _test_file(path, config.variables)
    test = read_splits(config).test
    if test is None:
        raise UserError(
            f"{runs[0].path} was trained with data.test_fraction 0, so {path} has no test part: "
            "name other data with --data"
        )
    return test


def _common_data(runs: Sequence[Run]) -> DataConfig:
    configs = [replace(run.data, crops_per_sequence=None) for run in runs]
    for run, config in zip(runs, configs, strict=True):
        if config != configs[0]:
            raise UserError(
                f"{runs[0].path} and {run.path} were trained on different data ({configs[0].path} "
                f"and {config.path}, or other parts of it): name data for both with --data"
            )
    return configs[0]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and path.suffix not in gridded.SUFFIXES


def _test_file(folder: Path, names: Sequence[str] | None) -> Frames:
    readable = (*gridded.SUFFIXES, *arrays.SUFFIXES)
    files = [f for f in sorted(folder.glob("test.*")) if f.suffix in readable]
    if not files:
        raise UserError(
            f"{folder} is a folder without a file named test (test.nc, test.zarr, test.npy ...): "
            "name a file with --data"
        )
    return read_frames(files[0], names)


def _check_frames(frames: Frames, runs: Sequence[Run], context: int, steps: int) -> None:
    for name, value in (("context", context), ("steps", steps)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    for run in runs:
        run.checkpoint.check(frames)
    for ours, theirs in zip(frames.channels, runs[0].checkpoint.frames.channels, strict=True):
        if ours.units and theirs.units and ours.units != theirs.units:
            raise UserError(
                f"{frames.source} has {ours.name} in {ours.units}, but the model was trained on "
                f"{theirs.units}: convert the data first"
            )
    if frames.length < context + steps:
        raise UserError(
            f"{frames.source}: the sequences to evaluate on have {frames.length} frames, too few "
            f"for {context} given and {steps} forecast frames: choose a smaller --context or "
            "--steps, or name longer data with --data"
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
def _score(
    predictors: Sequence[Predict],
    windows: Iterable[Tensor],
    context: int,
    advance: Callable[[int], None],
) -> list[Scored]:
    """Score every predictor on the same batches; keep its forecast of the first window."""
    scored: list[Scored] = []
    for window in windows:
        batch = [_score_batch(predict, window, context) for predict in predictors]
        if scored:
            batch = [(a + b, first) for (a, first), (b, _) in zip(scored, batch, strict=True)]
        scored = batch
        advance(len(window))
    return scored


def _score_batch(predict: Predict, window: Tensor, context: int) -> Scored:
    predictions = predict(window, context)
    return Scores.of(predictions, window[:, 1:]), predictions[0, context - 1 :].clone()


@contextmanager
def _progress(windows: int, visible: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs, and leave nothing of it."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("windows"), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not visible) as bar:
        task = bar.add_task("", total=windows)
        yield lambda count: bar.advance(task, count)


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
