"""An evaluation as rows of CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.frames.leads import lead_times
from framecast.metrics import METRICS, Interval
from framecast.report.axes import Column, columns_of, each_group
from framecast.report.recognition import (
    CLASS_COLUMNS,
    CONFUSION_COLUMNS,
    class_rows,
    confusion_rows,
)

COLUMNS = (
    "model", "phase", "frame", "lead", "lead_time", "channel", "metric", "value", "spread", "group",
    "region", "threshold", "neighbourhood", "low", "high", "weights",
)  # fmt: skip
"""Columns of metrics.csv. `frame` is the place in the window, 1 for the first given frame; `low`
and `high` are the ends of the interval; `weights` says how cells count, where they have weights."""

AVERAGE_COLUMNS = (
    "model", "group", "windows", "channel", "metric", "value", "spread",
    "region", "threshold", "neighbourhood", "low", "high", "weights",
)  # fmt: skip
"""Columns of averages.csv."""

DIFFERENCE_COLUMNS = (
    "model", "reference", "lead", "lead_time", "channel", "metric",
    "region", "threshold", "neighbourhood",
    "difference", "low", "high", "skill", "skill_low", "skill_high", "weights",
)  # fmt: skip
"""Columns of differences.csv; `lead` is `all` for the average over lead times."""

CURVE_COLUMNS = (
    "model", "lead", "lead_time", "channel", "metric", "region", "threshold", "axis", "at", "value",
    "weights",
)  # fmt: skip
"""Columns of curves.csv."""


def to_csv(evaluation: Evaluation) -> str:
    """Return the numbers by frame as CSV in long form, with the columns COLUMNS."""
    return _as_csv(COLUMNS, _rows(evaluation))


def averages_to_csv(evaluation: Evaluation) -> str:
    """Return the averages over lead times as CSV, with the columns AVERAGE_COLUMNS."""
    return _as_csv(AVERAGE_COLUMNS, _average_rows(evaluation))


def differences_to_csv(evaluation: Evaluation) -> str:
    """Return what models differ by, among themselves and from baselines, by lead time, as CSV."""
    return _as_csv(DIFFERENCE_COLUMNS, _difference_rows(evaluation))


def classes_to_csv(evaluation: Evaluation) -> str:
    """Return how well classes are named, as CSV."""
    return _as_csv(CLASS_COLUMNS, class_rows(evaluation))


def confusion_to_csv(evaluation: Evaluation) -> str:
    """Return which classes are named what, as CSV."""
    return _as_csv(CONFUSION_COLUMNS, confusion_rows(evaluation))


def curves_to_csv(evaluation: Evaluation) -> str:
    """Return metrics that are curves, such as spectra, by lead time, as CSV."""
    return _as_csv(CURVE_COLUMNS, _curve_rows(evaluation))


def has_curves(evaluation: Evaluation) -> bool:
    """Whether any metric is a curve."""
    return any(METRICS[name].curve for name in evaluation.metrics)


def _as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


class _Numbers(NamedTuple):
    """The values of a metric in one region, and what is known of how sure they are."""

    mean: Tensor
    spread: Tensor | None
    interval: Interval | None

    @classmethod
    def of(cls, forecasts: Forecasts, metric: str, region: int) -> "_Numbers":
        """Take the numbers of a metric in a region."""
        return cls(
            forecasts.mean(metric, region),
            forecasts.spread(metric, region),
            forecasts.interval(metric, region),
        )

    def at(self, step: int, column: Column) -> list[float | None]:
        """Value, spread and ends of the interval of a number; None for what there is none of."""
        parts = (self.mean, self.spread, *(self.interval or (None, None)))
        return [_item(part, step, column) for part in parts]


def _item(values: Tensor | None, step: int, column: Column) -> float | None:
    return None if values is None else values[step][column.place].item()


def _numbers(evaluation: Evaluation, forecasts: Forecasts) -> Iterator[tuple[Column, _Numbers]]:
    """Each series of numbers that is no curve."""
    for metric in evaluation.metrics:
        if METRICS[metric].curve or not forecasts.has(metric):
            continue
        known: dict[int, _Numbers] = {}
        for column in columns_of(evaluation, metric):
            if column.region not in known:
                known[column.region] = _Numbers.of(forecasts, metric, column.region)
            yield column, known[column.region]


def _where(evaluation: Evaluation, column: Column) -> tuple[str, str, str]:
    """Region, threshold and neighbourhood of a number."""
    region = evaluation.regions[column.region]
    return region, column.label("threshold"), column.label("neighbourhood")


def _weights(evaluation: Evaluation, metric: str) -> str:
    """How cells count in a metric; empty where they have no weights."""
    return evaluation.measure.weights.kind if METRICS[metric].regional else ""


def _average_rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    for group, windows, forecasts in each_group(evaluation):
        for column, numbers in _numbers(evaluation, evaluation.average(forecasts)):
            value, spread, *ends = numbers.at(0, column)
            what = (forecasts.label, group, windows, column.channel, column.metric, value, spread)
            weights = _weights(evaluation, column.metric)
            yield (*what, *_where(evaluation, column), *ends, weights)


def _rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    times, _ = lead_times(evaluation.first, evaluation.steps)
    for group, _windows, forecasts in each_group(evaluation):
        for column, numbers in _numbers(evaluation, forecasts):
            for phase, frame, step in _places(evaluation, column.metric):
                lead = max(1, frame - evaluation.context)
                where = (forecasts.label, phase, frame, lead, times[lead - 1])
                value, spread, *ends = numbers.at(step, column)
                what = (column.channel, column.metric, value, spread, group)
                weights = _weights(evaluation, column.metric)
                yield (*where, *what, *_where(evaluation, column), *ends, weights)


def _places(evaluation: Evaluation, metric: str) -> Iterator[tuple[str, int, int]]:
    """(phase, frame of the window, row among the values) of each value of a metric."""
    if METRICS[metric].per == "clip":
        for step, end in enumerate(evaluation.clip_ends):
            yield "closed_loop", evaluation.context + end, step
        return
    for phase, part in evaluation.phases.items():
        for step in range(evaluation.context + evaluation.steps - 1)[part]:
            yield phase, step + 2, step


def _difference_rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    leads = evaluation.phases["closed_loop"]
    times, _ = lead_times(evaluation.first, evaluation.steps)
    labels = [(str(lead), time) for lead, time in enumerate(times, start=1)]
    pairs = [*combinations(evaluation.models, 2), *product(evaluation.models, evaluation.baselines)]
    for ours, theirs in pairs:
        both = [
            tuple(f.at(leads) for f in (ours, theirs)),
            tuple(map(evaluation.average, (ours, theirs))),
        ]
        for (a, b), at in zip(both, (labels, [("all", "")]), strict=True):
            for where, column, numbers in _differences(evaluation, a, b, at):
                what = (column.channel, column.metric, *_where(evaluation, column))
                weights = _weights(evaluation, column.metric)
                yield (ours.label, theirs.label, *where, *what, *numbers, weights)


def _differences(
    evaluation: Evaluation, ours: Forecasts, theirs: Forecasts, at: Sequence[tuple[str, Any]]
) -> Iterator[tuple[tuple[str, Any], Column, list[float | None]]]:
    for metric in evaluation.metrics:
        if not METRICS[metric].difference or not (ours.has(metric) and theirs.has(metric)):
            continue
        found = {}
        for column in columns_of(evaluation, metric):
            if column.region not in found:
                found[column.region] = evaluation.compare(ours, theirs, metric, column.region)
            compared = found[column.region]
            parts = (
                compared.difference, *(compared.interval or (None, None)),
                compared.skill, *(compared.skill_interval or (None, None)),
            )  # fmt: skip
            for step, where in enumerate(at):
                yield where, column, [_item(part, step, column) for part in parts]


def _curve_rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    times, _ = lead_times(evaluation.first, evaluation.steps)
    leads = evaluation.phases["closed_loop"]
    for forecasts in evaluation.forecasts:
        for metric in evaluation.metrics:
            axis = METRICS[metric].curve
            if axis is None or not forecasts.has(metric):
                continue
            columns = columns_of(evaluation, metric, forecasts.members)
            weights = _weights(evaluation, metric)
            values = {
                region: forecasts.mean(metric, region)[leads]
                for region in {column.region for column in columns}
            }
            for column, (lead, time) in product(columns, enumerate(times)):
                region, threshold, _ = _where(evaluation, column)
                value = values[column.region][lead][column.place].item()
                where = (forecasts.label, lead + 1, time, column.channel, metric, region)
                yield (*where, threshold, axis, column.label(axis), value, weights)
