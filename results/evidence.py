"""What stands in the numbers of an evaluation, as tables and curves show it."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

BEST = "best possible guess"


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


def rows(numbers: dict[str, Any], metric: str) -> Iterator[Row]:
    """Yield a metric of every variable and forecast, or, of whole frames, of every forecast.

    Raises:
        ValueError: if the evaluation has no such metric.
    """
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


def labelled(model: dict[str, Any]) -> str:
    """Return the name of a model, and of how many seeds it is where there are several."""
    seeds = len(model["runs"])
    return f"`{model['label']}`" + (f" ({seeds} seeds)" if seeds > 1 else "")


def of_runs(model: dict[str, Any], share: str, name: str | None = None) -> list[float]:
    """Return the accuracy of each run at a share, of all classes or of one, in per cent."""
    seen = [recognition["shares"][share] for recognition in model["recognition"]]
    return [100 * (own["top_1"] if name is None else own["per_class"][name]) for own in seen]


def of_ages(numbers: dict[str, Any], metric: str) -> tuple[list[str], list[Row]]:
    """Return the labels of ages, and a metric of each forecast by them.

    Raises:
        ValueError: if the evaluation has no such metric.
    """
    found = []
    for forecast in (*numbers["models"], *numbers["baselines"]):
        value = forecast["averages"]["frame_metrics"].get(metric)
        if value is None:
            raise ValueError(f"the evaluation has no metric {metric}")
        by_age = {kind: value[kind] and value[kind][0] for kind in ("value", "spread")}
        found.append(_row("", forecast, by_age, {"value": [], "spread": []}))
    return numbers["axes"]["age"]["labels"], found
