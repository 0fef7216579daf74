"""What an evaluation looks like: files of numbers, pictures, and a table in the terminal."""

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, product
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.table import Table
from torch import Tensor

from framecast.data.frames import Frames
from framecast.errors import UserError
from framecast.evaluate import Evaluation, Forecasts, evaluate
from framecast.files import whole, write_text
from framecast.metrics import METRICS

COLUMNS = ("model", "phase", "frame", "lead", "lead_time", "channel", "metric", "value", "spread")
"""Columns of metrics.csv. `frame` is the place in the window, 1 for the first given frame."""

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which the colour-blind can tell apart."""
_MARKERS = "os^Dv*"
_BASELINES = {"persistence": ("--", "x"), "climatology": (":", "+")}
_PHASE_TITLES = {"teacher_forced": "one step ahead", "closed_loop": "forecast (closed loop)"}
_TIME_UNITS = (("days", 86400), ("h", 3600), ("min", 60))
_TABLE_ROWS, _STRIP_COLUMNS = 12, 8
_PIPE_WIDTH = 160
"""Characters of a line where the output is no terminal."""


def evaluate_to(
    runs: Sequence[Path],
    out: Path,
    *,
    data: Path | None = None,
    steps: int | None = None,
    context: int | None = None,
    progress: bool = True,
) -> Evaluation:
    """Evaluate runs, write the report into the folder `out`, and print the table.

    The arguments are those of `evaluate` and `write_report`.

    Raises:
        UserError: as these two do; a bad `out` before anything is computed.
    """
    _check_out(out)
    evaluation = evaluate(runs, data=data, steps=steps, context=context, progress=progress)
    write_report(evaluation, out)
    print_table(evaluation)
    return evaluation


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write metrics.json, metrics.csv, curves.png and a strips_CHANNEL.png for each channel.

    Args:
        evaluation: what to report.
        out: a folder, made if missing. Files of these names are replaced, others left alone.

    Raises:
        UserError: if `out` is a file.
    """
    _check_out(out)
    write_text(out / "metrics.json", json.dumps(describe(evaluation), indent=2) + "\n")
    write_text(out / "metrics.csv", _csv(evaluation))
    _save(draw_curves(evaluation), out / "curves.png")
    for place, channel in enumerate(evaluation.first.channels):
        name = re.sub(r"[^\w.-]+", "_", channel.name)
        _save(draw_strips(evaluation, place), out / f"strips_{name}.png")


def print_table(evaluation: Evaluation) -> None:
    """Print the RMSE of each model by lead time, beside the baselines; a table a channel."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    for channel in range(len(evaluation.first.channels)):
        console.print(_table(evaluation, channel))


def lead_times(frames: Frames, steps: int) -> tuple[np.ndarray, str]:
    """Return the times of leads 1..K and their units.

    Args:
        frames: frames whose time axis counts.
        steps: K.

    Returns:
        [K], and days, h, min, s, months, what the axis gives for plain numbers (maybe
        nothing), or frames where there is no axis.
    """
    leads, step = np.arange(1, steps + 1), frames.step
    axis = frames.coordinates.get(frames.time_dim)
    if axis is None or step is None:
        return leads, "frames"
    if step.months:
        return leads * step.months, "months"
    seconds = _seconds(step.difference)
    if seconds is None:
        return np.round(leads * float(step.difference), 9), str(axis.attributes.get("units", ""))
    name, size = next(((n, s) for n, s in _TIME_UNITS if seconds % s == 0), ("s", 1))
    return leads * (seconds / size), name


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
            phase: {metric: of(metric, steps, place) for metric in METRICS}
            for phase, steps in evaluation.phases.items()
        }
        for place, channel in enumerate(evaluation.first.channels)
    }
    return {"label": forecasts.label, "runs": runs, "metrics": metrics}


def _csv(evaluation: Evaluation) -> str:
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
        METRICS,
    ):
        values = forecasts.mean(metric)[part, place].tolist()
        spread = forecasts.spread(metric)
        spreads = [None] * len(values) if spread is None else spread[part, place].tolist()
        places = range(2, context + steps + 1)[part]
        for frame, value, spread_ in zip(places, values, spreads, strict=True):
            lead = max(1, frame - context)
            where = (forecasts.label, phase, frame, lead, times[lead - 1], channel)
            yield (*where, metric, value, spread_)


def draw_curves(evaluation: Evaluation) -> Figure:
    """Draw the RMSE by step: a row a channel, the teacher-forced phase beside the forecast."""
    channels = evaluation.first.channels
    phases = [p for p in evaluation.phases if p == "closed_loop" or evaluation.context > 1]
    size = (2.4 + 3.8 * len(phases), 0.4 + 2.9 * len(channels))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(channels), len(phases), sharey="row", squeeze=False)
    for (row, channel), (column, phase) in product(enumerate(channels), enumerate(phases)):
        _draw_phase(axes[row, column], evaluation, phase, row)
        axes[0, column].set_title(_PHASE_TITLES[phase], fontsize="medium")
        axes[row, 0].set_ylabel(_with_units(f"RMSE of {channel.name}", channel.units))
    for last in axes[:, -1]:  # the row shares its limits, which are known when all is drawn
        last.set_ylim(bottom=0)
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _draw_phase(axes: Axes, evaluation: Evaluation, phase: str, channel: int) -> None:
    part = evaluation.phases[phase]
    if phase == "teacher_forced":
        x, label = np.arange(2, evaluation.context + 1), "predicted frame of the window"
    else:
        x, units = lead_times(evaluation.first, evaluation.steps)
        label = _with_units("lead time", units)
    every = math.ceil(len(x) / 8)
    looks = zip(cycle(_COLOURS), cycle(_MARKERS), strict=False)
    for model, (colour, marker) in zip(evaluation.models, looks, strict=False):
        mean, spread = model.mean("rmse")[part, channel], model.spread("rmse")
        (line,) = axes.plot(x, mean, c=colour, label=_title(model))
        line.set(marker=marker, markersize=4, markevery=(every - 1, every))
        if spread is not None:
            low, high = mean - spread[part, channel], mean + spread[part, channel]
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    for baseline in evaluation.baselines:
        mean, (style, marker) = baseline.mean("rmse")[part, channel], _BASELINES[baseline.label]
        size = 6 if len(x) == 1 else 0  # one point makes no line
        axes.plot(x, mean, style, c="0.45", marker=marker, ms=size, label=baseline.label)
    axes.set_xlabel(label)
    axes.set_xticks(x[every - 1 :: every])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def draw_strips(evaluation: Evaluation, place: int) -> Figure:
    """Draw one channel of the first window's forecast at up to 8 lead times.

    Rows: the truth, then the forecast and the error (forecast − truth) of each model, by its
    first run. Truth and forecasts share the colour scale of the truth, and errors share one
    that ends at the largest error, or at the width of the truth's range if that is less.
    """
    first, columns = evaluation.first, _chosen(evaluation.steps, _STRIP_COLUMNS)
    truth = first.values[0, evaluation.context :, place].double().numpy()[columns]
    forecasts = [m.example[:, place].double().numpy()[columns] for m in evaluation.models]
    names = [model.label for model in evaluation.models]
    values, errors = _scales(truth, np.stack(forecasts) - truth)
    times, units = lead_times(first, evaluation.steps)
    channel, lead_time = first.channels[place], _with_units("lead time", units)
    sheet = _Sheet(first, 1 + 2 * len(names), len(columns), max(map(len, (lead_time, *names))))
    sheet.header(lead_time, [f"{time:g}" for time in times[columns]])
    sheet.row(0, "truth", truth, values)
    for number, (name, forecast) in enumerate(zip(names, forecasts, strict=True)):
        sheet.row(2 * number + 1, name, forecast, values)
        sheet.row(2 * number + 2, "error", forecast - truth, errors)
    sheet.bar(0, values, _with_units(channel.name, channel.units))
    sheet.bar(1, errors, _with_units("error", channel.units))
    return sheet.figure


class _Sheet:
    """Pictures of one size in rows, labels to the left, two colour bars to the right.

    Lengths are in inches, from the upper left corner.
    """

    gap, head, foot, right = 0.06, 0.3, 0.1, 0.9

    def __init__(self, frames: Frames, rows: int, columns: int, letters: int) -> None:
        height, width = frames.grid
        stretch = min(max(width / height, 0.25), 4.0) ** 0.5
        self.cell = (1.25 * stretch + self.gap, 1.25 / stretch + self.gap)
        self.left = 0.3 + 0.07 * letters
        self.body = (columns * self.cell[0], rows * self.cell[1])
        self.size = (self.left + self.body[0] + self.right, self.head + self.body[1] + self.foot)
        self.figure = Figure(figsize=self.size)
        self.origin: Literal["lower", "upper"] = "lower" if _rows_ascend(frames) else "upper"

    def header(self, label: str, titles: Sequence[str]) -> None:
        """Write above the columns."""
        top = self.head - 0.12
        self._write(self.left - 0.12, top, label, "right")
        for column, title in enumerate(titles):
            self._write(self.left + (column + 0.5) * self.cell[0], top, title, "center")

    def row(self, row: int, label: str, images: np.ndarray, scale: ScalarMappable) -> None:
        """Show images [columns,H,W] in a row."""
        width, height = self.cell
        top = self.head + row * height
        self._write(self.left - 0.12, top + height / 2, label, "right")
        for column, image in enumerate(images):
            left = self.left + column * width
            axes = self._axes(left, top, width - self.gap, height - self.gap)
            axes.imshow(image, norm=cast(Any, scale.norm), cmap=scale.cmap, origin=self.origin)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(linewidth=0.4, color="0.6")

    def bar(self, half: int, scale: ScalarMappable, label: str) -> None:
        """Add a colour bar, in the upper half (0) or the lower (1)."""
        left, height = self.left + self.body[0] + 0.1, self.body[1] / 2
        axes = self._axes(left, self.head + half * height + 0.05, 0.11, height - 0.2)
        bar = self.figure.colorbar(scale, cax=axes, extend="both", ticks=MaxNLocator(4))
        bar.set_label(label, fontsize="small")
        axes.tick_params(labelsize="x-small")

    def _write(self, x: float, y: float, text: str, align: str) -> None:
        at = (x / self.size[0], 1 - y / self.size[1])
        self.figure.text(*at, text, ha=align, va="center", fontsize="small")

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        across, down = self.size
        bottom = down - top - height
        return self.figure.add_axes((left / across, bottom / down, width / across, height / down))


def _scales(truth: np.ndarray, errors: np.ndarray) -> tuple[ScalarMappable, ScalarMappable]:
    low, high = float(truth.min()), float(truth.max())
    largest = float(np.abs(errors[np.isfinite(errors)]).max(initial=0))
    limit = min(largest, high - low) or 1.0
    return (
        ScalarMappable(Normalize(low, high), "viridis"),
        ScalarMappable(Normalize(-limit, limit), "RdBu_r"),
    )


def _table(evaluation: Evaluation, place: int) -> Table:
    channel, leads = evaluation.first.channels[place], evaluation.phases["closed_loop"]
    times, units = lead_times(evaluation.first, evaluation.steps)
    table = Table(
        title=_with_units(f"RMSE of {channel.name}", channel.units),
        caption=f"windows: {evaluation.windows}; + %: error below that of persistence",
    )
    rows = _chosen(evaluation.steps, _TABLE_ROWS)
    table.add_column(_with_units("lead time", units), justify="right")
    every = (*evaluation.models, *evaluation.baselines)
    digits = _digits(torch.cat([f.mean("rmse")[leads, place] for f in every]))
    columns = [[f"{times[row]:g}" for row in rows]]
    for forecasts in every:
        table.add_column(_title(forecasts, "\n"), justify="right")
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


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, but the report needs a folder: choose another --out")


def _save(figure: Figure, path: Path) -> None:
    with whole(path) as partial:
        figure.savefig(partial, dpi=150)


def _title(forecasts: Forecasts, space: str = " ") -> str:
    seeds = len(forecasts.runs)
    return f"{forecasts.label}{space}({seeds} seeds)" if seeds > 1 else forecasts.label


def _chosen(count: int, most: int) -> np.ndarray:
    """Up to `most` of the places 0..count-1: both ends, and between them lead times that step."""
    if count <= most:
        return np.arange(count)
    stride = math.ceil(count / (most - 2))
    return np.unique([0, *range(stride - 1, count, stride), count - 1])


def _with_units(name: str, units: str) -> str:
    return f"{name} ({units})" if units not in ("", "1") else name


def _rows_ascend(frames: Frames) -> bool:
    """Whether the coordinate along H ascends, as y and latitude may, and an image's rows don't."""
    axis = frames.coordinates.get(frames.dims[-2])
    return axis is not None and bool(axis.values[0] < axis.values[-1])


def _seconds(difference: Any) -> float | None:
    """Length of a difference of times (NumPy's or cftime's); None for a plain number."""
    if isinstance(difference, np.timedelta64):
        return float(difference / np.timedelta64(1, "s"))
    return difference.total_seconds() if hasattr(difference, "total_seconds") else None


def _plain(values: Tensor) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
