"""What is scored on the same windows: baselines, the models of runs, and all of them together."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from framecast.evaluate.imagination import Imagination
from framecast.evaluate.network import Network, Together
from framecast.evaluate.plan import ALL, Plan
from framecast.evaluate.recognition import Recognition
from framecast.evaluate.results import Forecasts
from framecast.evaluate.runs import Run
from framecast.evaluate.scoring import Scored
from framecast.forecast.competitor import Competitor
from framecast.forecast.members import Variation
from framecast.forecast.worlds import Dreamer
from framecast.frames.frames import Frames
from framecast.metrics import Scores


@dataclass(frozen=True, eq=False)
class Entrants:
    """What is scored.

    Attributes:
        baselines: by name.
        runs: what was trained.
        models: of each run, what is scored: a network, or each sample of a world model.
        together: all runs as one ensemble; empty where that is not asked for.
    """

    baselines: dict[str, Competitor]
    runs: Sequence[Run]
    models: Sequence[Sequence[Competitor]]
    together: Sequence[Competitor]

    @property
    def all(self) -> list[Competitor]:
        """All of them, baselines first."""
        models = (one for own in self.models for one in own)
        return [*self.baselines.values(), *models, *self.together]

    def possible(self) -> Tensor | None:
        """Where all networks may forecast a value at all, [C,H,W]; None for everywhere."""
        networks = [one for own in self.models for one in own if isinstance(one, Network)]
        masks = [mask for n in networks if (mask := n.windows.limits.possible) is not None]
        return torch.stack(masks).all(0) if masks else None

    def first_of(self, model: Forecasts) -> Competitor:
        """Return what is shown of a model: the first sample of its first run."""
        return self.models[self.runs.index(model.runs[0])][0]

    def results(
        self, scored: Sequence[Scored], named: Sequence[Recognition | None], plan: Plan
    ) -> tuple[tuple[Forecasts, ...], tuple[Forecasts, ...], tuple[Forecasts, ...]]:
        """Put together what belongs together: baselines, models, all runs as one.

        Args:
            scored: in the order of `all`.
            named: of each run, the classes that it names.
            plan: what they were scored on.
        """
        rest = iter(scored)
        baselines = tuple(_join(name, (), [next(rest)], plan) for name in self.baselines)
        of_runs = [[next(rest) for _ in own] for own in self.models]
        models = self._models(of_runs, named, plan)
        label = f"all {len(self.runs)} runs"
        return baselines, models, tuple(_join(label, (), [one], plan) for one in rest)

    def _models(
        self,
        scored: Sequence[Sequence[Scored]],
        named: Sequence[Recognition | None],
        plan: Plan,
    ) -> tuple[Forecasts, ...]:
        """Join the runs that differ by their seed alone."""
        groups: dict[str, list[int]] = {}
        for place, run in enumerate(self.runs):
            key = json.dumps(run.but_for_seed, sort_keys=True, default=str)
            groups.setdefault(key, []).append(place)
        places = list(groups.values())
        labels = _labels([self.runs[own[0]] for own in places], [*self.baselines])
        return tuple(
            replace(
                _join(
                    label,
                    tuple(self.runs[p] for p in own),
                    [one for p in own for one in scored[p]],
                    plan,
                ),
                recognition=tuple(found for p in own if (found := named[p]) is not None),
                samples=len(scored[own[0]]),
            )
            for label, own in zip(labels, places, strict=True)
        )


def enter(
    runs: Sequence[Run],
    counts: Sequence[int],
    joined: int,
    variation: Variation,
    baselines: dict[str, Competitor],
    plan: Plan,
    hide_actions: bool,
) -> Entrants:
    """Make ready what is scored.

    Args:
        runs: that are evaluated.
        counts: members of each, or samples.
        joined: members of all runs as one ensemble; 0 where that is not asked for.
        variation: by what members differ.
        baselines: by name.
        plan: what they are scored on.
        hide_actions: whether world models are not told what is done.

    Raises:
        UserError: if actions are to be hidden and no run is a world model, or the frames do not
            say what is done.
    """
    models = [
        _of_run(run, frames, plan, count, variation, hide_actions)
        for run, frames, count in zip(runs, plan.every, counts, strict=True)
    ]
    networks = [one for own in models for one in own if isinstance(one, Network)]
    together = [Together(networks, joined, variation)] if joined else []
    return Entrants(baselines, runs, models, together)


def _of_run(
    run: Run, frames: Frames, plan: Plan, count: int, variation: Variation, hide_actions: bool
) -> Sequence[Competitor]:
    if not isinstance(run.trained, Dreamer):
        return [Network(run.trained, frames, count, variation)]
    samples = [
        Imagination(run.trained, frames, plan.context, number, variation.seed, not hide_actions)
        for number in range(count)
    ]
    samples[0].check(plan.places, plan.context + plan.steps)
    return samples


def _join(label: str, runs: tuple[Run, ...], scored: Sequence[Scored], plan: Plan) -> Forecasts:
    """Put together the scores of what counts as one, or those of each group of windows."""
    every = [list(one.groups.values()) for one in scored]
    joined = [parts if plan.sized else [Scores.join(parts)] for parts in every]
    named = [group for group in plan.groups if group != ALL and not plan.sized]
    return Forecasts(
        label=label,
        runs=runs,
        scores=tuple(one for parts in joined for one in parts),
        example=scored[0].example,
        groups={group: tuple(one.groups[group] for one in scored) for group in named},
    )


def _folder(path: Path) -> Path:
    """The folder of a run; of the runs of several seeds, `SERIES/seed_N`, the one around."""
    return path.parent if re.fullmatch(r"seed_\d+", path.name) else path


def _labels(runs: Sequence[Run], baselines: Sequence[str]) -> list[str]:
    """The shortest names that tell the runs, and the baselines, apart."""
    paths = [run.path.resolve() for run in runs]
    choices = (
        [run.network.layer for run in runs],
        [_folder(path).name for path in paths],
        [path.name for path in paths],
        [f"{path.parent.name}/{path.name}" for path in paths],
        [str(path) for path in paths],
    )
    return next(c for c in choices if len({*c, *baselines}) == len(c) + len(baselines))
