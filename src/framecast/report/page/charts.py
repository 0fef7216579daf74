"""The curves of a page, each with the table that says the same."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import torch
from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.frames.leads import lead_times, spoken, with_units
from framecast.metrics import METRICS, Interval
from framecast.report.axes import Column, channels_of, columns_of, units_of
from framecast.report.page.numbers import number, with_interval
from framecast.report.tables import Table
from framecast.report.words import chosen, title

MOST_POINTS = 80
"""Lead times of a curve; of more, some are left out, from the page only."""
TABLE_ROWS = 12
_COLOURS, _DASHES = 6, 4
"""Looks of models and of baselines, in style.css."""
_UNDRAWN = ("mse", "mse_frame_sum", "mse_openstl", "spread")
"""Metrics that say what another curve says."""


class Chart(NamedTuple):
    """A chart: what charts.js draws, and what stands beside it.

    Attributes:
        title: what it shows.
        about: how to read it; empty for what speaks for itself.
        spec: as charts.js reads it.
        table: its numbers.
    """

    title: str
    about: str
    spec: dict[str, Any]
    table: Table


class Line(NamedTuple):
    """A curve of a chart: values, and the ends of their interval or of the spread over seeds."""

    name: str
    look: str
    values: Tensor
    ends: Interval | None = None


def looks(evaluation: Evaluation) -> Iterator[tuple[Forecasts, str]]:
    """Yield each forecast with its look: a colour for models, dashes for baselines."""
    for model, colour in zip(evaluation.models, cycle(range(_COLOURS)), strict=False):
        yield model, f"s{colour}"
    for baseline, dash in zip(evaluation.baselines, cycle(range(_DASHES)), strict=False):
        yield baseline, f"b b{dash}"


def by_lead(evaluation: Evaluation, channel: str) -> list[Chart]:
    """Return the curves over lead time of a channel, or of whole frames (an empty name)."""
    charts = []
    for metric in evaluation.metrics:
        if METRICS[metric].per == "clip" or METRICS[metric].curve or metric in _UNDRAWN:
            continue
        for column in columns_of(evaluation, metric):
            if column.channel == channel:
                charts += _over_leads(evaluation, column)
                if metric == "rmse":
                    charts += _skills(evaluation, column)
    return charts


def _over_leads(evaluation: Evaluation, column: Column) -> list[Chart]:
    """The curve of a metric; none where no value of it is known."""
    metric, leads = METRICS[column.metric], evaluation.phases["closed_loop"]
    lines = [
        Line(
            title(f),
            look,
            _at(f.mean(column.metric, column.region), leads, column),
            _band(f, column, leads),
        )
        for f, look in looks(evaluation)
        if f.has(column.metric)
    ]
    if not any(line.values.isfinite().any() for line in lines):
        return []
    where = [f"at least {column.label('threshold')}"] if "threshold" in metric.axes else []
    where += [f"{column.label('neighbourhood')} cells"] if "neighbourhood" in metric.axes else []
    label = metric.label + (f" ({', '.join(where)})" if where else "")
    label += _within(evaluation, column)
    better = {"lower": "Lower is better.", "higher": "Higher is better."}.get(
        metric.better, "" if metric.perfect is None else f"Best at {metric.perfect:g}."
    )
    about = f"{metric.summary[0].upper()}{metric.summary[1:]}. {better}".strip()
    level = metric.perfect if metric.better == "nearest" else None
    zero = metric.better == "lower" and metric.units == "channel"
    ylabel = with_units(metric.label, units_of(evaluation, column))
    return [_chart(evaluation, label, about, ylabel, lines, level=level, zero=zero)]


def _within(evaluation: Evaluation, column: Column) -> str:
    """Of which part of the grid a curve is; nothing for the whole."""
    return f" in {evaluation.regions[column.region]}" if column.region else ""


def _at(values: Tensor, leads: slice, column: Column) -> Tensor:
    place: tuple[slice | int, ...] = (slice(None), *column.place)
    return values[leads][place]


def _band(forecasts: Forecasts, column: Column, leads: slice) -> Interval | None:
    """The spread over seeds, or the interval of a single run."""
    which = column.metric, column.region
    spread = forecasts.spread(*which)
    if spread is not None:
        mean, spread = (_at(v, leads, column) for v in (forecasts.mean(*which), spread))
        return Interval(mean - spread, mean + spread)
    found = forecasts.interval(*which)
    return None if found is None else Interval(*(_at(end, leads, column) for end in found))


def _skills(evaluation: Evaluation, column: Column) -> Iterator[Chart]:
    leads = evaluation.phases["closed_loop"]
    for baseline in evaluation.baselines:
        lines = []
        for model, look in looks(evaluation):
            if model not in evaluation.models:
                continue
            compared = evaluation.compare(model, baseline, column.metric, column.region)
            ends = compared.skill_interval
            band = None if ends is None else Interval(*(_at(e, leads, column) for e in ends))
            lines.append(Line(title(model), look, _at(compared.skill, leads, column), band))
        yield _chart(
            evaluation,
            f"skill beside {baseline.label}{_within(evaluation, column)}",
            "1 − RMSE / RMSE of it: 1 is perfect, 0 as good, below 0 worse.",
            "skill",
            lines,
            level=0.0,
        )


def _chart(
    evaluation: Evaluation, name: str, about: str, ylabel: str, lines: Sequence[Line], **spec: Any
) -> Chart:
    """A chart over lead time."""
    times, units = lead_times(evaluation.first, evaluation.steps)
    shown = chosen(evaluation.steps, MOST_POINTS)
    said = spoken(times, units)
    rows = [
        [said[n], *(with_interval(line.values[n], _nth(line.ends, n)) for line in lines)]
        for n in chosen(evaluation.steps, TABLE_ROWS).tolist()
    ]
    drawn = [
        {"name": line.name, "look": line.look, "values": _plain(line.values[shown])}
        | ({} if line.ends is None else
           {"low": _plain(line.ends.low[shown]), "high": _plain(line.ends.high[shown])})
        for line in lines
    ]  # fmt: skip
    whole = {
        "title": f"{name} by lead time",
        "x": [float(time) for time in times[shown]],
        "xlabel": with_units("lead time", units),
        "ylabel": ylabel,
        "series": drawn,
    }
    heads = ["lead time", *(line.name for line in lines)]
    return Chart(name, about, whole | spec, Table(name, heads, rows))


def _nth(ends: Interval | None, place: int) -> tuple[Tensor, Tensor] | None:
    return None if ends is None else (ends.low[place], ends.high[place])


def _plain(values: Tensor) -> list[float | None]:
    """Five digits of each number; None for what is not finite."""
    return [
        float(f"{v:.5g}") if finite else None
        for v, finite in zip(values.tolist(), values.isfinite().tolist(), strict=True)
    ]


def along(
    name: str, about: str, axes: tuple[str, str], at: Sequence[float], lines: Sequence[Line],
    **spec: Any,
) -> Chart:  # fmt: skip
    """Return a chart along another axis than lead time.

    Args:
        name: what it shows.
        about: how to read it.
        axes: names of both axes.
        at: where each value is.
        lines: the curves.
        spec: what else charts.js is told.
    """
    rows = [
        [f"{at[n]:.4g}", *(number(line.values[n]) for line in lines)]
        for n in chosen(len(at), TABLE_ROWS).tolist()
    ]
    drawn = [{"name": n, "look": k, "values": _plain(v)} for n, k, v, _ in lines]
    whole = {
        "title": name,
        "x": [float(f"{value:.5g}") for value in at],
        "xlabel": axes[0],
        "ylabel": axes[1],
        "series": drawn,
    }
    table = Table(name, [axes[0], *(line.name for line in lines)], rows)
    return Chart(name, about, whole | spec, table)


def spectra(evaluation: Evaluation, place: int) -> Iterator[Chart]:
    """Yield the spectra of a channel at the first, the middle and the last lead time."""
    bins, channel = evaluation.measure.bins, evaluation.first.channels[place]
    drawn = [(f, look) for f, look in looks(evaluation) if f.has("power")]
    if bins is None or not drawn or not drawn[0][0].mean("power")[:, place].isfinite().any():
        return
    leads = range(evaluation.context - 1, evaluation.context + evaluation.steps - 1)
    said = spoken(*lead_times(evaluation.first, evaluation.steps))
    units = channel.units if channel.units in ("", "1") else f"({channel.units})²"
    for lead in sorted({0, len(leads) // 2, len(leads) - 1}):
        step = leads[lead]
        lines = [Line(title(f), look, f.mean("power")[step, place]) for f, look in drawn]
        lines.append(Line("truth", "truth", drawn[0][0].mean("power_truth")[step, place]))
        yield along(
            f"spectrum at {said[lead]}",
            "Where a forecast lies below the truth, details of that size are missing.",
            (f"wavelength ({bins.units})", with_units("power", units)),
            bins.wavelengths.tolist(),
            lines,
            logx=True,
            logy=True,
            falls=True,
        )


def by_age(evaluation: Evaluation) -> Iterator[Chart]:
    """Yield each number by how long ago the place of a frame was shown; level lines where never."""
    edges = evaluation.measure.edges
    for metric in evaluation.metrics:
        if METRICS[metric].family != "age":
            continue
        lines = []
        for forecasts, look in looks(evaluation):
            values = evaluation.average(forecasts).mean(metric)[0, 0]
            lines.append(Line(title(forecasts), look, values[1:]))
            if forecasts in evaluation.models:
                new = values[:1].expand(len(edges))
                lines.append(Line(f"{title(forecasts)}, new places", f"{look} new", new))
        about = METRICS[metric]
        yield along(
            about.label,
            f"{about.summary[0].upper()}{about.summary[1:]}. The level lines are of places that "
            "were never shown: what lies beyond them was remembered.",
            ("frames since the place was shown, at most", about.label.removesuffix(" by age")),
            [float(edge) for edge in edges],
            lines,
            logx=True,
        )


def ensembles(evaluation: Evaluation, place: int) -> Iterator[Chart]:
    """Yield spread beside error, rank histogram and reliability of a channel's ensembles."""
    leads = evaluation.phases["closed_loop"]
    channel = evaluation.first.channels[place]
    for forecasts, look in looks(evaluation):
        if forecasts.has("spread") and forecasts.has("rmse"):
            lines = [
                Line(name, own, forecasts.mean(metric)[leads, place])
                for name, own, metric in (("spread", look, "spread"), ("RMSE", "truth", "rmse"))
            ]
            yield _chart(
                evaluation, f"spread and error of {title(forecasts)}",
                "A reliable ensemble spreads as far as its mean errs.",
                with_units("spread, RMSE", channel.units), lines, zero=True,
            )  # fmt: skip
        average = evaluation.average(forecasts)
        if forecasts.has("rank_histogram"):
            shares = average.mean("rank_histogram")[0, place]
            yield along(
                f"ranks of the truth among the members of {title(forecasts)}",
                "Flat for a reliable ensemble; a U means too little spread, a slope a bias.",
                ("rank", "share"), [float(rank) for rank in range(len(shares))],
                [Line(title(forecasts), look, shares)], level=1 / len(shares), zero=True,
            )  # fmt: skip
        if forecasts.has("reliability") and forecasts.members > 1:
            yield from _reliability(evaluation, average, place, look)


def _reliability(
    evaluation: Evaluation, average: Forecasts, place: int, look: str
) -> Iterator[Chart]:
    thresholds = evaluation.measure.thresholds
    labels = [] if thresholds is None else thresholds.described(place)
    for column, label in enumerate(labels):
        shares = average.mean("reliability")[0, place, column]
        at = torch.linspace(0, 1, len(shares)).tolist()
        yield along(
            f"reliability of {title(average)}, at least {label}",
            "On the diagonal, events come as often as they are forecast.",
            ("forecast probability", "share that came true"), at,
            [Line(title(average), look, shares)], diagonal=True,
        )  # fmt: skip


def named(evaluation: Evaluation) -> list[str]:
    """Return the channels that have curves, and an empty name for whole frames."""
    found = [name for m in evaluation.metrics for name in channels_of(evaluation, m)]
    return list(dict.fromkeys(found))
