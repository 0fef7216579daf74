"""Make the tables and curves of docs/results.md from the files in results: one command.

    python results/tables.py

A table stands between two comments in the page, and is made anew each time:

    <!-- table NAME -->          the RMSE of results/NAME by lead time
    <!-- table NAME psnr -->     another metric of that evaluation
    <!-- table NAME accuracy --> the classes named right, at the shares of the training
    <!-- table NAME accuracy@0.25 -->  those of each class, at one share
    <!-- end -->

The curves of results/NAME are docs/pictures/results_NAME.png: the RMSE by lead time (the PSNR where
only pictures were scored), or, of models that name classes, the classes named right by the share
seen. What did not change is not written.
"""

import json
import math
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from framecast.metrics import METRICS
from framecast.report.words import chosen_leads

ROOT = Path(__file__).parent.parent
ACCURACY = "accuracy"
BEST = "best possible guess"
MOST_LEADS = 9
"""Lead times in a table; their average has a column of its own."""

_TABLE = re.compile(r"<!-- table (\S+)(?: (\S+))? -->\n(.*?)<!-- end -->", re.DOTALL)
_STYLES = {"persistence": "--", "climatology": ":"}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class Row(NamedTuple):
    """A metric of the forecasts of a model or baseline, of one variable.

    Attributes:
        variable: its name, with units; empty for metrics of whole frames.
        label: of the model or baseline.
        parameters: of the model; empty for a baseline.
        values: at each lead time, and their average; NaN where there is none.
        spreads: standard deviations over seeds, likewise; None for one seed.
    """

    variable: str
    label: str
    parameters: str
    values: list[float]
    spreads: list[float] | None


def make_all(root: Path = ROOT) -> list[Path]:
    """Make all tables and curves; return the files that changed.

    Raises:
        ValueError: if a table names an entry or a metric that there is none of.
    """
    page = root / "docs" / "results.md"
    text = page.read_text(encoding="utf-8")
    changed = [page] if _write(page, _fill(text, root).encode()) else []
    for file in sorted((root / "results").glob("*/metrics.json")):
        picture = root / "docs" / "pictures" / f"results_{file.parent.name}.png"
        if _write(picture, _draw(json.loads(file.read_text(encoding="utf-8")))):
            changed.append(picture)
    return changed


def make_table(numbers: dict[str, Any], metric: str = "rmse") -> str:
    """Return a table in Markdown: a row for each variable and forecast, a column for each lead.

    Args:
        numbers: the content of a metrics.json.
        metric: which of them.
    """
    if metric.partition("@")[0] == ACCURACY:
        return _accuracy_table(numbers, metric.partition("@")[2])
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric}: there are {', '.join(METRICS)}")
    rows = list(_rows(numbers, metric))
    units = numbers["lead_time_units"]
    leads = chosen_leads(np.array(numbers["lead_times"]), units, MOST_LEADS).tolist()
    said = "" if units == "1" else units
    heads = [f"{numbers['lead_times'][lead]:g} {said}".strip() for lead in leads]
    heads = ["variable", "forecast", "parameters", *heads, f"all {numbers['steps']} leads"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        best = _best([r for r in rows if r.variable == row.variable], metric)
        reference = next(
            (r for r in rows if r.variable == row.variable and r.label == "persistence"), None
        )
        cells = [_cell(row, place, best, reference, metric) for place in (*leads, -1)]
        lines.append([row.variable, row.label, row.parameters, *cells])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"\n{table}\n{_caption(numbers, metric)}\n\n"


def _fill(text: str, root: Path) -> str:
    def table(found: re.Match[str]) -> str:
        name, metric, _ = found.groups()
        file = root / "results" / name / "metrics.json"
        if not file.exists():
            raise ValueError(f"docs/results.md has a table {name}, but there is no {file}")
        made = make_table(json.loads(file.read_text(encoding="utf-8")), metric or "rmse")
        begin = found.group(0).split("\n", 1)[0]
        return f"{begin}\n{made}<!-- end -->"

    return _TABLE.sub(table, text)


def _rows(numbers: dict[str, Any], metric: str) -> Iterator[Row]:
    units = {c["name"]: c["units"] for c in numbers["data"]["channels"]}
    forecasts = [*numbers["models"], *numbers["baselines"]]
    for channel, unit in units.items():
        for forecast in forecasts:
            found = forecast["metrics"][channel]["closed_loop"].get(metric)
            if found is not None:
                shown = f"{channel} ({unit})" if unit not in ("", "1") else channel
                yield _row(shown, forecast, found, forecast["averages"]["metrics"][channel][metric])
    for forecast in forecasts:
        found = forecast["frame_metrics"].get("closed_loop", {}).get(metric)
        if found is not None:
            yield _row("", forecast, found, forecast["averages"]["frame_metrics"][metric])
            continue
        if metric not in forecast["metrics"][next(iter(units))]["closed_loop"]:
            raise ValueError(f"the evaluation has no metric {metric}")


def _row(
    variable: str, forecast: dict[str, Any], found: dict[str, Any], average: dict[str, Any]
) -> Row:
    def joined(kind: str) -> list[float]:
        return [math.nan if v is None else v for v in (*found[kind], *average[kind])]

    runs = forecast["runs"]
    seeds = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    return Row(
        variable,
        f"{forecast['label']}{seeds}" if not runs else f"`{forecast['label']}`{seeds}",
        f"{runs[0]['parameters']:,}" if runs else "",
        joined("value"),
        None if found["spread"] is None else joined("spread"),
    )


def _best(rows: Sequence[Row], metric: str) -> list[float]:
    """The best value of each column."""
    columns = zip(*(row.values for row in rows), strict=True)
    known = [[v for v in column if not math.isnan(v)] or [math.nan] for column in columns]
    perfect = METRICS[metric].perfect or 0.0

    def distance(value: float) -> float:
        return abs(value - perfect)

    choose: dict[str, Callable[..., float]] = {
        "lower": min,
        "higher": max,
        "nearest": partial(min, key=distance),
    }
    return [choose[METRICS[metric].better](column) for column in known]


def _cell(row: Row, place: int, best: Sequence[float], reference: Row | None, metric: str) -> str:
    value = row.values[place]
    if math.isnan(value):
        return "–"
    text = f"{float(f'{value:.3g}'):,g}"  # 1,080, not 1.08e+03
    if row.spreads is not None:
        text += f" ± {row.spreads[place]:.1g}"
    if value == best[place]:
        text = f"**{text}**"
    if metric == "rmse" and row.parameters and reference is not None and reference.values[place]:
        text += f" ({100 * (1 - value / reference.values[place]):+.0f} %)"
    return text


def _accuracy_table(numbers: dict[str, Any], share: str) -> str:
    """Classes named right in per cent: at the trained shares, or of each class at one share."""
    models = [model for model in numbers["models"] if model.get("recognition")]
    if not models:
        raise ValueError("the evaluation has no models that name classes")
    first = models[0]["recognition"][0]
    if share and share not in first["shares"]:
        raise ValueError(f"no share {share}: there are {', '.join(first['shares'])}")
    lines = _of_each_class(models, first, share) if share else _at_shares(models, first)
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    seen = f"Named from {float(share):.0%} of each video: t" if share else "T"
    count = next(iter(first["shares"].values()))["sequences"]
    several = any(len(model["runs"]) > 1 for model in models)
    spread = ", the mean over seeds ± their standard deviation" if several else ""
    return (
        f"\n{table}\n{seen}he share of {count:,} sequences named right (%){spread}. Bold: the best "
        "network.\n\n"
    )


def _at_shares(models: Sequence[dict[str, Any]], first: dict[str, Any]) -> Iterator[list[str]]:
    shares = [str(share) for share in first["trained_shares"]]
    yield ["network", "parameters", *(f"{float(share):.0%} seen" for share in shares)]
    yield ["---"] * (2 + len(shares))
    found = [[_of_runs(m, s) for s in shares] for m in models]
    for model, row in zip(models, found, strict=True):
        cells = [_percent(v, [other[n] for other in found]) for n, v in enumerate(row)]
        yield [_labelled(model), f"{model['runs'][0]['parameters']:,}", *cells]
    if "best_possible" in first["shares"][shares[-1]]:
        best = [100 * first["shares"][share]["best_possible"] for share in shares]
        yield [BEST, "", *(f"{value:.1f}" for value in best)]
    frequent = [100 * first["shares"][share]["most_frequent"] for share in shares]
    yield ["most frequent class", "", *(f"{value:.1f}" for value in frequent)]


def _of_each_class(
    models: Sequence[dict[str, Any]], first: dict[str, Any], share: str
) -> Iterator[list[str]]:
    best = first["shares"][share].get("best_possible_per_class", {})
    yield ["class", *map(_labelled, models), *([BEST] if best else [])]
    yield ["---"] * (1 + len(models) + bool(best))
    for name in first["classes"]:
        row = [_of_runs(m, share, name) for m in models]
        known = [f"{100 * best[name]:.1f}"] if best else []
        yield [name.replace("_", " "), *(_percent(value, row) for value in row), *known]


def _labelled(model: dict[str, Any]) -> str:
    seeds = len(model["runs"])
    return f"`{model['label']}`" + (f" ({seeds} seeds)" if seeds > 1 else "")


def _of_runs(model: dict[str, Any], share: str, name: str | None = None) -> list[float]:
    """The accuracy of each run of a model at a share, of all classes or of one, in per cent."""
    seen = [recognition["shares"][share] for recognition in model["recognition"]]
    return [100 * (own["top_1"] if name is None else own["per_class"][name]) for own in seen]


def _percent(values: Sequence[float], row: Sequence[Sequence[float]]) -> str:
    mean = statistics.fmean(values)
    text = f"{mean:.1f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.1f}"
    return f"**{text}**" if mean == max(map(statistics.fmean, row)) else text


def _caption(numbers: dict[str, Any], metric: str) -> str:
    skill = "In brackets: error below that of persistence. " if metric == "rmse" else ""
    return (
        f"{METRICS[metric].label} of forecasts in closed loop from {numbers['context']} given "
        f"frames, over {numbers['windows']} windows. {skill}Bold: the best of a variable and lead "
        "time."
    )


def _draw(numbers: dict[str, Any]) -> bytes:
    """Draw the curves of an evaluation, as a PNG."""
    named = any(model.get("recognition") for model in numbers["models"])
    figure = _draw_accuracy(numbers) if named else _draw_errors(numbers)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _draw_accuracy(numbers: dict[str, Any]) -> Figure:
    """Draw the classes named right by the share seen, of each model and of the best guess."""
    figure = Figure(figsize=(6.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for model, colour in zip(numbers["models"], cycle(_COLOURS), strict=False):
        found = {
            100 * float(share): _of_runs(model, share)
            for share in model["recognition"][0]["shares"]
        }
        means = np.array([statistics.fmean(values) for values in found.values()])
        axes.plot(list(found), means, "o-", ms=3, c=colour, label=_labelled(model).replace("`", ""))
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
    rows = list(_rows(numbers, metric))
    variables = list(dict.fromkeys(row.variable for row in rows))
    across = min(3, len(variables))
    down = math.ceil(len(variables) / across)
    figure = Figure(figsize=(1.8 + 3.4 * across, 0.4 + 2.7 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten().tolist()
    for panel, variable in zip(panels, variables, strict=False):
        _panel(panel, [row for row in rows if row.variable == variable], numbers)
        what = METRICS[metric].label + (f" of {variable}" if variable else "")
        panel.set_title(what, fontsize="medium")
        if metric == "rmse":
            panel.set_ylim(bottom=0)
    for panel in panels[len(variables) :]:
        panel.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _panel(axes: Axes, rows: Sequence[Row], numbers: dict[str, Any]) -> None:
    colours = cycle(_COLOURS)
    for row in rows:
        baseline = _STYLES.get(row.label)
        colour = "0.45" if baseline else next(colours)
        style, label = baseline or "-", row.label.replace("`", "")
        axes.plot(numbers["lead_times"], row.values[:-1], style, color=colour, label=label)
        if row.spreads is not None:
            both = list(zip(row.values[:-1], row.spreads[:-1], strict=True))
            low, high = [v - s for v, s in both], [v + s for v, s in both]
            axes.fill_between(numbers["lead_times"], low, high, color=colour, alpha=0.2)
    axes.set_xlabel(f"lead time ({numbers['lead_time_units'] or 'steps'})")
    axes.grid(alpha=0.25)


def _write(file: Path, content: bytes) -> bool:
    """Write what differs from what is there; return whether it did."""
    if file.exists() and file.read_bytes() == content:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return True


if __name__ == "__main__":
    try:
        for changed_file in make_all():
            print(changed_file.relative_to(ROOT))
    except ValueError as error:
        sys.exit(f"tables: {error}")
