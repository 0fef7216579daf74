"""A forecast in a file as windows to show, beside the truth where it is given."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from framecast.base.whole import PathLike
from framecast.evaluate.align import align
from framecast.evaluate.examples import (
    MOST_WINDOWS,
    Choice,
    Example,
    affordable,
    forecast_again,
    parts_of,
)
from framecast.evaluate.forecast_files import ForecastFile, label_of
from framecast.evaluate.score_files import windows_of
from framecast.frames.batch import Place
from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames
from framecast.frames.times import readable
from framecast.readers.open import open_frames
from framecast.readers.paths import Paths
from framecast.readers.selection import EVERYTHING, Selection


class ShownFile(NamedTuple):
    """What is shown of a file of forecasts.

    Attributes:
        label: its name.
        examples: its starts, or some of them, evenly spread.
        starts: how many it has.
    """

    label: str
    examples: tuple[Example, ...]
    starts: int


def examples_of_file(
    forecast: PathLike, truth: Paths | None = None, selection: Selection = EVERYTHING
) -> ShownFile:
    """Read the forecasts of a file, from some of its starts.

    Args:
        forecast: a file with (start, lead time) or valid times, with members or without.
        truth: frames at its times; None for none.
        selection: how the truth is read.

    Raises:
        UserError: if a file cannot be read, does not say when its forecasts start, or the two do
            not fit.
    """
    file = ForecastFile(label_of(Path(forecast), set()), open_frames(forecast, EVERYTHING))
    if truth is not None:
        return _beside(file, open_frames(truth, selection))
    places = _spread(len(file.starts), MOST_WINDOWS)
    examples = tuple(_alone(file, place) for place in places)
    return ShownFile(file.label, examples, len(file.starts))


def _beside(file: ForecastFile, truth: Frames) -> ShownFile:
    aligned = align([file], truth)
    windows = windows_of(aligned, {}, 1)
    places = _spread(len(aligned.starts), affordable(windows, 1))
    starts = [Place(place, 0) for place in places]
    again = forecast_again(list(aligned.competitors.values()), windows, starts, windows.leads)
    examples = tuple(
        Example(_choice(aligned.starts, place), aligned.window(place), made)
        for place, made in zip(places, again, strict=True)
    )
    return ShownFile(file.label, examples, len(aligned.starts))


def _alone(file: ForecastFile, place: int) -> Example:
    """A start of a file whose truth is not known."""
    members: list[Tensor] = [
        file.frames.values[int(n), 0 : len(file.leads)][file.ahead] for n in file.table[place]
    ]
    made = parts_of(torch.stack(members))
    unknown = torch.full((1, 1 + made.shape[1], *made.shape[2:]), torch.nan)
    start = file.starts[place]
    axis = np.array([start, *file.times_from(start)[file.ahead]])
    space = file.frames.dims[-2:]
    kept = {n: c for n, c in file.frames.coordinates.items() if set(c.dims) <= set(space)}
    window = replace(
        file.frames,
        values=unknown,
        dims=("time", *space),
        coordinates={**kept, "time": Coordinate(("time",), axis)},
        irregular=True,
        actions=None,
        labels=None,
        static=None,
    )
    return Example(_choice(file.starts, place), window, (made,))


def _choice(starts: np.ndarray, place: int) -> Choice:
    return Choice((f"from {readable(starts[place]).replace('T', ' ')}",), 0, place)


def _spread(count: int, most: int) -> Sequence[int]:
    """Up to `most` of the places 0 to count − 1, evenly spread, the first among them."""
    if count <= most:
        return range(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()  # type: ignore[no-any-return]
