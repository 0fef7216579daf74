"""Scoring the forecasts of runs per lead time, beside baselines, on the same windows."""

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import torch

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.evaluate.predictors import CLIMATOLOGY, PERSISTENCE, Network, baselines
from framecast.evaluate.results import Evaluation, Forecasts
from framecast.evaluate.runs import Run, check_frames, load_runs, test_frames
from framecast.evaluate.scoring import Scored, Windows, score
from framecast.frames.frames import Frames
from framecast.frames.windows import Position, side_by_side
from framecast.metrics import MetricChoice, Subject, prepare

ALL = ""
"""The group of windows where they are not grouped."""


def evaluate(
    runs: Sequence[PathLike],
    *,
    data: PathLike | None = None,
    steps: int | None = None,
    context: int | None = None,
    metrics: MetricChoice | None = None,
    by: str | None = None,
    batch_size: int = 16,
    progress: bool = False,
) -> Evaluation:
    """Score the forecasts of runs beside persistence and climatology.

    The windows lie side by side in every sequence. Runs whose configuration is the same but
    for the seed count as one model, with a mean and a spread. Memory does not grow with
    the number of windows; each lead time adds a few sums, and a frame of the first window.

    Args:
        runs: run folders.
        data: a file, used whole, or a folder with a file named test; None for the test part
            of the data that the runs were trained on.
        steps: K, lead times, at least 1; the longest horizon of the runs if None.
        context: frames given, at least 1; the longest context of the runs if None.
        metrics: which are wanted, and what they need; if None, those of the error, and those of
            images where the frames are images.
        by: a coordinate over the sequences; scores are then kept for each of its values too.
        batch_size: windows computed together; needs memory, changes no score.
        progress: whether to show a progress bar on stderr.

    Raises:
        UserError: if a run folder or the data cannot be used, they do not fit one another,
            no window fits, a metric that is asked for cannot be had, or there is no such
            coordinate.
    """
    loaded = load_runs(runs)
    steps = max(run.checkpoint.horizon for run in loaded) if steps is None else steps
    context = max(run.checkpoint.context for run in loaded) if context is None else context
    frames = test_frames(loaded, data)
    check_frames(frames, loaded, context, steps)
    wanted = metrics or MetricChoice()
    measure = prepare(wanted, _subject(frames, wanted.data_range, loaded, steps))
    positions = side_by_side(frames, context + steps)
    first, start = positions[0]
    groups = _groups(positions, frames, by)
    windows = Windows(frames, context, steps, _batches(groups, batch_size))
    known = baselines(loaded[0].checkpoint, frames.grid)
    predictors = [*known.values(), *(Network(run.checkpoint) for run in loaded)]
    scored = score(predictors, windows, measure, progress)
    return Evaluation(
        first=frames.select(slice(first, first + 1), slice(start, start + context + steps)).load(),
        windows=len(positions),
        context=context,
        models=_models(loaded, scored[len(known) :]),
        baselines=tuple(_join(label, (), [one]) for label, one in zip(known, scored, strict=False)),
        measure=measure,
        by=by or "",
        groups={group: len(positions) for group, positions in groups.items()} if by else {},
    )


def _groups(
    positions: Sequence[Position], frames: Frames, by: str | None
) -> dict[str, list[Position]]:
    """Windows by the value that a coordinate has for their sequence, in order of appearance."""
    if by is None:
        return {ALL: list(positions)}
    over = {
        name: c.values
        for name, c in frames.coordinates.items()
        if len(frames.dims) == 4 and c.dims == frames.dims[:1]
    }
    if by not in over:
        there = f"there are {', '.join(over)}" if over else "there is none"
        raise UserError(f"{frames.source} has no coordinate {by} over its sequences: {there}")
    groups: dict[str, list[Position]] = {}
    for sequence, start in positions:
        groups.setdefault(str(over[by][sequence]), []).append((sequence, start))
    return groups


def _batches(
    groups: Mapping[str, Sequence[Position]], size: int
) -> list[tuple[str, Sequence[Position]]]:
    return [
        (group, positions[start : start + size])
        for group, positions in groups.items()
        for start in range(0, len(positions), size)
    ]


def _subject(
    frames: Frames, data_range: tuple[float, float] | None, runs: Sequence[Run], steps: int
) -> Subject:
    """What the metrics need to know of the frames."""
    declared = [data_range or channel.valid_range for channel in frames.channels]
    known = [ends for ends in declared if ends is not None]
    return Subject(
        grid=frames.grid,
        leads=steps,
        channels=len(frames.channels),
        ranges=torch.tensor(known) if len(known) == len(declared) else None,
        images=all(run.data.normalise != "standard" for run in runs),
    )


def _join(label: str, runs: tuple[Run, ...], scored: Sequence[Scored]) -> Forecasts:
    """Put together the scores of runs that count as one."""
    return Forecasts(
        label=label,
        runs=runs,
        scores=tuple(reduce(add, one.groups.values()) for one in scored),
        example=scored[0].example,
        groups={g: tuple(one.groups[g] for one in scored) for g in scored[0].groups if g != ALL},
    )


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
        _join(label, tuple(runs[p] for p in places), [scored[p] for p in places])
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
