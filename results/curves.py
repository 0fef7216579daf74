"""The curves of a reported result, from the numbers of its evaluation."""

import math
import statistics
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np
from evidence import BEST, Row, labelled, of_ages, of_runs, rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from framecast.metrics import METRICS

AGES = "psnr_by_age"
_BASELINES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
_LETTERS = 34
"""In a line above a panel."""
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def draw(numbers: dict[str, Any]) -> bytes:
    """Draw the curves of an evaluation, as a PNG."""
    if any(model.get("recognition") for model in numbers["models"]):
        figure = _draw_accuracy(numbers)
    elif AGES in numbers["models"][0]["averages"]["frame_metrics"]:
        figure = _draw_ages(numbers)
    else:
        figure = _draw_errors(numbers)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _draw_accuracy(numbers: dict[str, Any]) -> Figure:
    """Draw the classes named right by the share seen, of each model and of the best guess."""
    figure = Figure(figsize=(6.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for model, colour in zip(numbers["models"], cycle(_COLOURS), strict=False):
        found = {
            100 * float(share): of_runs(model, share) for share in model["recognition"][0]["shares"]
        }
        means = np.array([statistics.fmean(values) for values in found.values()])
        axes.plot(list(found), means, "o-", ms=3, c=colour, label=labelled(model).replace("`", ""))
        if len(model["runs"]) > 1:
            spread = np.array([statistics.stdev(values) for values in found.values()])
            axes.fill_between(list(found), means - spread, means + spread, color=colour, alpha=0.2)
    shares = numbers["models"][0]["recognition"][0]["shares"].items()
    if best := {float(s): own["best_possible"] for s, own in shares if "best_possible" in own}:
        x, y = ([100 * value for value in values] for values in (best, best.values()))
        axes.plot(x, y, ":", c="0.2", label=BEST)
    axes.set(xlabel="share seen (%)", ylabel="classes named right (%)", ylim=(0, 100))
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _draw_errors(numbers: dict[str, Any]) -> Figure:
    """Draw the RMSE of each variable by lead time, a panel each; of pictures alone their PSNR."""
    measured = next(iter(numbers["models"][0]["metrics"].values()))["closed_loop"]
    metric = "rmse" if "rmse" in measured else "psnr"
    shown = list(rows(numbers, metric))
    variables = list(dict.fromkeys(row.variable for row in shown))
    across = min(3, len(variables))
    down = math.ceil(len(variables) / across)
    figure = Figure(figsize=(1.8 + 3.4 * across, 0.4 + 2.7 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten().tolist()
    for panel, variable in zip(panels, variables, strict=False):
        _panel(panel, [row for row in shown if row.variable == variable], numbers)
        what = METRICS[metric].label + (f" of {variable}" if variable else "")
        panel.set_title(fill(what, _LETTERS), fontsize="medium")
        if metric == "rmse":
            panel.set_ylim(bottom=0)
    for panel in panels[len(variables) :]:
        panel.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _draw_ages(numbers: dict[str, Any]) -> Figure:
    """Draw the PSNR by lead time, and beside it by how long ago a place was shown."""
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    by_lead, by_age = figure.subplots(1, 2)
    _panel(by_lead, list(rows(numbers, "psnr")), numbers)
    labels, found = of_ages(numbers, AGES)
    for row, look in zip(found, _looks(found), strict=True):
        by_age.plot(labels, row.values, marker="o", ms=4, **look)
    by_age.set_xlabel(f"{numbers['axes']['age']['units']} since the place was shown")
    by_age.tick_params(axis="x", labelrotation=30)
    by_age.grid(alpha=0.25)
    for panel in (by_lead, by_age):
        panel.set_title(METRICS["psnr"].label, fontsize="medium")
    handles, names = by_lead.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _looks(shown: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Line, colour and label of each forecast: models in colours, baselines in grey."""
    colours, styles = cycle(_COLOURS), cycle(_BASELINES)
    for row in shown:
        model = bool(row.parameters)
        yield {
            "ls": "-" if model else next(styles),
            "color": next(colours) if model else "0.45",
            "label": row.label.replace("`", ""),
        }


def _panel(axes: Axes, shown: Sequence[Row], numbers: dict[str, Any]) -> None:
    for row, look in zip(shown, _looks(shown), strict=True):
        axes.plot(numbers["lead_times"], row.values[:-1], **look)
        if row.spreads is not None:
            both = list(zip(row.values[:-1], row.spreads[:-1], strict=True))
            low, high = [v - s for v, s in both], [v + s for v, s in both]
            axes.fill_between(numbers["lead_times"], low, high, color=look["color"], alpha=0.2)
    axes.set_xlabel(f"lead time ({numbers['lead_time_units'] or 'steps'})")
    axes.grid(alpha=0.25)
