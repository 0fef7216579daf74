"""Forecasts as moving pictures: GIF and MP4, one frame at a time."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.filter import Graph
from torch import Tensor

from framecast.forecast.writers.destination import GIF_END, MARK
from framecast.forecast.writers.labels import ForecastLabels
from framecast.forecast.writers.panels import Panels, Truth
from framecast.frames.channels import COLOUR, GREY

FRAMES_PER_SECOND = 5
"""Of frames that have no times in seconds."""
MOST_TILES = 4
GAP = 4


@contextmanager
def animation_writer(path: Path, labels: ForecastLabels) -> Iterator[Callable[[Tensor], None]]:
    """Write a GIF or MP4, whose pictures `Panels` draws: truth, forecast and difference.

    Colours run over the range that a channel declares, or over that of the input frames. Frames
    with times in seconds keep their rate. A video of which nothing more is known goes on as it is,
    with its colours and its size, but for odd sides: MP4 needs even ones, so that their last row
    or column is repeated.
    """
    gif, rate, draw = path.suffix == ".gif", _frame_rate(labels), _painter(labels)
    forecasts = labels.members or 1, len(labels.frames.values), len(labels.starts)
    blank = np.zeros((*forecasts, *_frame_shape(labels)))
    height, width = draw(blank, 1).shape[:2]
    leads = count(1)
    with av.open(path, "w", format="gif" if gif else "mp4") as file:
        file.metadata["comment"] = MARK
        stream = file.add_stream("gif" if gif else "h264", rate=rate)
        stream.height, stream.width = height, width
        stream.pix_fmt = "pal8" if gif else "yuv420p"
        stream.codec_context.time_base = 1 / rate
        quantise = _quantiser(height, width, rate)

        def write(frame: Tensor) -> None:
            lead = next(leads)
            picture = av.VideoFrame.from_ndarray(draw(frame.numpy(), lead), "rgb24")
            picture.pts, picture.time_base = lead - 1, 1 / rate
            file.mux(stream.encode(quantise(picture) if gif else picture))

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


def _painter(labels: ForecastLabels) -> Callable[[np.ndarray, int], np.ndarray]:
    """How the frame [M,N,S,C,H,W] of a lead becomes a picture [H,W,3] of bytes."""
    low, high = _ranges(labels)
    if labels.names in (GREY, COLOUR) and not Truth(labels).known:
        return partial(_as_video, low=low, high=high)
    panels = Panels(labels, np.stack([low, high], 1))
    return lambda frame, lead: _even(panels.draw(frame, lead))


def _as_video(frame: np.ndarray, lead: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Forecasts of a video side by side, in its own colours and size."""
    tiles = frame.reshape(-1, *frame.shape[3:])[:MOST_TILES]
    share = np.clip((tiles - low[:, None, None]) / (high - low)[:, None, None], 0, 1)
    colours = np.nan_to_num(share).transpose(0, 2, 3, 1)
    return _side_by_side(colours.repeat(4 - colours.shape[-1], -1)[..., :3] * 255)


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
    """Least and greatest value of each channel of the input that has any."""
    values = labels.frames.values
    sequences = [values[n, :].transpose(0, 1).flatten(1).numpy() for n in range(len(values))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of channels that are missing throughout
        low = np.nanmin([np.nanmin(s, 1) for s in sequences], 0).tolist()
        high = np.nanmax([np.nanmax(s, 1) for s in sequences], 0).tolist()
    ends = zip(labels.frames.names, low, high, strict=True)
    return {name: (a, b) for name, a, b in ends if a == a}


def _frame_rate(labels: ForecastLabels) -> Fraction:
    """Frames a second: the input's own, where its times are seconds."""
    frames = labels.frames
    axis = frames.coordinates.get(frames.time_dim)
    if axis is None or axis.attributes.get("units") not in ("s", "seconds") or frames.step is None:
        return Fraction(FRAMES_PER_SECOND)
    return Fraction(1 / float(frames.step.difference)).limit_denominator(1001)


def _side_by_side(tiles: np.ndarray) -> np.ndarray:
    """Tiles [columns,H,W,3] beside each other, with white between them."""
    space = ((0, 0), (0, 0), (0, GAP), (0, 0))
    tiles = np.pad(tiles.round().astype(np.uint8), space, constant_values=255)
    columns, height, width, _ = tiles.shape
    picture = tiles.transpose(1, 0, 2, 3).reshape(height, columns * width, 3)
    return _even(picture[:, :-GAP])


def _even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row, or column, where their number is odd."""
    return np.pad(picture, [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)], mode="edge")


def _quantiser(height: int, width: int, rate: Fraction) -> Callable[[av.VideoFrame], av.VideoFrame]:
    """Give each picture the 256 colours that suit it best, as GIF needs."""
    graph = Graph()
    form = av.VideoFormat("rgb24")
    source = graph.add_buffer(width=width, height=height, format=form, time_base=1 / rate)
    split, sink = graph.add("split"), graph.add("buffersink")
    choose = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", "new=1")
    source.link_to(split)
    split.link_to(choose)
    split.link_to(use, 1)
    choose.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()

    def quantise(picture: av.VideoFrame) -> av.VideoFrame:
        graph.push(picture)
        return cast(av.VideoFrame, graph.pull())

    return quantise
