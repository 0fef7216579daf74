"""What was run on what: data, models, versions, cost."""

import csv
import json
import math
from typing import Any, NamedTuple

import numpy as np
import yaml

from framecast.evaluate import Evaluation, Run
from framecast.frames.leads import lead_times, spoken
from framecast.frames.times import SHOWN, counted, readable
from framecast.report.page.numbers import number


class RunFacts(NamedTuple):
    """What is said of a run.

    Attributes:
        title: its name.
        facts: names and values.
        config: its configuration as YAML; empty for none.
    """

    title: str
    facts: list[tuple[str, str]]
    config: str


class Provenance(NamedTuple):
    """What stands behind the numbers.

    Attributes:
        facts: names and values.
        runs: what is said of each run.
    """

    facts: list[tuple[str, str]]
    runs: list[RunFacts]


def provenance(evaluation: Evaluation, creator: str) -> Provenance:
    """Return what was run on what."""
    first, measure = evaluation.first, evaluation.measure
    channels = ", ".join(
        f"{c.name} ({c.units})" if c.units not in ("", "1") else c.name for c in first.channels
    )
    height, width = first.grid
    weights = {"area": "cells count by their area", "none": "all cells count alike"}
    facts = [
        ("data", first.source),
        ("variables", channels),
        ("grid", f"{height} rows × {width} columns"),
        ("first window", " to ".join(readable(first.times[end], SHOWN) for end in (0, -1))),
        ("windows", f"{evaluation.windows}, of {counted(evaluation.context, 'given frame')} and "
                    f"{counted(evaluation.steps, 'lead time')} each{_apart(evaluation)}"),
        ("weights", weights[measure.weights.kind]),
        ("baselines", ", ".join(f.label for f in evaluation.baselines) or "none"),
        ("written by", creator),
    ]  # fmt: skip
    if evaluation.group_size is not None:
        facts.append(
            ("groups", f"numbers are means over groups of {evaluation.group_size} windows")
        )
    if evaluation.actions_hidden:
        facts.append(("actions", "world models were not told what is done"))
    if "fvd" in evaluation.metrics:
        whole = "whole windows, with the given frames"
        part = f"stretches of {measure.clip} forecast frames"
        facts.append(("clips of FVD", whole if measure.whole else part))
    if measure.protocol:
        facts.append(("protocol", measure.protocol))
    runs = [_about(model.label, run) for model in evaluation.models for run in model.runs]
    return Provenance(facts, runs)


def _apart(evaluation: Evaluation) -> str:
    """How far windows begin from one another, where somebody said it."""
    if not evaluation.strides:
        return ""
    times, units = lead_times(evaluation.first, evaluation.steps)
    turns = " and ".join(spoken(times[0] * np.array([n]), units)[0] for n in evaluation.strides)
    taking = ", in turns" if len(evaluation.strides) > 1 else ""
    return f", which begin {turns} apart{taking}"


def _about(label: str, run: Run) -> RunFacts:
    facts = [
        ("folder", str(run.path)),
        ("layer", run.network.layer),
        ("seed", str(run.seed)),
        ("best epoch", str(run.checkpoint.epoch)),
        ("trained parameters", f"{run.parameters:,}"),
        ("multiplications for one frame", f"{run.multiplications:,}"),
    ]
    seconds = _training_seconds(run)
    if seconds is not None:
        facts.append(("training time", _spoken_seconds(seconds)))
    facts += [(name, str(value)) for name, value in _environment(run).items()]
    config = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True)
    return RunFacts(f"{label}: {run.path.name}", facts, config)


def _training_seconds(run: Run) -> float | None:
    """Seconds of all epochs, from log.csv; None where it does not tell."""
    try:
        lines = (run.path / "log.csv").read_text(encoding="utf-8").splitlines()
        return math.fsum(float(row["seconds"]) for row in csv.DictReader(lines))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _spoken_seconds(seconds: float) -> str:
    for name, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{number(seconds / size)} {name}"
    return f"{number(seconds)} s"


def _environment(run: Run) -> dict[str, Any]:
    """Versions and devices that the training noted; nothing where it did not."""
    try:
        found = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
