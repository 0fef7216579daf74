"""An evaluation as numbers: plain values for JSON, and rows for CSV."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts, Run
from framecast.frames.leads import lead_times
from framecast.metrics import METRICS

COLUMNS = (
    "model", "phase", "frame", "lead", "lead_time", "channel", "metric", "value", "spread", "group"
)  # fmt: skip
"""Columns of metrics.csv. `frame` is the place in the window, 1 for the first given frame."""

AVERAGE_COLUMNS = ("model", "group", "windows", "channel", "metric", "value", "spread")
"""Columns of averages.csv."""

CREATOR = f"framecast evaluate {version('framecast')}"
"""What metrics.json says of who wrote the folder."""


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """Return all numbers of an evaluation as plain values; None for what is not finite."""
    first = evaluation.first
    times, units = lead_times(first, evaluation.steps)
    ranges = evaluation.measure.ranges
    return {
        "created_by": CREATOR,
        "data": {
            "source": first.source,
            "grid": list(first.grid),
            "channels": [{"name": c.name, "units": c.units} for c in first.channels],
            "data_range": None if ranges is None else ranges.tolist(),
        },
        "windows": evaluation.windows,
        "context": evaluation.context,
        "steps": evaluation.steps,
        "lead_times": times.tolist(),
        "lead_time_units": units,
        "absent_metrics": dict(evaluation.measure.absent),
        "clip_ends": evaluation.clip_ends if "fvd" in evaluation.metrics else [],
        "models": [_describe(f, evaluation) for f in evaluation.models],
        "baselines": [_describe(f, evaluation) for f in evaluation.baselines],
    }


def _describe(forecasts: Forecasts, evaluation: Evaluation) -> dict[str, Any]:
    groups = {
        group: {"windows": count, **_numbers(forecasts.of_group(group), evaluation)}
        for group, count in evaluation.groups.items()
    }
    described = {
        "label": forecasts.label,
        "runs": [_describe_run(run) for run in forecasts.runs],
        **_numbers(forecasts, evaluation),
    }
    return described | ({"by": evaluation.by, "groups": groups} if groups else {})


def _describe_run(run: Run) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "layer": run.checkpoint.model.config.layer,
        "seed": run.seed,
        "epoch": run.checkpoint.epoch,
        "parameters": run.parameters,
        "multiplications": run.multiplications,
    }


def _numbers(forecasts: Forecasts, evaluation: Evaluation) -> dict[str, Any]:
    """Metrics of each channel, of whole frames, of clips; and averages over lead times."""

    def of(source: Forecasts, metric: str, steps: slice, place: int) -> dict[str, Any]:
        spread = source.spread(metric)
        return {
            "value": _plain(source.mean(metric)[steps, place]),
            "spread": None if spread is None else _plain(spread[steps, place]),
        }

    average, every = evaluation.average(forecasts), slice(None)
    names = list(enumerate(evaluation.first.names))
    kinds = {kind: _of_kind(evaluation.metrics, kind) for kind in ("channel", "frame", "clip")}
    return {
        "metrics": {
            channel: {
                phase: {m: of(forecasts, m, steps, place) for m in kinds["channel"]}
                for phase, steps in evaluation.phases.items()
            }
            for place, channel in names
        },
        "frame_metrics": {
            phase: {
                m: {
                    **of(forecasts, m, steps, 0),
                    "left_out": forecasts.scores[0].left_out(m)[steps].int().tolist(),
                }
                for m in kinds["frame"]
            }
            for phase, steps in evaluation.phases.items()
        },
        "clip_metrics": {m: of(forecasts, m, every, 0) for m in kinds["clip"]},
        "averages": {
            "metrics": {
                channel: {m: of(average, m, every, place) for m in kinds["channel"]}
                for place, channel in names
            },
            "frame_metrics": {m: of(average, m, every, 0) for m in kinds["frame"]},
            "clip_metrics": {m: of(average, m, every, 0) for m in kinds["clip"]},
        },
    }


def _of_kind(metrics: Sequence[str], kind: str) -> list[str]:
    return [name for name in metrics if METRICS[name].per == kind]


def to_csv(evaluation: Evaluation) -> str:
    """Return the numbers by frame as CSV in long form, with the columns COLUMNS."""
    return _as_csv(COLUMNS, _rows(evaluation))


def averages_to_csv(evaluation: Evaluation) -> str:
    """Return the averages over lead times as CSV, with the columns AVERAGE_COLUMNS."""
    return _as_csv(AVERAGE_COLUMNS, _average_rows(evaluation))


def _as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def each_group(evaluation: Evaluation) -> Iterator[tuple[str, int, Forecasts]]:
    """Yield (group, its windows, forecasts) for all windows, then for each group."""
    every = (*evaluation.models, *evaluation.baselines)
    for group, windows in {"": evaluation.windows, **evaluation.groups}.items():
        for forecasts in every:
            yield group, windows, forecasts.of_group(group) if group else forecasts


def columns_of(evaluation: Evaluation, metric: str) -> tuple[str, ...]:
    """Return the channels that a metric has values of; one without a name for whole frames."""
    return evaluation.first.names if METRICS[metric].per == "channel" else ("",)


def _average_rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    for group, windows, forecasts in each_group(evaluation):
        average = evaluation.average(forecasts)
        for metric in evaluation.metrics:
            mean, spread = average.mean(metric), average.spread(metric)
            for place, channel in enumerate(columns_of(evaluation, metric)):
                spread_ = None if spread is None else spread[0, place].item()
                where = (forecasts.label, group, windows, channel, metric)
                yield (*where, mean[0, place].item(), spread_)


def _rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    times, _ = lead_times(evaluation.first, evaluation.steps)
    for group, _windows, forecasts in each_group(evaluation):
        for metric in evaluation.metrics:
            mean, spread = forecasts.mean(metric), forecasts.spread(metric)
            for place, channel in enumerate(columns_of(evaluation, metric)):
                for phase, frame, step in _places(evaluation, metric):
                    lead = max(1, frame - evaluation.context)
                    where = (forecasts.label, phase, frame, lead, times[lead - 1], channel, metric)
                    spread_ = None if spread is None else spread[step, place].item()
                    yield (*where, mean[step, place].item(), spread_, group)


def _places(evaluation: Evaluation, metric: str) -> Iterator[tuple[str, int, int]]:
    """(phase, frame of the window, row among the values) of each value of a metric."""
    if METRICS[metric].per == "clip":
        for step, end in enumerate(evaluation.clip_ends):
            yield "closed_loop", evaluation.context + end, step
        return
    for phase, part in evaluation.phases.items():
        for step in range(evaluation.context + evaluation.steps - 1)[part]:
            yield phase, step + 2, step


def _plain(values: Tensor) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
