"""An evaluation as a table in the terminal."""

import math
import sys

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.report.labels import chosen, lead_times, title, with_units

_TABLE_ROWS = 12
_PIPE_WIDTH = 160
"""Characters of a line where the output is no terminal."""


def print_table(evaluation: Evaluation) -> None:
    """Print the RMSE of each model by lead time, beside the baselines; a table a channel."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    for channel in range(len(evaluation.first.channels)):
        console.print(_table(evaluation, channel))


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
