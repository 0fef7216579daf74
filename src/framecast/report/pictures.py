"""An evaluation as pictures: curves over lead time, and strips of frames."""

import math
from collections.abc import Sequence
from itertools import cycle, product
from typing import Any, Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from framecast.evaluate import Evaluation, Forecasts
from framecast.frames.frames import Frames
from framecast.frames.lazy import load
from framecast.frames.leads import lead_times, with_units
from framecast.frames.places import rows_ascend
from framecast.metrics import ERRORS, METRICS, Interval
from framecast.report.words import COLOURS, chosen, title

_MARKERS = "os^Dv*"
_BASELINES = (("--", "x"), (":", "+"), ("-.", "1"), ((0, (5, 1, 1, 1, 1, 1)), "2"))
"""Line and marker of each baseline, in their order."""
_PHASE_TITLES = {"teacher_forced": "one step ahead", "closed_loop": "forecast (closed loop)"}
_STRIP_COLUMNS = 8
_IMAGE_CURVES = ("image_mse", "psnr", "ssim", "lpips", "fvd")
"""Metrics with a curve; mse_frame_sum is image_mse in another unit."""


def draw_curves(evaluation: Evaluation) -> Figure:
    """Draw the RMSE by step: a row a channel, the teacher-forced phase beside the forecast.

    If RMSE is not among the metrics, the first of those of the error that is; the RMSE if none is.
    """
    metric = next((name for name in evaluation.metrics if name in ERRORS), "rmse")
    channels = evaluation.first.channels
    phases = [p for p in evaluation.phases if p == "closed_loop" or evaluation.context > 1]
    size = (2.4 + 3.8 * len(phases), 0.4 + 2.9 * len(channels))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(channels), len(phases), sharey="row", squeeze=False)
    for (row, channel), (column, phase) in product(enumerate(channels), enumerate(phases)):
        x, label = _steps(evaluation, phase)
        _draw(axes[row, column], evaluation, (metric, row), x, evaluation.phases[phase])
        axes[row, column].set_xlabel(label)
        axes[0, column].set_title(_PHASE_TITLES[phase], fontsize="medium")
        label = f"{METRICS[metric].label} of {channel.name}"
        axes[row, 0].set_ylabel(with_units(label, channel.units if metric != "mse" else ""))
    if METRICS[metric].better != "nearest":
        for last in axes[:, -1]:  # the row shares its limits, which are known when all is drawn
            last.set_ylim(bottom=0)
    _legend(figure, axes[0, -1])
    return figure


def draw_image_curves(evaluation: Evaluation) -> Figure:
    """Draw the metrics of images by lead time, a panel each; an arrow points to the better."""
    names = [name for name in evaluation.metrics if name in _IMAGE_CURVES]
    rows = math.ceil(len(names) / 3)
    columns = math.ceil(len(names) / rows)
    figure = Figure(figsize=(1.8 + 3.4 * columns, 0.4 + 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    times, label = _steps(evaluation, "closed_loop")
    for place, name in zip(axes, names, strict=False):
        clips = METRICS[name].per == "clip"
        x = times[np.array(evaluation.clip_ends) - 1] if clips else times
        part = slice(None) if clips else evaluation.phases["closed_loop"]
        _draw(place, evaluation, (name, 0), x, part)
        place.set_xlabel(f"{label} at the end of a clip" if clips else label)
        arrow = "↑" if METRICS[name].better == "higher" else "↓"
        place.set_title(f"{METRICS[name].label} {arrow}", fontsize="medium")
    for place in axes[len(names) :]:
        place.remove()
    _legend(figure, axes[0])
    return figure


def _steps(evaluation: Evaluation, phase: str) -> tuple[np.ndarray, str]:
    """Where the steps of a phase lie on the axis, and what the axis is called."""
    if phase == "teacher_forced":
        return np.arange(2, evaluation.context + 1), "predicted frame of the window"
    times, units = lead_times(evaluation.first, evaluation.steps)
    return times, with_units("lead time", units)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")


def _draw(
    axes: Axes, evaluation: Evaluation, what: tuple[str, int], x: np.ndarray, part: slice
) -> None:
    """Draw a metric of a channel, (name, place), of all models and baselines."""
    metric, place = what
    every = math.ceil(len(x) / 8)
    every += -every % 10 if every > 10 else 0  # many frames are counted in tens
    looks = zip(cycle(COLOURS), cycle(_MARKERS), strict=False)
    for model, (colour, marker) in zip(evaluation.models, looks, strict=False):
        (line,) = axes.plot(x, model.mean(metric)[part, place], c=colour, label=title(model))
        line.set(marker=marker, markersize=4, markevery=(every - 1, every))
        band = _band(model, metric)
        if band is not None:
            low, high = (ends[part, place] for ends in band)
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    for baseline, (style, marker) in zip(evaluation.baselines, cycle(_BASELINES), strict=False):
        mean = baseline.mean(metric)[part, place]
        (line,) = axes.plot(x, mean, c="0.45", marker=marker, label=baseline.label)
        line.set(linestyle=style, markersize=6 if len(x) == 1 else 0)  # one point makes no line
    axes.set_xticks(x[every - 1 :: every])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _band(model: Forecasts, metric: str) -> Interval | None:
    """The deviation over seeds around the mean; of a single run, its interval."""
    mean, spread = model.mean(metric), model.spread(metric)
    if spread is None:
        return model.interval(metric)
    return Interval(mean - spread, mean + spread)


def draw_strips(evaluation: Evaluation, place: int) -> Figure:
    """Draw one channel of the first window's forecast at up to 8 lead times.

    Rows: the truth, then the forecast and the error (forecast − truth) of each model, by its
    first run. Truth and forecasts share the colour scale of the truth, from black to white where
    frames are images; errors share one that ends at the largest error, or at the width of the
    truth's range if that is less.
    """
    first, columns = evaluation.first, chosen(evaluation.steps, _STRIP_COLUMNS)
    truth = load(first.values)[0, evaluation.context :, place].double().numpy()[columns]
    forecasts = [m.example.mean(0)[:, place].double().numpy()[columns] for m in evaluation.models]
    names = [model.label for model in evaluation.models]
    values = _value_scale(evaluation, place, truth)
    errors = _error_scale(truth, np.stack(forecasts) - truth)
    times, units = lead_times(first, evaluation.steps)
    channel, lead_time = first.channels[place], with_units("lead time", units)
    sheet = _Sheet(first, 1 + 2 * len(names), len(columns), max(map(len, (lead_time, *names))))
    sheet.header(lead_time, [f"{time:g}" for time in times[columns]])
    sheet.row(0, "truth", truth, values)
    for number, (name, forecast) in enumerate(zip(names, forecasts, strict=True)):
        sheet.row(2 * number + 1, name, forecast, values)
        sheet.row(2 * number + 2, "error", forecast - truth, errors)
    sheet.bar(0, values, with_units(channel.name, channel.units))
    sheet.bar(1, errors, with_units("error", channel.units))
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
        self.origin: Literal["lower", "upper"] = "lower" if rows_ascend(frames) else "upper"

    def header(self, label: str, titles: Sequence[str]) -> None:
        """Write above the columns."""
        top = self.head - 0.12
        self._write(self.left - 0.12, top, label, "right")
        for column, text in enumerate(titles):
            self._write(self.left + (column + 0.5) * self.cell[0], top, text, "center")

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


def _value_scale(evaluation: Evaluation, place: int, truth: np.ndarray) -> ScalarMappable:
    ranges = evaluation.measure.ranges
    if ranges is not None and set(_IMAGE_CURVES) & set(evaluation.metrics):
        black, white = ranges[place].tolist()
        return ScalarMappable(Normalize(black, white), "gray")
    return ScalarMappable(Normalize(float(np.nanmin(truth)), float(np.nanmax(truth))), "viridis")


def _error_scale(truth: np.ndarray, errors: np.ndarray) -> ScalarMappable:
    largest = float(np.abs(errors[np.isfinite(errors)]).max(initial=0))
    limit = min(largest, float(np.nanmax(truth) - np.nanmin(truth))) or 1.0
    return ScalarMappable(Normalize(-limit, limit), "RdBu_r")
