"""What the numbers of a metric are of: groups, regions, channels, thresholds and the like."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from framecast.evaluate import Evaluation, Forecasts
from framecast.metrics import METRICS, ages
from framecast.metrics.catalogue import Axis


class Column(NamedTuple):
    """One series of numbers of a metric.

    Attributes:
        metric: its name.
        region: the place of the region among those of the evaluation.
        channel: its name; empty for metrics of whole frames.
        labels: along each axis of the metric.
        place: where it stands in values [S,C,*axes], behind S.
    """

    metric: str
    region: int
    channel: str
    labels: tuple[str, ...]
    place: tuple[int, ...]

    def label(self, axis: Axis) -> str:
        """Return the label along an axis; empty where the metric has no such axis."""
        axes = METRICS[self.metric].axes
        return self.labels[axes.index(axis)] if axis in axes else ""


def units_of(evaluation: Evaluation, column: Column) -> str:
    """Return the units of a number; nothing for what has none, or has them in its label."""
    kind, bins = METRICS[column.metric].units, evaluation.measure.bins
    if kind == "wavelength":
        return "" if bins is None else bins.units
    units = {c.name: c.units for c in evaluation.first.channels}.get(column.channel, "")
    if kind == "squared" and units not in ("", "1"):
        return f"({units})²"
    return units if kind else ""


def each_group(evaluation: Evaluation) -> Iterator[tuple[str, int, Forecasts]]:
    """Yield (group, its windows, forecasts) for all windows, then for each group."""
    for group, windows in {"": evaluation.windows, **evaluation.groups}.items():
        for forecasts in evaluation.forecasts:
            yield group, windows, forecasts.of_group(group) if group else forecasts


def channels_of(evaluation: Evaluation, metric: str) -> tuple[str, ...]:
    """Return the channels that a metric has values of; one without a name for whole frames."""
    return evaluation.first.names if METRICS[metric].per == "channel" else ("",)


def regions_of(evaluation: Evaluation, metric: str) -> Sequence[int]:
    """Return the places of the regions that a metric has values of."""
    return range(len(evaluation.regions) if METRICS[metric].regional else 1)


def columns_of(evaluation: Evaluation, metric: str, members: int = 1) -> list[Column]:
    """Return the series of numbers that a metric has.

    Args:
        evaluation: that the metric belongs to.
        metric: its name.
        members: of the forecast, for axes that count them.
    """
    return [
        Column(
            metric, region, channel, tuple(text for _, text in at), (number, *(i for i, _ in at))
        )
        for region in regions_of(evaluation, metric)
        for number, channel in enumerate(channels_of(evaluation, metric))
        for at in product(*labels_of(evaluation, metric, number, members))
    ]


def labels_of(
    evaluation: Evaluation, metric: str, channel: int, members: int = 1
) -> list[list[tuple[int, str]]]:
    """Return the place and label of each point of each axis of a metric of a channel."""
    measure = evaluation.measure
    named = {
        "threshold": [] if measure.thresholds is None else measure.thresholds.described(channel),
        "neighbourhood": [str(size) for size in measure.neighbourhoods],
        "wavelength": [f"{length:.6g}" for length in measure.wavelengths],
        "rank": [str(rank) for rank in range(members + 1)],
        "probability": [f"{number / members:.6g}" for number in range(members + 1)],
        "age": ages.labels_of(measure.edges),
    }
    return [list(enumerate(named[axis])) for axis in METRICS[metric].axes]
