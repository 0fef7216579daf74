"""How well places are shown that were shown before, and those that were not, as tables."""

from collections.abc import Iterator

import torch
from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.metrics import METRICS
from framecast.metrics.ages import labels_of
from framecast.report.tables import Table
from framecast.report.words import title


def about(evaluation: Evaluation) -> Iterator[str]:
    """Yield what the age of a frame is, as sentences; none where ages are not told apart."""
    if evaluation.returns is None or not evaluation.measure.edges:
        return
    distance, degrees = evaluation.returns.distance, evaluation.returns.degrees
    yield (
        "A frame is of an age if the agent stood where it stood at a given frame (within "
        f"{distance:.3g} of its units and {degrees:g} degrees) and was elsewhere in between: so "
        "many frames ago. It is new if the agent was never there before in the window. Frames of "
        "neither kind do not count here."
    )


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Yield a table for each number: a row for each model and baseline, a column for each age."""
    for metric in evaluation.metrics:
        if METRICS[metric].family == "age":
            yield _table(evaluation, metric)


def _table(evaluation: Evaluation, metric: str) -> Table:
    """New places, all others together, then each age; and how many frames there were."""
    rows = [[title(f), *_cells(evaluation, f, metric)] for f in evaluation.forecasts]
    counts = _counts(evaluation.forecasts[-1], evaluation, metric)
    numbers = [counts[0], counts[1:].sum(), *counts[1:]]
    rows.append(["frames", *(f"{round(number.item())}" for number in numbers)])
    new, *ages = labels_of(evaluation.measure.edges)
    return Table(METRICS[metric].label, ["", new, "shown before", *ages], rows)


def _cells(evaluation: Evaluation, forecasts: Forecasts, metric: str) -> list[str]:
    every = []
    for scores in evaluation.average(forecasts).scores:
        total, count = (scores.sums[f"{metric}_{w}"].sum((0, 1, 2, 3)) for w in ("total", "count"))
        both = [torch.stack([x[0], x[1:].sum(), *x[1:]]) for x in (total, count)]
        every.append(both[0] / both[1])
    values = torch.stack(every)
    if len(values) == 1:
        return [_number(value) for value in values[0]]
    spread = values.std(0, correction=1)
    return [f"{_number(v)} ±{_number(s)}" for v, s in zip(values.mean(0), spread, strict=True)]


def _counts(forecasts: Forecasts, evaluation: Evaluation, metric: str) -> Tensor:
    """Frames in each bin, over all windows and leads of the forecast, [V]."""
    every = [s.sums[f"{metric}_count"] for s in evaluation.average(forecasts).scores]
    copies = forecasts.samples * max(1, len(forecasts.runs))
    return torch.stack([each.sum((0, 1, 2, 3)) for each in every]).sum(0) / copies


def _number(value: Tensor) -> str:
    return "–" if value.isnan() else f"{value.item():.4g}"
