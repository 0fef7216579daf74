"""How far advection foretells: fields that are carried along, digits that bounce, and real rain.

The errors are RMSE over all windows that fit, in units of the field. The rain is that of hurricane
Florence, hourly, from the file named by FRAMECAST_RAIN (Stage IV; the Debian package r-cran-stars
holds it as test_stageiv_xyt.nc); without it, its rows are left out. Where pysteps is installed, its
extrapolation by Lucas and Kanade's motion is put beside.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from benchmarks.timing import print_table
from framecast.datasets.config import DataConfig
from framecast.forecast.baselines import BASELINES, Climate, Following, Training
from framecast.forecast.competitor import Stretch
from framecast.frames.batch import Place
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.readers.open import read_frames

CONTEXT = 3
COMPARED = ("persistence", "advection", "filtered_advection")
RAIN = "FRAMECAST_RAIN"
DIGIT = "one digit, until it bounces"


def run() -> dict[str, Any]:
    """A row for each field and way to forecast."""
    rows = [row for name, frames, leads in _fields() for row in _rows(name, frames, leads)]
    print_table("RMSE of advection, by lead time", rows)
    return {"rows": rows}


def _fields() -> Iterator[tuple[str, Frames, int]]:
    field = _random_field(64, 80)
    yield "translated", _frames([_moved(field, 0.8 * t, 1.3 * t) for t in range(16)]), 8
    speed = 2 * np.sin(np.arange(64) / 64 * 2 * np.pi)
    rows = [[_moved(row[None], 0, u * t)[0] for row, u in zip(field, speed, strict=True)]
            for t in range(16)]  # fmt: skip
    yield "sheared", _frames([np.stack(frame) for frame in rows]), 8
    options = {"digits": "sample", "count": 1, "train_videos": 8}
    digits = DataConfig(source="moving_mnist", options=options).open().splits().train
    yield DIGIT, digits.select(times=slice(0, 14)).load(), 4
    if path := os.environ.get(RAIN):
        yield "hourly rain", read_frames(path), 3


def _rows(name: str, frames: Frames, leads: int) -> Iterator[dict[str, object]]:
    training = Training(frames, Climate.of(frames))
    windows = [
        Place(n, s) for n, length in enumerate(frames.lengths) for s in range(length - CONTEXT)
    ]
    if name == DIGIT:
        windows = [place for place in windows if _goes_straight(frames, place, CONTEXT + leads)]
    truth, past = _truth(frames, windows, leads), _past(frames, windows)
    ways: dict[str, Callable[[], Tensor]] = {
        kind: lambda kind=kind: _forecast(kind, training, windows, past, leads)  # type: ignore[misc]
        for kind in COMPARED
    }
    if name == "hourly rain" and find_spec("pysteps"):
        ways["pysteps, Lucas-Kanade"] = lambda: _pysteps(past, leads)
    if name == DIGIT:
        ways["the digit's own speed"] = lambda: _carried(frames, windows, leads)
    for way, make in ways.items():
        errors = (make() - truth).square().nanmean((0, 2, 3, 4)).sqrt()
        yield {"field": name, "forecast": way} | {
            f"lead {lead}": round(error, 4) for lead, error in enumerate(errors.tolist(), start=1)
        }


def _truth(frames: Frames, windows: list[Place], leads: int) -> Tensor:
    """Frames after the context [B,K,C,H,W]; NaN beyond the end."""
    unknown = torch.full((leads, *frames.values.shape[2:]), torch.nan)
    return torch.stack([
        torch.cat([frames.values[n, s + CONTEXT : s + CONTEXT + leads], unknown])[:leads]
        for n, s in windows
    ])  # fmt: skip


def _past(frames: Frames, windows: list[Place]) -> Tensor:
    return torch.stack([frames.values[n, s : s + CONTEXT] for n, s in windows])


def _forecast(
    kind: str, training: Training, windows: list[Place], past: Tensor, leads: int
) -> Tensor:
    """Forecasts [B,K,C,H,W] of a baseline."""
    baseline = BASELINES.find(kind).fit(training)
    following = Following(baseline, training.climate, training.frames.times_from)
    times = np.zeros((CONTEXT + leads, len(windows)))
    _, state = following.along(Stretch((), past, CONTEXT - 1, False), times, None)
    unknown = past[:, :1].expand(-1, leads, -1, -1, -1)
    ahead = Stretch((), torch.cat([past[:, -1:], unknown], dim=1), 1, True)
    made, _ = following.along(ahead, times[CONTEXT - 1 :], state)
    return made[0]


def _goes_straight(frames: Frames, place: Place, length: int) -> bool:
    """Whether a digit is there, and does not bounce, throughout a window."""
    if place.start + length > frames.length:
        return False
    centres = _centres(frames, place, length)
    return bool(np.abs(np.diff(centres, 2, axis=0)).max() < 1.2)  # places are whole points


def _centres(frames: Frames, place: Place, length: int) -> np.ndarray:
    """Rows and columns of the centre of each frame of a window, [L,2]."""
    images = frames.values[place.sequence, place.start : place.start + length][:, 0].numpy()
    return np.array([ndimage.center_of_mass(image) for image in images])


def _carried(frames: Frames, windows: list[Place], leads: int) -> Tensor:
    """The last given frame, moved as its centre moves throughout the window: the best there is."""
    made = []
    for place in windows:
        centres = _centres(frames, place, CONTEXT + leads)
        speed = (centres[-1] - centres[0]) / (len(centres) - 1)
        given = slice(place.start, place.start + CONTEXT)
        last = frames.values[place.sequence, given][-1, 0].numpy()
        moved = [ndimage.shift(last, lead * speed, order=1) for lead in range(1, leads + 1)]
        made.append(torch.from_numpy(np.stack(moved))[:, None])
    return torch.stack(made)


def _pysteps(past: Tensor, leads: int) -> Tensor:
    """Semi-Lagrangian extrapolation by pysteps, of rain in decibels for the motion alone."""
    from pysteps import extrapolation, motion  # type: ignore[import-not-found]
    from pysteps.utils import transformation  # type: ignore[import-not-found]

    flow, extrapolate = motion.get_method("LK"), extrapolation.get_method("semilagrangian")
    made = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for window in past[:, :, 0].double().numpy():
            decibels, _ = transformation.dB_transform(window, threshold=0.1, zerovalue=-15.0)
            made.append(np.nan_to_num(extrapolate(window[-1], flow(decibels), leads)))
    return torch.from_numpy(np.stack(made)).float()[:, :, None]


def _random_field(height: int, width: int) -> np.ndarray:
    """A smooth random field that goes around on both sides, of deviation 1."""
    spectrum = np.fft.fft2(np.random.default_rng(0).normal(size=(height, width)))
    rows, columns = np.fft.fftfreq(height, 1 / height), np.fft.fftfreq(width, 1 / width)
    field = np.fft.ifft2(spectrum * np.exp(-((rows[:, None] ** 2 + columns**2) / 16))).real
    return np.asarray(field / field.std())


def _moved(field: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """A field that goes around, shifted by any distance."""
    down, across = (np.fft.fftfreq(n) * s for n, s in
                    zip(field.shape, (rows, columns), strict=True))  # fmt: skip
    phase = np.exp(-2j * np.pi * (down[:, None] + across))
    return np.asarray(np.fft.ifft2(np.fft.fft2(field) * phase).real)


def _frames(fields: list[np.ndarray]) -> Frames:
    values = torch.from_numpy(np.stack(fields)).float()[None, :, None]
    return Frames(values, (Channel("field"),))
