"""Forecasts as moving pictures: GIF and MP4, one frame at a time."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from torch import Tensor

from framecast.forecast.writers.backdrop import Picture
from framecast.forecast.writers.destination import GIF_END, MARK
from framecast.forecast.writers.labels import ForecastLabels
from framecast.forecast.writers.palette import (
    Quantise,
    by_own_palettes,
    by_palette,
    greys,
    shades,
)
from framecast.forecast.writers.panels import Panels, Truth
from framecast.frames.channels import COLOUR, GREY

FRAMES_PER_SECOND = 5
"""Of frames that have no times in seconds, or whose own rate nobody could watch."""
SLOWEST, FASTEST = 1, 240
"""Frames a second that are shown as they are."""
LOOKED_AT = 64
"""Frames up to each start whose values give the colours, where not all are held in memory."""
MOST_TILES = 4
GAP = 4


class Painter(NamedTuple):
    """How forecasts become pictures.

    Attributes:
        draw: draws the frame [M,N,S,C,H,W] of a lead, 1 for the first.
        quantise: gives a picture the colours of a GIF.
    """

    draw: Callable[[np.ndarray, int], Picture]
    quantise: Quantise


@contextmanager
def animation_writer(path: Path, labels: ForecastLabels) -> Iterator[Callable[[Tensor], None]]:
    """Write a GIF or MP4, whose pictures `Panels` draws: truth, forecast and difference.

    Colours run over the range that a channel declares, or over that of the input frames. Frames
    with times in seconds keep their rate. A video of which nothing more is known goes on as it is,
    with its colours and its size, but for odd sides: MP4 needs even ones, so that their last row
    or column is repeated.
    """
    gif, rate, painter = path.suffix == ".gif", _frame_rate(labels), _painter(labels)
    forecasts = labels.members or 1, len(labels.frames.values), len(labels.starts)
    blank = np.zeros((*forecasts, *_frame_shape(labels)))
    height, width = painter.draw(blank, 1).shape[:2]
    leads = count(1)
    with av.open(path, "w", format="gif" if gif else "mp4") as file:
        file.metadata["comment"] = MARK
        stream = file.add_stream("gif" if gif else "h264", rate=rate)
        stream.height, stream.width = height, width
        stream.pix_fmt = "pal8" if gif else "yuv420p"
        stream.codec_context.time_base = 1 / rate

        def write(frame: Tensor) -> None:
            lead = next(leads)
            drawn = painter.draw(frame.numpy(), lead)
            picture = painter.quantise(drawn) if gif else av.VideoFrame.from_ndarray(drawn, "rgba")
            picture.pts, picture.time_base = lead - 1, 1 / rate
            file.mux(stream.encode(picture))

        yield write
        file.mux(stream.encode())
    if gif:
        _mark(path)


def _mark(path: Path) -> None:
    """Put the mark into a GIF, as a comment before its trailer: FFmpeg writes none."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(GIF_END)


def _frame_shape(labels: ForecastLabels) -> tuple[int, int, int]:
    return len(labels.channels), *labels.frames.grid


def _painter(labels: ForecastLabels) -> Painter:
    low, high = _ranges(labels)
    if labels.names in (GREY, COLOUR) and not Truth(labels).known:
        quantise = by_palette(greys()) if labels.names == GREY else by_own_palettes
        return Painter(partial(_as_video, low=low, high=high), quantise)
    panels = Panels(labels, np.stack([low, high], 1))
    quantise = by_own_palettes if labels.names == COLOUR else by_palette(shades(panels.maps))
    return Painter(lambda frame, lead: _even(panels.draw(frame, lead)), quantise)


def _as_video(frame: np.ndarray, lead: int, low: np.ndarray, high: np.ndarray) -> Picture:
    """Forecasts of a video side by side, white between them, in its own colours and size."""
    tiles = frame.reshape(-1, *frame.shape[3:])[:MOST_TILES]
    first, gain = (ends.astype(np.float32)[:, None, None] for ends in (low, 255 / (high - low)))
    levels = np.nan_to_num(((tiles - first) * gain).clip(0, 255)).round()
    count, _, height, width = tiles.shape
    picture = np.full((height, count, width + GAP, 4), 255, np.uint8)
    picture[:, :, :width, :3] = levels.transpose(2, 0, 3, 1)
    return _even(picture.reshape(height, -1, 4)[:, :-GAP])


def _ranges(labels: ForecastLabels) -> tuple[np.ndarray, np.ndarray]:
    """Values of the first and the last colour of each channel, both [C].

    They are the ends of the range that all channels declare, else of the input's values, else of
    what is typical.
    """
    declared = [channel.valid_range for channel in labels.channels]
    if None in declared:
        shown = _shown(labels)
        declared = [shown.get(name, labels.typical.get(name, (0.0, 1.0))) for name in labels.names]
    low, high = np.array(declared, np.float64).T
    return low, np.where(high > low, high, low + 1)


def _shown(labels: ForecastLabels) -> dict[str, tuple[float, float]]:
    """Least and greatest value of each channel of the input that has any.

    Of frames that are not held in memory, the last few before each start are looked at.
    """
    values = labels.frames.values
    parts = [slice(None)]
    if not isinstance(values, Tensor):
        parts = [
            slice(max(0, start + 1 - LOOKED_AT), start + 1) for start in labels.starts.tolist()
        ]
    sequences = [
        values[n, part].transpose(0, 1).flatten(1).numpy()
        for n in range(len(values))
        for part in parts
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of channels that are missing throughout
        low = np.nanmin([np.nanmin(s, 1) for s in sequences], 0).tolist()
        high = np.nanmax([np.nanmax(s, 1) for s in sequences], 0).tolist()
    ends = zip(labels.frames.names, low, high, strict=True)
    return {name: (a, b) for name, a, b in ends if a == a}


def _frame_rate(labels: ForecastLabels) -> Fraction:
    """Frames a second: the input's own, where its times are seconds and one could watch them."""
    frames = labels.frames
    axis = frames.coordinates.get(frames.time_dim)
    if axis is None or axis.attributes.get("units") not in ("s", "seconds") or frames.step is None:
        return Fraction(FRAMES_PER_SECOND)
    rate = 1 / float(frames.step.difference)
    if not SLOWEST <= rate <= FASTEST:
        return Fraction(FRAMES_PER_SECOND)
    return Fraction(rate).limit_denominator(1001)


def _even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row, or column, where their number is odd."""
    odd = [(0, side % 2) for side in picture.shape]
    return np.pad(picture, odd, mode="edge") if np.any(odd) else np.ascontiguousarray(picture)
