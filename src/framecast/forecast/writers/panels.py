"""A forecast as pictures with what one needs to read them: truth, forecast and difference.

A row for each variable of each forecast, with a colour bar; times above; coordinates where the
grid has them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, product
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from framecast.forecast.writers.backdrop import Backdrop, Picture
from framecast.forecast.writers.colours import (
    SEQUENTIAL,
    Colours,
    difference_colours,
    value_colours,
)
from framecast.forecast.writers.labels import ForecastLabels
from framecast.frames.channels import COLOUR, GREY
from framecast.frames.frames import Frames
from framecast.frames.leads import lead_times, with_units
from framecast.frames.places import rows_ascend
from framecast.frames.times import SHOWN, readable

MOST_ROWS = 6
"""Variables that are shown at most, the first ones."""
FORECASTS = 3
"""Rows for further forecasts, where there are fewer variables."""
INCHES = 2.6
"""Longer side of a panel."""
LONGEST_NAME = 24
"""Letters of a name beside a colour bar."""
SLIMMEST = 4
"""A grid that is longer than this for its other side is stretched, so that it can be seen."""
LEADS_SEEN = 6
"""Leads, from the first to the last, whose truth tells how far a forecast may be off, for the
colours of differences."""

DIFFERENCE, SPREAD = "forecast − truth", "spread"
"""Columns with colours of their own."""

Image = Float[np.ndarray, "H W"] | Float[np.ndarray, "H W 3"]


class Row(NamedTuple):
    """A variable of a forecast: places of the sequence, the start and the channel.

    The three colours of a video are one picture: their channel is that of the first.
    """

    sequence: int
    start: int
    channel: int


@dataclass(frozen=True)
class Truth:
    """The frames of the input that follow the starts of a forecast, where it has them.

    Args:
        labels: of the forecast.
    """

    labels: ForecastLabels

    def at(self, row: Row, lead: int) -> Image | None:
        """Return the true frame of a lead, 0 for the last known one; None if it is not known."""
        labels, frames = self.labels, self.labels.frames
        names = labels.names if labels.names == COLOUR else labels.names[row.channel :][:1]
        place = int(labels.starts[row.start]) + lead
        if not set(names) <= set(frames.names) or place >= frames.lengths[row.sequence]:
            return None
        if lead and frames.times[place] != labels.valid_times[row.start, lead - 1]:
            return None  # a gap: the frame that follows is of a later time
        values = frames.values[row.sequence, place : place + 1]
        channels = [frames.names.index(name) for name in names]
        return _as_image(values[0, channels].double().numpy())

    @property
    def known(self) -> bool:
        """Whether any lead of any forecast is known."""
        starts = range(len(self.labels.starts))
        sequences = range(len(self.labels.frames.values))
        return any(self.at(Row(n, s, 0), 1) is not None for n, s in product(sequences, starts))


class Panels:
    """Draws one frame of a forecast after the other.

    Args:
        labels: of the forecast.
        ranges: least and greatest value of each channel, [C,2].
    """

    def __init__(self, labels: ForecastLabels, ranges: Float[np.ndarray, "C 2"]) -> None:
        self.labels, self.truth, self.ranges = labels, Truth(labels), ranges
        most = min(max(len(labels.channels), FORECASTS), MOST_ROWS)
        self.rows = list(islice(_rows(labels), most))
        self.times, self.units = lead_times(labels.frames, labels.steps)
        self.columns = _columns(labels.members or 1, self.truth.known)
        self.figure = Figure(figsize=_size(labels, len(self.rows), len(self.columns)), dpi=100)
        self.title = self.figure.suptitle(self._describe(1), fontsize="medium")
        self.images = self._lay_out(self.columns)

    @cached_property
    def backdrop(self) -> Backdrop:
        """What draws the figure."""
        return Backdrop(self.figure, list(chain(*self.images)), self.title)

    @property
    def maps(self) -> list[Colormap]:
        """The colour maps in use."""
        used = [image.get_cmap() for image in chain(*self.images)]
        return list({each.name: each for each in used}.values())

    def draw(self, frame: Float[np.ndarray, "M N S C H W"], lead: int) -> Picture:
        """Draw the frame of a lead, 1 for the first."""
        self.title.set_text(self._describe(lead))
        for row, images in zip(self.rows, self.images, strict=True):
            channels = frame[:, row.sequence, row.start].astype(np.float64)
            shown = channels if self.labels.names == COLOUR else channels[:, [row.channel]]
            self._show(images, self._values(shown, self.truth.at(row, lead)))
        return self.backdrop.draw()

    def _values(self, members: Float[np.ndarray, "M C H W"], truth: Image | None) -> list[Image]:
        """What each column shows, NaN where nothing is known."""
        first = _as_image(members[0])
        known = {"forecast": first, "member 1": first}
        if truth is not None:
            known |= {"truth": truth, DIFFERENCE: first - truth}
        if SPREAD in self.columns:
            known |= {"mean": _as_image(members.mean(0)), SPREAD: _as_image(members.std(0, ddof=1))}
        unknown = np.full_like(first, np.nan)
        return [known.get(column, unknown) for column in self.columns]

    def _show(self, images: list[AxesImage], values: list[Image]) -> None:
        """Put values into panels: colours from 0 to 1, their differences and spread as a number."""
        for column, image, value in zip(self.columns, images, values, strict=True):
            if value.ndim == 2:
                image.set_data(value)
            elif column in (DIFFERENCE, SPREAD):
                image.set_data(value.mean(-1))
            else:
                low, high = self.ranges[0]
                image.set_data(np.nan_to_num((value - low) / (high - low), nan=0.8).clip(0, 1))

    def _describe(self, lead: int) -> str:
        units = "" if self.units == "1" else self.units
        ahead = f"{self.times[lead - 1]:g} {units}".strip()
        if len({str(time) for time in self.labels.valid_times[:, lead - 1]}) > 1:
            return f"{ahead} ahead"
        time = readable(self.labels.valid_times[0, lead - 1], SHOWN).replace("T", " ")
        return f"{time}, {ahead} ahead"

    def _lay_out(self, columns: tuple[str, ...]) -> list[list[AxesImage]]:
        """Make panels, colour bars and names; return the images, a list for each row."""
        self.figure.set_layout_engine("constrained")
        axes = self.figure.subplots(len(self.rows), len(columns), squeeze=False)
        images = []
        for place, row in enumerate(self.rows):
            channel, values = self.labels.channels[row.channel], self._value_scale(row)
            further = {DIFFERENCE: self._difference_scale(row), SPREAD: self._spread_scale(row)}
            scales = [further.get(column, values) for column in columns]
            panels = [self._panel(*pair) for pair in zip(axes[place], scales, strict=True)]
            shown = len(columns) - (columns[-1] in further)
            if self.labels.names not in (GREY, COLOUR):
                self._bar(panels[:shown], with_units(_short(channel.name), channel.units))
            if shown < len(columns):
                name = "difference" if columns[-1] == DIFFERENCE else SPREAD
                self._bar(panels[shown:], with_units(name, channel.units))
            across = _axis_name(self.labels.frames, self.labels.frames.dims[-2])
            axes[place, 0].set_ylabel(self._name(row) or across, fontsize="x-small")
            images.append(panels)
        for column, name in enumerate(columns):
            axes[0, column].set_title(name, fontsize="small")
        return images

    def _panel(self, axes: Any, scale: ScalarMappable) -> AxesImage:
        frames = self.labels.frames
        height, width = frames.grid
        extent = _extent(frames)
        slim = not 1 / SLIMMEST <= height / width <= SLIMMEST
        image: AxesImage = axes.imshow(
            np.full(frames.grid, np.nan),
            norm=scale.norm,
            cmap=scale.cmap,
            origin=_origin(frames),
            extent=extent,
            interpolation="nearest",
        )
        # Cells are squares, whatever the units of the sides.
        ratio = 1.0 if extent is None else _ratio(extent) * height / width
        axes.set_aspect("auto" if slim else ratio)
        axes.set_facecolor("0.8")
        axes.tick_params(labelsize="x-small", length=2)
        for axis, count in ((axes.xaxis, width), (axes.yaxis, height)):
            axis.set_major_locator(MaxNLocator(4, integer=extent is None))
            axis.set_visible(count > 1)
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel(_axis_name(frames, frames.dims[-1]), fontsize="x-small")
        return image

    def _bar(self, images: list[AxesImage], label: str) -> None:
        """Add one colour bar for images that share their colours."""
        axes = [image.axes for image in images]
        bar = self.figure.colorbar(images[0], ax=axes, extend="both", ticks=MaxNLocator(4))
        bar.set_label(label, fontsize="small")
        bar.ax.tick_params(labelsize="x-small")

    def _name(self, row: Row) -> str:
        """Which forecast a row is of, where there are several."""
        labels = self.labels
        sequence = [f"sequence {row.sequence}"] if len(labels.frames.values) > 1 else []
        start = readable(labels.frames.times[labels.starts[row.start]], SHOWN)
        return "\n".join([*sequence, *([] if labels.single else [f"from {start}"])])

    def _value_scale(self, row: Row) -> ScalarMappable:
        """Colours of values: grey for pictures, diverging about zero where there are both signs."""
        return _mappable(value_colours(self.labels.names, *self.ranges[row.channel]))

    def _spread_scale(self, row: Row) -> ScalarMappable:
        """Colours of the spread, as far as differences may go."""
        return _mappable(Colours(SEQUENTIAL, 0, self._farthest(row)))

    def _difference_scale(self, row: Row) -> ScalarMappable:
        """Colours of differences."""
        return _mappable(difference_colours(self._farthest(row)))

    def _farthest(self, row: Row) -> float:
        """How far the truth moves away from the last known frame; else half of the range."""
        last = self.truth.at(row, 0)
        seen = np.unique(np.linspace(1, self.labels.steps, LEADS_SEEN).astype(int))
        leads = [self.truth.at(row, int(lead)) for lead in seen]
        moved = [abs(truth - last) for truth in leads if truth is not None and last is not None]
        farthest = np.nanmax(moved) if moved and not np.isnan(moved).all() else np.nan
        low, high = self.ranges[row.channel]
        return float(farthest if farthest > 0 else (high - low) / 2)


def _mappable(colours: Colours) -> ScalarMappable:
    return ScalarMappable(Normalize(colours.low, colours.high), colours.map)


def _columns(members: int, known: bool) -> tuple[str, ...]:
    """What stands side by side: truth where it is known, a forecast, what is said of it."""
    truth = ("truth",) if known else ()
    if members > 1:
        return (*truth, "member 1", "mean", SPREAD)
    return (*truth, "forecast", *((DIFFERENCE,) if known else ()))


def _short(name: str) -> str:
    """A name that fits beside a panel."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _as_image(channels: Float[np.ndarray, "C H W"]) -> Image:
    """One channel as it is, three as a picture."""
    return channels[0] if len(channels) == 1 else channels.transpose(1, 2, 0)


def _rows(labels: ForecastLabels) -> Iterator[Row]:
    channels = 1 if labels.names == COLOUR else len(labels.channels)
    counts = (len(labels.frames.values), len(labels.starts), channels)
    return (Row(*places) for places in product(*map(range, counts)))


def _size(labels: ForecastLabels, rows: int, columns: int) -> tuple[float, float]:
    """Inches of the figure, which make an even number of pixels."""
    height, width = labels.frames.grid
    stretch = min(max(width / height, 1 / SLIMMEST), SLIMMEST)
    across, down = (INCHES, INCHES / stretch) if stretch > 1 else (INCHES * stretch, INCHES)
    size = (columns * (max(across, 1.2) + 0.7) + 1.0, rows * (max(down, 0.9) + 0.4) + 0.6)
    return round(size[0] * 50) / 50, round(size[1] * 50) / 50


def _extent(frames: Frames) -> tuple[float, float, float, float] | None:
    """Outer edges of the grid (left, right, bottom, top), where its coordinates are even."""
    rows, columns = (_edges(frames, dim) for dim in frames.dims[-2:])
    if rows is None or columns is None:
        return None
    bottom, top = rows if _origin(frames) == "lower" else rows[::-1]
    return (*columns, bottom, top)


def _axis_name(frames: Frames, dim: str) -> str:
    axis = frames.coordinates.get(dim)
    return "" if axis is None else with_units(dim, str(axis.attributes.get("units", "")))


def _edges(frames: Frames, dim: str) -> tuple[float, float] | None:
    axis = frames.coordinates.get(dim)
    if axis is None or axis.values.dtype.kind not in "fiu" or len(axis.values) < 2:
        return None
    values = axis.values.astype(np.float64)
    steps = np.diff(values)
    if not np.allclose(steps, steps[0], rtol=0.01) or steps[0] == 0:
        return None
    return float(values[0] - steps[0] / 2), float(values[-1] + steps[0] / 2)


def _ratio(extent: tuple[float, float, float, float]) -> float:
    left, right, bottom, top = extent
    return abs((right - left) / (top - bottom))


def _origin(frames: Frames) -> Literal["lower", "upper"]:
    """North is up."""
    return "lower" if rows_ascend(frames) else "upper"
