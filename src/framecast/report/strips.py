"""An evaluation as strips of frames: the truth, and below it forecasts and their errors."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from framecast.evaluate import Evaluation
from framecast.frames.frames import Frames
from framecast.frames.lazy import load
from framecast.frames.leads import lead_times, with_units
from framecast.frames.places import rows_ascend
from framecast.metrics import IMAGES
from framecast.report.words import chosen

_COLUMNS = 8


def draw_strips(evaluation: Evaluation, place: int) -> Figure:
    """Draw one channel of the first window's forecast at up to 8 lead times.

    Rows: the truth, then the forecast and the error (forecast − truth) of each model, by its
    first run. Truth and forecasts share the colour scale of the truth, from black to white where
    frames are images; errors share one that ends at the largest error, or at the width of the
    truth's range if that is less.
    """
    truth, *forecasts = (frames[:, place] for frames in _shown(evaluation))
    channel = evaluation.first.channels[place]
    values = _value_scale(evaluation, place, truth)
    errors = _error_scale(truth, np.stack(forecasts) - truth)
    sheet = _rows(evaluation, truth, forecasts, [f - truth for f in forecasts], (values, errors))
    sheet.bar(0, values, with_units(channel.name, channel.units))
    sheet.bar(1, errors, with_units("error", channel.units))
    return sheet.figure


def draw_colour_strips(evaluation: Evaluation) -> Figure:
    """Draw the first window's forecast of frames in colours, as `draw_strips` draws a channel.

    The error is the mean over the colours of its magnitude.
    """
    ranges = evaluation.measure.ranges
    black, white = (0.0, 255.0) if ranges is None else ranges[0].tolist()
    truth, *forecasts = _shown(evaluation)
    missed = [np.abs(forecast - truth).mean(1) for forecast in forecasts]
    scaled = ((frames - black) / (white - black) for frames in (truth, *forecasts))
    pictures = [frames.clip(0, 1).transpose(0, 2, 3, 1) for frames in scaled]
    errors = ScalarMappable(Normalize(0, float(np.nanmax(missed)) or 1.0), "magma")
    sheet = _rows(evaluation, pictures[0], pictures[1:], missed, (None, errors))
    sheet.bar(1, errors, "error", extend="max")
    return sheet.figure


def _shown(evaluation: Evaluation) -> list[np.ndarray]:
    """The truth and the forecasts of the first window at the lead times shown, [columns,C,H,W]."""
    columns = chosen(evaluation.steps, _COLUMNS)
    truth = load(evaluation.first.values)[0, evaluation.context :]
    forecasts = (model.example.mean(0) for model in evaluation.models)
    return [frames.double().numpy()[columns] for frames in (truth, *forecasts)]


def _rows(
    evaluation: Evaluation,
    truth: np.ndarray,
    forecasts: Sequence[np.ndarray],
    errors: Sequence[np.ndarray],
    scales: tuple[ScalarMappable | None, ScalarMappable],
) -> "_Sheet":
    """Lay out the truth, and below it each forecast with its error, under their lead times."""
    names = [model.label for model in evaluation.models]
    times, units = lead_times(evaluation.first, evaluation.steps)
    lead_time = with_units("lead time", units)
    letters = max(map(len, (lead_time, *names)))
    sheet = _Sheet(evaluation.first, 1 + 2 * len(names), len(truth), letters)
    shown = times[chosen(evaluation.steps, _COLUMNS)]
    sheet.header(lead_time, [f"{time:.4g}" for time in shown])
    sheet.row(0, "truth", truth, scales[0])
    for number, name in enumerate(names):
        sheet.row(2 * number + 1, name, forecasts[number], scales[0])
        sheet.row(2 * number + 2, "error", errors[number], scales[1])
    return sheet


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

    def row(self, row: int, label: str, images: np.ndarray, scale: ScalarMappable | None) -> None:
        """Show images in a row: [columns,H,W], or [columns,H,W,3] from 0 to 1 without a scale."""
        look = {} if scale is None else {"norm": scale.norm, "cmap": scale.cmap}
        width, height = self.cell
        top = self.head + row * height
        self._write(self.left - 0.12, top + height / 2, label, "right")
        for column, image in enumerate(images):
            left = self.left + column * width
            axes = self._axes(left, top, width - self.gap, height - self.gap)
            axes.imshow(image, origin=self.origin, **cast(Any, look))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(linewidth=0.4, color="0.6")

    def bar(self, half: int, scale: ScalarMappable, label: str, extend: str = "both") -> None:
        """Add a colour bar, in the upper half (0) or the lower (1), with arrows at its ends."""
        left, height = self.left + self.body[0] + 0.1, self.body[1] / 2
        axes = self._axes(left, self.head + half * height + 0.05, 0.11, height - 0.2)
        bar = self.figure.colorbar(scale, cax=axes, extend=extend, ticks=MaxNLocator(4))
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
    if ranges is not None and set(IMAGES) & set(evaluation.metrics):
        black, white = ranges[place].tolist()
        return ScalarMappable(Normalize(black, white), "gray")
    return ScalarMappable(Normalize(float(np.nanmin(truth)), float(np.nanmax(truth))), "viridis")


def _error_scale(truth: np.ndarray, errors: np.ndarray) -> ScalarMappable:
    largest = float(np.abs(errors[np.isfinite(errors)]).max(initial=0))
    limit = min(largest, float(np.nanmax(truth) - np.nanmin(truth))) or 1.0
    return ScalarMappable(Normalize(-limit, limit), "RdBu_r")
