"""An evaluation as curves over lead time."""

import math
from itertools import cycle, product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from framecast.evaluate import Evaluation, Forecasts
from framecast.frames.leads import lead_times, with_units
from framecast.metrics import ERRORS, METRICS, Interval
from framecast.report.words import COLOURS, title

_MARKERS = "os^Dv*"
_BASELINES = (("--", "x"), (":", "+"), ("-.", "1"), ((0, (5, 1, 1, 1, 1, 1)), "2"))
"""Line and marker of each baseline, in their order."""
_PHASE_TITLES = {"teacher_forced": "one step ahead", "closed_loop": "forecast (closed loop)"}
_WIDEST_TICK = 4
"""Letters of a lead time beside which there is room for the next; others are left to round ones."""
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
    ticks = x[every - 1 :: every]
    if all(len(f"{tick:g}") <= _WIDEST_TICK for tick in ticks):
        axes.set_xticks(ticks)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _band(model: Forecasts, metric: str) -> Interval | None:
    """The deviation over seeds around the mean; of a single run, its interval."""
    mean, spread = model.mean(metric), model.spread(metric)
    if spread is None:
        return model.interval(metric)
    return Interval(mean - spread, mean + spread)
