"""Make the tables and curves of docs/results.md from the files in results: one command.

    python results/tables.py

A table stands between two comments in the page, and is made anew each time:

    <!-- table NAME -->          the RMSE of results/NAME by lead time
    <!-- table NAME psnr -->     another metric of that evaluation
    <!-- end -->

The curves of results/NAME are docs/pictures/results_NAME.png. What did not change is not written.
"""

import json
import math
import re
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


def _caption(numbers: dict[str, Any], metric: str) -> str:
    skill = "In brackets: error below that of persistence. " if metric == "rmse" else ""
    return (
        f"{METRICS[metric].label} of forecasts in closed loop from {numbers['context']} given "
        f"frames, over {numbers['windows']} windows. {skill}Bold: the best of a variable and lead "
        "time."
    )


def _draw(numbers: dict[str, Any]) -> bytes:
    """Draw the RMSE of each variable by lead time, a panel each, as a PNG."""
    rows = list(_rows(numbers, "rmse"))
    variables = list(dict.fromkeys(row.variable for row in rows))
    across = min(3, len(variables))
    down = math.ceil(len(variables) / across)
    figure = Figure(figsize=(1.8 + 3.4 * across, 0.4 + 2.7 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten().tolist()
    for panel, variable in zip(panels, variables, strict=False):
        _panel(panel, [row for row in rows if row.variable == variable], numbers)
        panel.set_title(f"RMSE of {variable}", fontsize="medium")
    for panel in panels[len(variables) :]:
        panel.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


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
    axes.set_ylim(bottom=0)
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
