"""An evaluation as numbers: plain values for JSON, and rows for CSV."""

import csv
import io
import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.metrics import ERRORS
from framecast.report.labels import lead_times

COLUMNS = ("model", "phase", "frame", "lead", "lead_time", "channel", "metric", "value", "spread")
"""Columns of metrics.csv. `frame` is the place in the window, 1 for the first given frame."""


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """Return all numbers of an evaluation as plain values; None for what is not finite."""
    first = evaluation.first
    times, units = lead_times(first, evaluation.steps)
    return {
        "data": {
            "source": first.source,
            "grid": list(first.grid),
            "channels": [{"name": c.name, "units": c.units} for c in first.channels],
        },
        "windows": evaluation.windows,
        "context": evaluation.context,
        "steps": evaluation.steps,
        "lead_times": times.tolist(),
        "lead_time_units": units,
        "models": [_describe(f, evaluation) for f in evaluation.models],
        "baselines": [_describe(f, evaluation) for f in evaluation.baselines],
    }


def _describe(forecasts: Forecasts, evaluation: Evaluation) -> dict[str, Any]:
    def of(metric: str, steps: slice, channel: int) -> dict[str, Any]:
        spread = forecasts.spread(metric)
        return {
            "value": _plain(forecasts.mean(metric)[steps, channel]),
            "spread": None if spread is None else _plain(spread[steps, channel]),
        }

    runs = [
        {
            "path": str(run.path),
            "layer": run.checkpoint.model.config.layer,
            "seed": run.seed,
            "epoch": run.checkpoint.epoch,
            "parameters": run.parameters,
        }
        for run in forecasts.runs
    ]
    metrics = {
        channel.name: {
            phase: {metric: of(metric, steps, place) for metric in ERRORS}
            for phase, steps in evaluation.phases.items()
        }
        for place, channel in enumerate(evaluation.first.channels)
    }
    return {"label": forecasts.label, "runs": runs, "metrics": metrics}


def to_csv(evaluation: Evaluation) -> str:
    """Return all numbers as CSV in long form, with the columns COLUMNS."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(evaluation))
    return text.getvalue()


def _rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    context, steps = evaluation.context, evaluation.steps
    times, _ = lead_times(evaluation.first, steps)
    for forecasts, (place, channel), (phase, part), metric in product(
        (*evaluation.models, *evaluation.baselines),
        enumerate(evaluation.first.names),
        evaluation.phases.items(),
        ERRORS,
    ):
        values = forecasts.mean(metric)[part, place].tolist()
        spread = forecasts.spread(metric)
        spreads = [None] * len(values) if spread is None else spread[part, place].tolist()
        places = range(2, context + steps + 1)[part]
        for frame, value, spread_ in zip(places, values, spreads, strict=True):
            lead = max(1, frame - context)
            where = (forecasts.label, phase, frame, lead, times[lead - 1], channel)
            yield (*where, metric, value, spread_)


def _plain(values: Tensor) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
