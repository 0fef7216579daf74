"""Forecasts as moving pictures: GIF and MP4, one frame at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from matplotlib import colormaps
from torch import Tensor

from framecast.writers.labels import ForecastLabels

FRAMES_PER_SECOND = 5
SHORTER_SIDE = 256
"""Pixels: small grids are enlarged, cell by cell, to at least this."""
MOST_TILES = 4
GAP = 4


@contextmanager
def animation_writer(path: Path, labels: ForecastLabels) -> Iterator[Callable[[Tensor], None]]:
    """Write a GIF or MP4: a row of tiles for each channel, a column for each forecast.

    Colours run over the range of the input frames. At most four forecasts are shown. Rows
    are drawn from north to south where the row coordinate ascends.
    """
    gif = path.suffix == ".gif"
    low, high = _ranges(labels)
    flip = _ascends(labels)
    with av.open(path, "w", format="gif" if gif else "mp4") as file:
        stream = None

        def write(frame: Tensor) -> None:
            nonlocal stream
            picture = _picture(frame.numpy(), low, high, flip)
            if stream is None:
                stream = file.add_stream("gif" if gif else "h264", rate=FRAMES_PER_SECOND)
                stream.height, stream.width = picture.shape
                stream.pix_fmt = "pal8" if gif else "yuv420p"
                stream.codec_context.time_base = Fraction(1, FRAMES_PER_SECOND)
            file.mux(stream.encode(_video_frame(picture, gif)))

        yield write
        if stream is not None:
            file.mux(stream.encode())


def _ranges(labels: ForecastLabels) -> tuple[np.ndarray, np.ndarray]:
    sequences = [labels.frames.values[n, :] for n in range(len(labels.frames.values))]
    low = np.min([s.amin((0, 2, 3)).numpy() for s in sequences], axis=0)
    high = np.max([s.amax((0, 2, 3)).numpy() for s in sequences], axis=0)
    return low, np.where(high > low, high, low + 1)


def _ascends(labels: ForecastLabels) -> bool:
    rows = labels.frames.coordinates.get(labels.frames.dims[-2])
    return rows is not None and len(rows.values) > 1 and bool(rows.values[-1] > rows.values[0])


def _picture(frame: np.ndarray, low: np.ndarray, high: np.ndarray, flip: bool) -> np.ndarray:
    """Levels 1 to 255 of a colour map, 0 between tiles; sides are even, as video needs."""
    tiles = frame.reshape(-1, *frame.shape[2:])[:MOST_TILES]
    share = (tiles - low[:, None, None]) / (high - low)[:, None, None]
    levels = (1 + np.clip(share, 0, 1) * 254).round().astype(np.uint8)
    if flip:
        levels = levels[:, :, ::-1]
    scale = max(1, -(-SHORTER_SIDE // min(levels.shape[-2:])))
    levels = levels.repeat(scale, -2).repeat(scale, -1)
    levels = np.pad(levels, ((0, 0), (0, 0), (0, GAP), (0, GAP)))
    forecasts, channels, height, width = levels.shape
    picture = levels.transpose(1, 2, 0, 3).reshape(channels * height, forecasts * width)
    picture = picture[:-GAP, :-GAP]
    return np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2)))


def _palette() -> np.ndarray:
    colours = (colormaps["viridis"](np.linspace(0, 1, 255)) * 255).round().astype(np.uint8)
    return np.concatenate([np.array([[255, 255, 255, 255]], np.uint8), colours])


def _video_frame(picture: np.ndarray, gif: bool) -> av.VideoFrame:
    palette = _palette()
    if gif:
        argb = np.ascontiguousarray(palette[:, [3, 0, 1, 2]])
        return av.VideoFrame.from_ndarray((picture, argb), format="pal8")  # type: ignore[arg-type]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(palette[picture][..., :3]), "rgb24")
