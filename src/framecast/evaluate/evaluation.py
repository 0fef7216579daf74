"""Scoring the forecasts of runs per lead time, beside baselines, on the same windows."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.evaluate.baselines import fit_baselines
from framecast.evaluate.entrants import enter
from framecast.evaluate.examples import Example, affordable, choose, forecast_again
from framecast.evaluate.learned import tell_of_learned
from framecast.evaluate.plan import Plan, make_plan
from framecast.evaluate.recognition import View, recognise
from framecast.evaluate.results import Evaluation
from framecast.evaluate.returns import Returns, find_returns
from framecast.evaluate.runs import (
    Run,
    check_together,
    count_members,
    load_runs,
    training_frames,
)
from framecast.evaluate.scoring import ScoredWindows, Usual, score
from framecast.evaluate.sightings import sight
from framecast.evaluate.strides import Stride
from framecast.forecast.baselines import Following
from framecast.forecast.competitor import Competitor
from framecast.forecast.members import Variation
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.metrics import MetricChoice, Subject, prepare
from framecast.metrics.ages import find_edges
from framecast.readers.paths import Paths

CLIMATOLOGY = "climatology"
"""The baseline that says what is usual."""


def evaluate(
    runs: PathLike | Sequence[PathLike],
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
    group_size: int | None = None,
    hide_actions: bool = False,
    same_pose: Sequence[float] | None = None,
    cache: bool = False,
    device: str = "auto",
    batch_size: int = 16,
    progress: bool = False,
) -> Evaluation:
    """Score the forecasts of runs beside persistence and climatology.

    Windows follow one another in every sequence without gaps or overlaps, or as `stride` says.
    Runs whose configuration is the same but for the seed count as one model, with a mean and a
    spread. Memory does not grow with the number of windows; each lead time adds a few sums, and a
    frame of the first window.

    Args:
        runs: run folders, or one of them.
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
            if None. Other runs make one forecast. Of world models it is samples of each window, 1
            if None, each of which is scored by itself: numbers are means over them, with a spread.
        variation: by what members differ.
        together: whether the members of all runs are scored as one ensemble too, as a model of its
            own after the others.
        group_size: windows of a group: numbers are then means over groups of so many windows that
            follow one another, with their spread. None for one group of all.
        hide_actions: whether world models are not told what is done.
        same_pose: a distance and degrees within which two poses of an agent count as one, where
            frames are told apart by how long ago their place was shown; None for half of the
            median length of a step, and 15 degrees.
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
    how = variation or Variation()
    runs = [runs] if isinstance(runs, str | Path) else runs
    loaded = load_runs(runs, device, cache)
    tell_of_learned(loaded, data)
    counts = count_members(loaded, members, how)
    _check_hiding(loaded, hide_actions)
    joined = check_together(loaded, counts) if together else 0
    plan = make_plan(loaded, data, steps, context, stride, by, group_size)
    known = fit_baselines(baselines, loaded[0], plan.frames, plan.places, plan.context)
    returns = find_returns(plan.frames, plan.context, plan.steps, same_pose)
    ensembles = [n for run, n in zip(loaded, counts, strict=True) if not run.is_world]
    largest = max([1, joined, *ensembles])
    measure = prepare(
        metrics or MetricChoice(), _subject(loaded, plan, known, metrics, largest, returns)
    )
    entrants = enter(loaded, counts, joined, how, {**known}, plan, hide_actions)
    usual = _usual(plan.frames, known)
    windows = plan.scored(batch_size, entrants.possible(), usual, returns)
    scored = score(entrants.all, windows, measure, progress)
    named = [
        recognise(run, View(own, plan.places, plan.context), data)
        for run, own in zip(loaded, plan.every, strict=True)
    ]
    judged, models, all_together = entrants.results(scored, named, plan)
    firsts = [entrants.first_of(model) for model in models]
    shown = [*firsts, *entrants.together, *entrants.baselines.values()]
    return Evaluation(
        first=plan.window(0),
        windows=plan.windows,
        context=plan.context,
        strides=plan.strides,
        models=models + all_together,
        baselines=judged,
        examples=_examples(plan, windows, shown, scored[len(known)].errors, measure.clip),
        sightings=sight(
            [(model.runs[0], model.recognition[0]) for model in models if model.recognition],
            plan.steps,
        ),
        measure=measure,
        returns=returns,
        by=by or "",
        groups={g: len(places) for g, places in plan.groups.items()} if by else {},
        group_size=group_size,
        actions_hidden=hide_actions,
    )


def _check_hiding(runs: Sequence[Run], hide_actions: bool) -> None:
    forecasters = [str(run.path) for run in runs if not run.is_world]
    if hide_actions and forecasters:
        raise UserError(
            f"--actions none is for world models, and {forecasters[0]} is none: leave it out, or "
            "evaluate them apart"
        )


def _examples(
    plan: Plan,
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


def _usual(frames: Frames, known: Mapping[str, Following]) -> Usual | None:
    """What the climatology says of any place and time."""
    if CLIMATOLOGY not in known:
        return None
    climate = known[CLIMATOLOGY].climate

    def usual(places: Sequence[Place], steps: int) -> Tensor:
        times = (frames.times_from(place.sequence, place.start, steps) for place in places)
        every = torch.stack([climate.at(each) for each in times])
        return every.where(climate.possible, torch.nan)

    return usual


def _subject(
    runs: Sequence[Run],
    plan: Plan,
    known: Mapping[str, Following],
    choice: MetricChoice | None,
    members: int,
    returns: Returns | None,
) -> Subject:
    """What the metrics need to know of the frames."""
    data_range = None if choice is None else choice.data_range
    declared = [data_range or channel.valid_range for channel in plan.channels]
    ranges = [ends for ends in declared if ends is not None]
    bounded = len(ranges) == len(declared)
    return Subject(
        frames=plan.frames,
        channels=plan.channels,
        leads=plan.steps,
        members=members,
        ranges=torch.tensor(ranges) if bounded else None,
        # The configuration of a world model does not tell how its tokeniser saw frames.
        images=all(bounded if run.is_world else run.data.normalise != "standard" for run in runs),
        climatology=CLIMATOLOGY in known,
        periodic=all(run.network.padding == "circular" for run in runs),
        edges=find_edges(plan.context + plan.steps) if returns else (),
        training=cache(partial(training_frames, runs[0])),
    )
