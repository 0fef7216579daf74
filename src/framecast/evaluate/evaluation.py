"""Scoring the forecasts of runs per lead time, beside baselines, on the same windows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.evaluate.baselines import fit_baselines
from framecast.evaluate.examples import Example, affordable, choose, forecast_again
from framecast.evaluate.network import Network, Together
from framecast.evaluate.recognition import Recognition, View, recognise
from framecast.evaluate.results import Evaluation, Forecasts
from framecast.evaluate.runs import (
    Run,
    check_frames,
    check_together,
    count_members,
    load_runs,
    test_frames,
    training_frames,
)
from framecast.evaluate.scoring import Scored, ScoredWindows, Usual, score
from framecast.evaluate.sightings import sight
from framecast.evaluate.strides import Stride, strides_of
from framecast.forecast.baselines import Following
from framecast.forecast.competitor import Competitor
from framecast.forecast.members import Variation
from framecast.frames.batch import Place
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.windows import allowed_starts, side_by_side
from framecast.metrics import MetricChoice, Scores, Subject, prepare
from framecast.readers.paths import Paths

CLIMATOLOGY = "climatology"
"""The baseline that says what is usual."""
ALL = ""
"""The group of windows where they are not grouped."""


def evaluate(
    runs: Sequence[PathLike],
    *,
    data: Paths | None = None,
    steps: int | None = None,
    context: int | None = None,
    metrics: MetricChoice | None = None,
    by: str | None = None,
    stride: Stride | None = None,
    baselines: Sequence[str] | None = None,
    members: int | None = None,
    variation: Variation | None = None,
    together: bool = False,
    cache: bool = False,
    device: str = "auto",
    batch_size: int = 16,
    progress: bool = False,
) -> Evaluation:
    """Score the forecasts of runs beside persistence and climatology.

    The windows lie side by side in every sequence, or as `stride` says. Runs whose
    configuration is the same but for the seed count as one model, with a mean and a spread. Memory
    does not grow with the number of windows; each lead time adds a few sums, and a frame of the
    first window.

    Args:
        runs: run folders.
        data: a file, or a folder, a pattern or a list of files, used whole; or a folder with a
            file named test. None for the test part of the data that the runs were trained on.
        steps: K, lead times, at least 1; the longest horizon of the runs if None.
        context: frames given, at least 1; the longest context of the runs if None.
        metrics: which are wanted, and what they need; those that the frames suggest if None.
        by: a coordinate over the sequences; scores are then kept for each of its values too.
        stride: how far it is from one window to the next, in frames or as a duration such as 3d; a
            text or a list of several, such as 3d,4d, takes them in turns. None for windows that do
            not overlap.
        baselines: names of BASELINES; None for persistence, climatology where the grid is that of
            the training, and advection where fields move.
        members: of each forecast, of runs that read noise or whose given frames are perturbed; 8
            if None. Other runs make one forecast.
        variation: by what members differ.
        together: whether the members of all runs are scored as one ensemble too, as a model of its
            own after the others.
        cache: whether data are written into the cache once, and read from there; as they are where
            a run was trained with `data.cache`.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.
        batch_size: windows computed together; needs memory, changes no score.
        progress: whether to show a progress bar on stderr.

    Raises:
        UserError: if a run folder or the data cannot be used, they do not fit one another,
            no window fits, a metric that is asked for cannot be had, or there is no such
            coordinate.
    """
    loaded = load_runs(runs, device, cache)
    counts = count_members(loaded, members, variation or Variation())
    joined = check_together(loaded, counts) if together else 0
    plan = _plan(loaded, data, steps, context, stride, by)
    known = fit_baselines(baselines, loaded[0], plan.frames, plan.places, plan.context)
    measure = prepare(
        metrics or MetricChoice(), _subject(loaded, plan, known, metrics, max(*counts, joined))
    )
    networks = [
        Network(run.predictor, own, count, variation)
        for run, own, count in zip(loaded, plan.every, counts, strict=True)
    ]
    windows = plan.scored(batch_size, _possible(networks), _usual(plan.frames, known))
    ensembles = [Together(networks, joined, variation)] if joined else []
    scored = score([*known.values(), *networks, *ensembles], windows, measure, progress)
    named = [
        recognise(run, View(own, plan.places, plan.context), data)
        for run, own in zip(loaded, plan.every, strict=True)
    ]
    models = _models(loaded, scored[len(known) :], [*known], named)
    firsts: list[Competitor] = [networks[loaded.index(model.runs[0])] for model in models]
    watchers = [(model.runs[0], model.recognition[0]) for model in models if model.recognition]
    if joined:
        models += (_join(f"all {len(loaded)} runs", (), scored[-1:]),)
    return Evaluation(
        first=plan.window(0),
        windows=plan.windows,
        context=plan.context,
        strides=plan.strides,
        models=models,
        baselines=tuple(_join(label, (), [one]) for label, one in zip(known, scored, strict=False)),
        examples=_examples(
            plan,
            windows,
            [*firsts, *ensembles, *known.values()],
            scored[len(known)].errors,
            measure.clip,
        ),
        sightings=sight(watchers, plan.steps),
        measure=measure,
        by=by or "",
        groups={g: len(places) for g, places in plan.groups.items()} if by else {},
    )


class _Plan(NamedTuple):
    """On what runs are evaluated.

    Attributes:
        every: the frames of each run.
        channels: that are predicted.
        context: frames given.
        steps: K.
        groups: where the windows of each group begin.
        strides: frames from one window to the next, in turns; none where they lie side by side.
    """

    every: list[Frames]
    channels: tuple[Channel, ...]
    context: int
    steps: int
    groups: dict[str, list[Place]]
    strides: tuple[int, ...] = ()

    @property
    def frames(self) -> Frames:
        """Those of the first run, that hold the truth."""
        return self.every[0]

    @property
    def places(self) -> list[Place]:
        """Where all windows begin."""
        return [place for places in self.groups.values() for place in places]

    @property
    def windows(self) -> int:
        """Their number."""
        return sum(map(len, self.groups.values()))

    def scored(
        self, batch_size: int, possible: Tensor | None, usual: Usual | None
    ) -> ScoredWindows:
        """Return the windows as they are scored (see `ScoredWindows`)."""
        return ScoredWindows(
            self.frames,
            len(self.channels),
            self.context,
            self.steps,
            self.groups,
            batch_size,
            possible,
            usual,
        )

    def window(self, place: int) -> Frames:
        """Return a window, in memory."""
        sequence, start = self.places[place]
        times = slice(start, start + self.context + self.steps)
        return self.frames.select(slice(sequence, sequence + 1), times).predicted()


def _examples(
    plan: _Plan,
    windows: ScoredWindows,
    competitors: Sequence[Competitor],
    errors: Tensor,
    length: int,
) -> tuple[Example, ...]:
    """Choose windows by the error of the first model [B,C], and forecast them again."""
    choices = choose(errors, affordable(windows, len(competitors)))
    places = [plan.places[choice.place] for choice in choices]
    again = forecast_again(competitors, windows, places, length)
    return tuple(
        Example(choice, plan.window(choice.place), made)
        for choice, made in zip(choices, again, strict=True)
    )


def _plan(
    runs: Sequence[Run],
    data: Paths | None,
    steps: int | None,
    context: int | None,
    stride: Stride | None,
    by: str | None,
) -> _Plan:
    """Read the frames, and choose the windows."""
    steps = max(run.checkpoint.horizon for run in runs) if steps is None else steps
    context = max(run.checkpoint.context for run in runs) if context is None else context
    every = test_frames(runs, data)
    check_frames(every, runs, context, steps)
    strides = strides_of(every[0], stride)
    places = _places(every[0], runs[0], context, steps, strides)
    channels = runs[0].checkpoint.frames.predicted
    return _Plan(every, channels, context, steps, _groups(places, every[0], by), strides)


def _places(
    frames: Frames, run: Run, context: int, steps: int, strides: Sequence[int]
) -> list[Place]:
    """Where windows begin: those whose targets are known well enough."""
    known_fraction, gaps = run.data.known_fraction, any(run.checkpoint.statistics.gaps)
    allowed = allowed_starts(frames, context + steps, context, known_fraction, gaps)
    places = side_by_side(frames, context + steps, allowed, strides)
    if not places:
        raise UserError(
            f"{frames.source}: no window of {context} + {steps} frames has a target that is known "
            f"to {known_fraction:g} (data.known_fraction of the run)"
        )
    return places


def _possible(networks: Sequence[Network]) -> Tensor | None:
    """Where all runs may forecast a value at all; None for everywhere."""
    masks = [n.windows.limits.possible for n in networks if n.windows.limits.possible is not None]
    return torch.stack(masks).all(0) if masks else None


def _groups(places: Sequence[Place], frames: Frames, by: str | None) -> dict[str, list[Place]]:
    """Windows by the value that a coordinate has for their sequence, in order of appearance."""
    if by is None:
        return {ALL: list(places)}
    over = {
        name: c.values
        for name, c in frames.coordinates.items()
        if len(frames.dims) == 4 and c.dims == frames.dims[:1]
    }
    if by not in over:
        there = f"there are {', '.join(over)}" if over else "there is none"
        raise UserError(f"{frames.source} has no coordinate {by} over its sequences: {there}")
    groups: dict[str, list[Place]] = {}
    for place in places:
        groups.setdefault(str(over[by][place.sequence]), []).append(place)
    return groups


def _usual(frames: Frames, known: Mapping[str, Following]) -> Usual | None:
    """What the climatology says of any place and time."""
    if CLIMATOLOGY not in known:
        return None
    climate = known[CLIMATOLOGY].climate

    def usual(places: Sequence[Place], steps: int) -> Tensor:
        times = (frames.times_from(place.sequence, place.start, steps) for place in places)
        return torch.stack([climate.at(each) for each in times])

    return usual


def _subject(
    runs: Sequence[Run],
    plan: _Plan,
    known: Mapping[str, Following],
    choice: MetricChoice | None,
    members: int,
) -> Subject:
    """What the metrics need to know of the frames."""
    data_range = None if choice is None else choice.data_range
    declared = [data_range or channel.valid_range for channel in plan.channels]
    ranges = [ends for ends in declared if ends is not None]
    return Subject(
        frames=plan.frames,
        channels=plan.channels,
        leads=plan.steps,
        members=members,
        ranges=torch.tensor(ranges) if len(ranges) == len(declared) else None,
        images=all(run.data.normalise != "standard" for run in runs),
        climatology=CLIMATOLOGY in known,
        periodic=all(run.checkpoint.model.config.padding == "circular" for run in runs),
        training=cache(partial(training_frames, runs[0])),
    )


def _join(label: str, runs: tuple[Run, ...], scored: Sequence[Scored]) -> Forecasts:
    """Put together the scores of runs that count as one."""
    return Forecasts(
        label=label,
        runs=runs,
        scores=tuple(Scores.join(list(one.groups.values())) for one in scored),
        example=scored[0].example,
        groups={g: tuple(one.groups[g] for one in scored) for g in scored[0].groups if g != ALL},
    )


def _models(
    runs: Sequence[Run],
    scored: Sequence[Scored],
    baselines: Sequence[str],
    named: Sequence[Recognition | None],
) -> tuple[Forecasts, ...]:
    """Join the runs that differ by their seed alone."""
    groups: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        settings = run.settings
        training = {**settings["training"], "seed": None}
        key = json.dumps({**settings, "training": training}, sort_keys=True, default=str)
        groups.setdefault(key, []).append(place)
    members = list(groups.values())
    labels = _labels([runs[places[0]] for places in members], baselines)
    return tuple(
        replace(
            _join(label, tuple(runs[p] for p in places), [scored[p] for p in places]),
            recognition=tuple(found for p in places if (found := named[p]) is not None),
        )
        for label, places in zip(labels, members, strict=True)
    )


def _labels(runs: Sequence[Run], baselines: Sequence[str]) -> list[str]:
    """The shortest names that tell the runs, and the baselines, apart."""
    paths = [run.path.resolve() for run in runs]
    choices = (
        [run.checkpoint.model.config.layer for run in runs],
        [path.name for path in paths],
        [str(path) for path in paths],
    )
    return next(c for c in choices if len({*c, *baselines}) == len(c) + len(baselines))
