"""Numbers of a page in words, and its tables."""

import math
from collections.abc import Iterator

from torch import Tensor

from framecast.evaluate import Evaluation
from framecast.frames.leads import with_units
from framecast.metrics import METRICS
from framecast.report.axes import columns_of, each_group, units_of
from framecast.report.tables import Table
from framecast.report.words import title


def number(value: Tensor | float) -> str:
    """Write a number with four digits; a dash for what is not known."""
    found = float(value)
    if math.isnan(found):
        return "–"
    return "∞" if math.isinf(found) else f"{found:.4g}".replace("-", "−")


def with_interval(value: Tensor, ends: tuple[Tensor, Tensor] | None) -> str:
    """Write a number with the ends of its interval."""
    if ends is None or any(bool(end.isnan()) for end in ends):
        return number(value)
    return f"{number(value)} ({number(ends[0])} to {number(ends[1])})"


def averages(evaluation: Evaluation) -> Iterator[Table]:
    """Yield a table of averages over lead times for each channel and for whole frames.

    A row for each metric, group and region, a column for each model and baseline. Events have
    a row for each threshold.
    """
    heads = ["", *(title(f) for f in evaluation.forecasts)]
    rows: dict[str, list[list[str]]] = {}
    groups = dict.fromkeys(group for group, _, _ in each_group(evaluation))
    for group in groups:
        own = [evaluation.average(f) for g, _, f in each_group(evaluation) if g == group]
        for metric in evaluation.metrics:
            if METRICS[metric].curve:
                continue
            for column in columns_of(evaluation, metric):
                where = [group, evaluation.regions[column.region] if column.region else ""]
                where += [f"at least {column.label('threshold')}"] if column.labels else []
                where += (
                    [f"{column.label('neighbourhood')} cells"] if len(column.labels) > 1 else []
                )
                label = with_units(METRICS[metric].label, units_of(evaluation, column))
                name = ", ".join([label, *(text for text in where if text)])
                cells = []
                for forecasts in own:
                    if not forecasts.has(metric):
                        cells.append("")
                        continue
                    ends = forecasts.interval(metric, column.region)
                    place = column.place
                    value = forecasts.mean(metric, column.region)[0][place]
                    cells.append(
                        with_interval(value, ends and (ends.low[0][place], ends.high[0][place]))
                    )
                rows.setdefault(column.channel, []).append([name, *cells])
    for channel, lines in rows.items():
        what = f" of {channel}" if channel else ""
        yield Table(f"Averages{what} over lead times 1 to {evaluation.steps}", heads, lines)
