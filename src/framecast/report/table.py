"""An evaluation as tables in the terminal."""

import math
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.frames.leads import lead_times, with_units
from framecast.frames.times import counted
from framecast.metrics import IMAGES, LEVEL, METRICS
from framecast.metrics.bootstrap import FEWEST
from framecast.report import ages
from framecast.report.axes import Column, columns_of, each_group, units_of
from framecast.report.recognition import recognition_tables
from framecast.report.tables import Table as Texts
from framecast.report.words import chosen_leads, title

_TABLE_ROWS = 12
_PIPE_WIDTH = 160
"""Characters of a line where the output is no terminal."""
_MOST_COLUMNS = 8
"""Metrics beside one another in a table of averages; with more, each channel has its own."""
_THOUSANDTHS = ("image_mse",)
"""Metrics that papers print in thousandths."""


def print_table(evaluation: Evaluation) -> None:
    """Print the RMSE of each model by lead time, beside the baselines; a table a channel.

    Tables of averages over lead times follow for what was asked for: other metrics, groups,
    regions, events; for images and ensembles; and of ages, where an agent's are known.
    """
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    for table in recognition_tables(evaluation):
        console.print(_of_texts(table))
    if "rmse" in evaluation.metrics:
        for channel in range(len(evaluation.first.channels)):
            console.print(_table(evaluation, channel))
    if evaluation.measure.by_input:
        console.print(_by_input(evaluation))
    averaged = _averaged(evaluation)
    if averaged:
        for columns in _side_by_side(averaged):
            console.print(_averages(evaluation, columns))
    for place, name in enumerate(evaluation.first.names):
        if any("threshold" in METRICS[c.metric].axes for c in _scalars(evaluation, name)):
            console.print(_events(evaluation, place))
    for table in ages.tables(evaluation):
        console.print(_of_texts(table))
    for text in ages.about(evaluation):
        console.print(text, style="dim")
    if evaluation.measure.protocol:
        console.print(evaluation.measure.protocol, style="dim")
    if any(name in IMAGES for name in evaluation.metrics):
        for name, reason in evaluation.measure.absent.items():
            console.print(f"{METRICS[name].label} is left out: it {reason}.", style="dim")


def _of_texts(table: Texts) -> Table:
    """A table of texts as the terminal shows it."""
    shown = Table(title=table.title)
    for head in table.heads:
        shown.add_column(head, justify="right" if head else "left")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def _scalars(evaluation: Evaluation, channel: str | None = None) -> list[Column]:
    """The numbers of the whole grid, of all channels or of one, that are no curves."""
    return [
        column
        for metric in evaluation.metrics
        if not METRICS[metric].curve
        for column in columns_of(evaluation, metric)
        if column.region == 0 and channel in (None, column.channel)
    ]


def _averaged(evaluation: Evaluation) -> list[Column]:
    """The columns of the averages: RMSE stands for all others that nobody asked for."""
    plain = [c for c in _scalars(evaluation) if not METRICS[c.metric].axes]
    shown = [c for c in plain if evaluation.measure.asked or _always(c.metric)]
    if evaluation.measure.asked and "rmse" in evaluation.metrics:
        shown = [c for c in shown if c.metric != "rmse"]
    if not shown and (evaluation.groups or len(evaluation.regions) > 1):
        shown = [c for c in plain if c.metric == "rmse"] or plain
    return shown


def _always(metric: str) -> bool:
    return metric in IMAGES or METRICS[metric].family in ("ensemble", "seeps")


def _side_by_side(columns: Sequence[Column]) -> list[list[Column]]:
    """Columns of one table, or of one for each channel."""
    if len(columns) <= _MOST_COLUMNS:
        return [list(columns)]
    channels = list(dict.fromkeys(column.channel for column in columns))
    return [[c for c in columns if c.channel == channel] for channel in channels]


class _Row(NamedTuple):
    """A row of a table of averages."""

    group: str
    windows: int
    region: int
    forecasts: Forecasts


def _rows(evaluation: Evaluation, regional: bool) -> Iterator[_Row]:
    regions = range(len(evaluation.regions) if regional else 1)
    for group, windows, forecasts in each_group(evaluation):
        for region in regions:
            yield _Row(group, windows, region, evaluation.average(forecasts))


def _averages(evaluation: Evaluation, columns: Sequence[Column]) -> Table:
    """A row for each model and baseline, or for each of them in each group and region."""
    regional = len(evaluation.regions) > 1 and any(METRICS[c.metric].regional for c in columns)
    table = Table(
        title=f"Averages over lead times 1 to {evaluation.steps}", caption=_caption(evaluation)
    )
    if evaluation.groups:
        table.add_column(evaluation.by)
        table.add_column("windows", justify="right")
    if regional:
        table.add_column("region")
    for name in ("", "parameters", "multiplications\na frame"):
        table.add_column(name, justify="right" if name else "left")
    for column in columns:
        table.add_column(_heading(evaluation, column), justify="right")
    rows = list(_rows(evaluation, regional))
    digits = [_digits(torch.stack([_value(row, c) for row in rows])) for c in columns]
    for row in rows:
        where = [row.group or "all", str(row.windows)] if evaluation.groups else []
        where += [evaluation.regions[row.region]] if regional else []
        cells = [_cell(row, c, d) for c, d in zip(columns, digits, strict=True)]
        table.add_row(*where, title(row.forecasts), *_costs(row.forecasts), *cells)
    return table


def _by_input(evaluation: Evaluation) -> Table:
    """RMSE over all predictions from true frames, and over all from own predictions."""
    names = {"true_frames": "TF: from true frames", "own_predictions": "CL: from own predictions"}
    columns, digits = [c for c in _scalars(evaluation) if c.metric == "rmse"], []
    table = Table(title="RMSE by what is read", caption=_caption(evaluation))
    table.add_column("")
    for column in columns:
        for part, steps in evaluation.by_input.items():
            count = len(range(evaluation.context + evaluation.steps - 1)[steps])
            heading = _heading(evaluation, column)
            table.add_column(f"{heading}\n{names[part]}\n{counted(count, 'step')}", justify="right")
    rows = [
        [_Row("", evaluation.windows, 0, each.pool(part)) for part in evaluation.by_input.values()]
        for each in evaluation.forecasts
    ]
    for column in columns:
        values = torch.stack([_value(row, column) for parts in rows for row in parts])
        digits.append(_digits(values))
    for forecasts, parts in zip(evaluation.forecasts, rows, strict=True):
        cells = [_cell(row, c, d) for c, d in zip(columns, digits, strict=True) for row in parts]
        table.add_row(title(forecasts), *cells)
    return table


def _events(evaluation: Evaluation, place: int) -> Table:
    """The scores of the events of a channel: a row for each threshold, model and baseline."""
    channel = evaluation.first.channels[place]
    columns = [
        c for c in _scalars(evaluation, channel.name) if "threshold" in METRICS[c.metric].axes
    ]
    thresholds = list(dict.fromkeys(c.label("threshold") for c in columns))
    kinds = list(dict.fromkeys((c.metric, c.label("neighbourhood")) for c in columns))
    table = Table(
        title=f"Events of {channel.name}, over lead times 1 to {evaluation.steps}",
        caption=_caption(evaluation),
    )
    table.add_column(with_units("at least", channel.units), justify="right")
    table.add_column("")
    for metric, cells in kinds:
        table.add_column(METRICS[metric].label + (f"\n{cells} cells" if cells else ""))
    averages = map(evaluation.average, evaluation.forecasts)
    rows = [_Row("", evaluation.windows, 0, average) for average in averages]
    for threshold in thresholds:
        own = [c for c in columns if c.label("threshold") == threshold]
        for row in rows:
            table.add_row(threshold, title(row.forecasts), *(_cell(row, c, ".3f") for c in own))
    return table


def _costs(forecasts: Forecasts) -> tuple[str, str]:
    """Parameters, and multiplications for one predicted frame; nothing for a baseline."""
    if not forecasts.runs:
        return "", ""
    run = forecasts.runs[0]
    return f"{run.parameters:,}", f"{run.multiplications / 1e6:,.4g} M"


def _heading(evaluation: Evaluation, column: Column) -> str:
    metric = METRICS[column.metric]
    label = metric.label + (" (10⁻³)" if column.metric in _THOUSANDTHS else "")
    heading = f"{label} of {column.channel}" if column.channel else label
    return with_units(heading, units_of(evaluation, column))


def _cell(row: _Row, column: Column, digits: str) -> str:
    if not row.forecasts.has(column.metric):
        return ""
    value = _value(row, column).item()
    text = format(value, digits) if math.isfinite(value) or math.isinf(value) else "–"
    spread = row.forecasts.spread(column.metric, _region(row, column))
    if spread is None:
        return text
    return f"{text} ±{_scaled(spread, column).item():{digits}}"


def _value(row: _Row, column: Column) -> Tensor:
    """A number; NaN where the forecast has none."""
    if not row.forecasts.has(column.metric):
        return torch.tensor(torch.nan, dtype=torch.float64)
    return _scaled(row.forecasts.mean(column.metric, _region(row, column)), column)


def _region(row: _Row, column: Column) -> int:
    return row.region if METRICS[column.metric].regional else 0


def _scaled(values: Tensor, column: Column) -> Tensor:
    return values[0][column.place] * (1e3 if column.metric in _THOUSANDTHS else 1)


def _table(evaluation: Evaluation, place: int) -> Table:
    channel, leads = evaluation.first.channels[place], evaluation.phases["closed_loop"]
    times, units = lead_times(evaluation.first, evaluation.steps)
    table = Table(
        title=with_units(f"RMSE of {channel.name}", channel.units),
        caption=_caption(evaluation, skill=bool(evaluation.baselines)),
    )
    rows = chosen_leads(times, units, _TABLE_ROWS)
    table.add_column(with_units("lead time", units), justify="right")
    digits = _digits(torch.cat([f.mean("rmse")[leads, place] for f in evaluation.forecasts]))
    columns = [[f"{times[row]:g}" for row in rows]]
    for forecasts in evaluation.forecasts:
        table.add_column(title(forecasts, "\n"), justify="right")
        cells = _cells(forecasts, leads, place, digits)
        if forecasts in evaluation.models and evaluation.baselines:
            cells = [
                f"{c} {s}"
                for c, s in zip(cells, _skills(evaluation, forecasts, place), strict=True)
            ]
        columns.append([cells[row] for row in rows])
    for line in zip(*columns, strict=True):
        table.add_row(*line)
    return table


def _caption(evaluation: Evaluation, skill: bool = False) -> str:
    """What numbers were taken over, and what stands behind them."""
    several = any(len(forecasts.scores) > 1 for forecasts in evaluation.forecasts)
    parts = [f"windows: {evaluation.windows}"]
    parts.append({
        "area": "cells count by their area",
        "none": "all cells count alike",
    }[evaluation.measure.weights.kind])  # fmt: skip
    if several:
        parts.append(f"±: standard deviation over {evaluation.spread_over}")
    first = evaluation.forecasts[0]
    bounded = first.interval("rmse") is not None
    if skill and not bounded:
        parts.append(f"no intervals, which need {FEWEST} blocks of windows and not {first.blocks}")
    if skill and bounded:
        blocks = f"the {LEVEL:.0%} interval over {first.blocks} blocks of windows"
        parts.append(f"±{' of one run' if several else ''}: half of {blocks}".replace("%", " %"))
    if skill:
        parts.append(f"+ %: error below that of {evaluation.baselines[0].label}")
        if bounded:
            parts.append("in brackets where the interval of the difference holds 0")
    return "; ".join(parts)


def _skills(evaluation: Evaluation, model: Forecasts, place: int) -> list[str]:
    """Skill beside the first baseline by lead time, in brackets where it may be chance."""
    leads = evaluation.phases["closed_loop"]
    compared = evaluation.compare(model, evaluation.baselines[0])
    certain = compared.certain[leads, place].tolist()
    if compared.interval is None:
        certain = [True] * len(certain)
    texts = map(_percent, compared.skill[leads, place].tolist())
    return [
        text if sure else f"({text.strip()})" for text, sure in zip(texts, certain, strict=True)
    ]


def _cells(forecasts: Forecasts, leads: slice, channel: int, digits: str) -> list[str]:
    """RMSE by lead time, ± the deviation over seeds, or half of the interval of one run."""
    values = [format(v, digits) for v in forecasts.mean("rmse")[leads, channel].tolist()]
    reach = forecasts.spread("rmse")
    interval = forecasts.interval("rmse")
    if reach is None and interval is not None:
        reach = (interval.high - interval.low) / 2
    if reach is None:
        return values
    reaches = reach[leads, channel].tolist()
    return [f"{v} ±{s:{digits}}" for v, s in zip(values, reaches, strict=True)]


def _digits(values: Tensor) -> str:
    """A format with four digits for the largest finite value and as many decimals for all."""
    largest = values[values.isfinite()].abs().max().item() if values.isfinite().any() else 0.0
    if largest == 0:
        return ".3f"
    exponent = math.floor(math.log10(largest))
    return f".{3 - max(exponent, -1)}f" if -3 <= exponent <= 3 else ".3e"


def _percent(skill: float) -> str:
    return f"{100 * skill:+4.0f} %" if math.isfinite(skill) else "     –"
