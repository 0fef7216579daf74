"""Make the tables and curves of the pages from the files in results: one command.

    python results/tables.py

A table stands between two comments in a page, and is made anew each time:

    <!-- table NAME -->          the RMSE of results/NAME by lead time
    <!-- table NAME psnr -->     another metric of that evaluation
    <!-- table NAME psnr_by_age --> by how long ago a place was shown, or that it is new
    <!-- table NAME accuracy --> the classes named right, at the shares of the training
    <!-- table NAME accuracy@0.25 -->  those of each class, at one share
    <!-- end -->

The curves of results/NAME are docs/pictures/results_NAME.png: the RMSE by lead time (the PSNR where
only pictures were scored, and by age where that was taken), or, of models that name classes, the
classes named right by the share seen. What did not change is not written.
"""

import json
import math
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import curves
import numpy as np
from evidence import BEST, Row, labelled, of_ages, of_runs, rows

from framecast.metrics import METRICS
from framecast.report.words import chosen_leads

ROOT = Path(__file__).parent.parent
PAGES = ("docs/results.md", "README.md")
ACCURACY = "accuracy"
MOST_LEADS = 9
"""Lead times in a table; their average has a column of its own."""

_TABLE = re.compile(r"<!-- table (\S+)(?: (\S+))? -->\n(.*?)<!-- end -->", re.DOTALL)


def make_all(root: Path = ROOT) -> list[Path]:
    """Make all tables and curves; return the files that changed.

    Raises:
        ValueError: if a table names an entry or a metric that there is none of.
    """
    pages = [root / name for name in PAGES if (root / name).exists()]
    changed = [page for page in pages if _write(page, fill(page, root).encode())]
    for file in sorted((root / "results").glob("*/metrics.json")):
        picture = root / "docs" / "pictures" / f"results_{file.parent.name}.png"
        if _write(picture, curves.draw(json.loads(file.read_text(encoding="utf-8")))):
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
    if METRICS[metric].family == "age":
        return _ages_table(numbers, metric)
    shown = list(rows(numbers, metric))
    units = numbers["lead_time_units"]
    leads = chosen_leads(np.array(numbers["lead_times"]), units, MOST_LEADS).tolist()
    said = "" if units == "1" else units
    heads = [f"{numbers['lead_times'][lead]:.4g} {said}".strip() for lead in leads]
    heads = ["variable", "forecast", "parameters", *heads, f"all {numbers['steps']} leads"]
    lines = [heads, ["---"] * len(heads)]
    for row in shown:
        best = _best([r for r in shown if r.variable == row.variable], metric)
        reference = next(
            (r for r in shown if r.variable == row.variable and r.label == "persistence"), None
        )
        cells = [_cell(row, place, best, reference, metric) for place in (*leads, -1)]
        lines.append([row.variable, row.label, row.parameters, *cells])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"\n{table}\n{_caption(numbers, metric)}\n\n"


def fill(page: Path, root: Path) -> str:
    """Return the text of a page with its tables as they are made from the files."""

    def table(found: re.Match[str]) -> str:
        name, metric, _ = found.groups()
        file = root / "results" / name / "metrics.json"
        if not file.exists():
            raise ValueError(f"{page.name} has a table {name}, but there is no {file}")
        made = make_table(json.loads(file.read_text(encoding="utf-8")), metric or "rmse")
        begin = found.group(0).split("\n", 1)[0]
        return f"{begin}\n{made}<!-- end -->"

    return _TABLE.sub(table, page.read_text(encoding="utf-8"))


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


def _ages_table(numbers: dict[str, Any], metric: str) -> str:
    """A metric by age: a row for each forecast, a column for each age that occurs."""
    labels, found = of_ages(numbers, metric)
    units = numbers["axes"]["age"]["units"]
    shown = [n for n in range(len(labels)) if any(not math.isnan(row.values[n]) for row in found)]
    heads = ["forecast", "parameters", *(labels[n] for n in shown)]
    lines = [heads, ["---"] * len(heads)]
    best = _best(found, metric)
    for row in found:
        cells = (_cell(row, n, best, None, metric) for n in shown)
        lines.append([row.label, row.parameters, *cells])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (
        f"\n{table}\n{METRICS[metric].label}, in closed loop from {numbers['context']} given "
        f"frames, over {numbers['windows']} windows: of places that are new, and of those that "
        f"were last shown so many {units} ago. Bold: the best of a column.\n\n"
    )


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
    found = [[of_runs(m, s) for s in shares] for m in models]
    for model, row in zip(models, found, strict=True):
        cells = [_percent(v, [other[n] for other in found]) for n, v in enumerate(row)]
        yield [labelled(model), f"{model['runs'][0]['parameters']:,}", *cells]
    if "best_possible" in first["shares"][shares[-1]]:
        best = [100 * first["shares"][share]["best_possible"] for share in shares]
        yield [BEST, "", *(f"{value:.1f}" for value in best)]
    frequent = [100 * first["shares"][share]["most_frequent"] for share in shares]
    yield ["most frequent class", "", *(f"{value:.1f}" for value in frequent)]


def _of_each_class(
    models: Sequence[dict[str, Any]], first: dict[str, Any], share: str
) -> Iterator[list[str]]:
    best = first["shares"][share].get("best_possible_per_class", {})
    yield ["class", *map(labelled, models), *([BEST] if best else [])]
    yield ["---"] * (1 + len(models) + bool(best))
    for name in first["classes"]:
        row = [of_runs(m, share, name) for m in models]
        known = [f"{100 * best[name]:.1f}"] if best else []
        yield [name.replace("_", " "), *(_percent(value, row) for value in row), *known]


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
