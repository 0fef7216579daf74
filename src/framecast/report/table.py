"""An evaluation as tables in the terminal."""

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.frames.leads import lead_times, with_units
from framecast.metrics import IMAGES, METRICS
from framecast.report.records import columns_of, each_group
from framecast.report.words import chosen, title

_TABLE_ROWS = 12
_PIPE_WIDTH = 160
"""Characters of a line where the output is no terminal."""
_THOUSANDTHS = ("image_mse",)
"""Metrics that papers print in thousandths."""


def print_table(evaluation: Evaluation) -> None:
    """Print the RMSE of each model by lead time, beside the baselines; a table a channel.

    Where frames are images, or windows are grouped, a table of averages over lead times follows.
    """
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    if "rmse" in evaluation.metrics:
        for channel in range(len(evaluation.first.channels)):
            console.print(_table(evaluation, channel))
    images = any(name in IMAGES for name in evaluation.metrics)
    if images or evaluation.groups or "rmse" not in evaluation.metrics:
        console.print(_averages(evaluation))
    if images:
        for name, reason in evaluation.measure.absent.items():
            console.print(f"{METRICS[name].label} is left out: it {reason}.", style="dim")


class _Column(NamedTuple):
    """A column of the averages: a metric, the place of its channel, and a heading."""

    metric: str
    place: int
    heading: str


def _averages(evaluation: Evaluation) -> Table:
    """A row for each model and baseline, or for each of them in each group."""
    table = Table(
        title=f"Averages over lead times 1 to {evaluation.steps}",
        caption=f"windows: {evaluation.windows}",
    )
    if evaluation.groups:
        table.add_column(evaluation.by)
        table.add_column("windows", justify="right")
    table.add_column("")
    table.add_column("parameters", justify="right")
    table.add_column("multiplications\na frame", justify="right")
    columns = [
        _Column(metric, place, _heading(metric, channel))
        for metric in _averaged(evaluation.metrics)
        for place, channel in enumerate(columns_of(evaluation, metric))
    ]
    for column in columns:
        table.add_column(column.heading, justify="right")
    costs = {f.label: _costs(f) for f in (*evaluation.models, *evaluation.baselines)}
    rows = [(g, n, evaluation.average(f)) for g, n, f in each_group(evaluation)]
    digits = [
        _digits(torch.stack([_scaled(f.mean(c.metric), c) for *_, f in rows])) for c in columns
    ]
    for group, windows, forecasts in rows:
        cells = [_average(forecasts, c, d) for c, d in zip(columns, digits, strict=True)]
        where = [group or "all", str(windows)] if evaluation.groups else []
        table.add_row(*where, title(forecasts), *costs[forecasts.label], *cells)
    return table


def _costs(forecasts: Forecasts) -> tuple[str, str]:
    """Parameters, and multiplications for one predicted frame; nothing for a baseline."""
    if not forecasts.runs:
        return "", ""
    run = forecasts.runs[0]
    return f"{run.parameters:,}", f"{run.multiplications / 1e6:,.4g} M"


def _averaged(metrics: Sequence[str]) -> list[str]:
    """Of the metrics of the error, RMSE stands for all, and has a table of its own."""
    images = [name for name in metrics if name in IMAGES]
    if "rmse" in metrics:
        return images or ["rmse"]
    return list(metrics)


def _heading(metric: str, channel: str) -> str:
    label = METRICS[metric].label + (" (10⁻³)" if metric in _THOUSANDTHS else "")
    return f"{label} of {channel}" if channel else label


def _average(forecasts: Forecasts, column: _Column, digits: str) -> str:
    value = format(_scaled(forecasts.mean(column.metric), column).item(), digits)
    spread = forecasts.spread(column.metric)
    return value if spread is None else f"{value} ±{_scaled(spread, column).item():{digits}}"


def _scaled(values: Tensor, column: _Column) -> Tensor:
    return values[0, column.place] * (1e3 if column.metric in _THOUSANDTHS else 1)


def _table(evaluation: Evaluation, place: int) -> Table:
    channel, leads = evaluation.first.channels[place], evaluation.phases["closed_loop"]
    times, units = lead_times(evaluation.first, evaluation.steps)
    table = Table(
        title=with_units(f"RMSE of {channel.name}", channel.units),
        caption=f"windows: {evaluation.windows}; + %: error below that of persistence",
    )
    rows = chosen(evaluation.steps, _TABLE_ROWS)
    table.add_column(with_units("lead time", units), justify="right")
    every = (*evaluation.models, *evaluation.baselines)
    digits = _digits(torch.cat([f.mean("rmse")[leads, place] for f in every]))
    columns = [[f"{times[row]:g}" for row in rows]]
    for forecasts in every:
        table.add_column(title(forecasts, "\n"), justify="right")
        cells = _cells(forecasts, leads, place, digits)
        if forecasts.runs:
            skill = evaluation.skill(forecasts)[:, place].tolist()
            cells = [f"{cell} {_percent(s)}" for cell, s in zip(cells, skill, strict=True)]
        columns.append([cells[row] for row in rows])
    for line in zip(*columns, strict=True):
        table.add_row(*line)
    return table


def _cells(forecasts: Forecasts, leads: slice, channel: int, digits: str) -> list[str]:
    values = [format(v, digits) for v in forecasts.mean("rmse")[leads, channel].tolist()]
    spread = forecasts.spread("rmse")
    if spread is None:
        return values
    spreads = spread[leads, channel].tolist()
    return [f"{v} ±{s:{digits}}" for v, s in zip(values, spreads, strict=True)]


def _digits(values: Tensor) -> str:
    """A format with four digits for the largest finite value and as many decimals for all."""
    largest = values[values.isfinite()].abs().max().item() if values.isfinite().any() else 0.0
    if largest == 0:
        return ".3f"
    exponent = math.floor(math.log10(largest))
    return f".{3 - max(exponent, -1)}f" if -3 <= exponent <= 3 else ".3e"


def _percent(skill: float) -> str:
    return f"{100 * skill:+4.0f} %" if math.isfinite(skill) else "     –"
