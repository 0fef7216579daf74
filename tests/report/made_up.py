"""Evaluations that are made up: forecasts of a known error, on windows of a known number."""

import numpy as np
import torch

from framecast.evaluate import Evaluation, Forecasts
from framecast.evaluate.blocks import assign
from framecast.frames.batch import Place
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.metrics import MetricChoice, Subject, Truth, prepare

CONTEXT, STEPS, GRID = 2, 4, (8, 12)
AIR = (Channel("air", {"units": "K"}),)


def frames_of(values, channels=AIR):
    """One sequence of frames every 6 hours on a grid of degrees."""
    time = np.datetime64("2020-01-01", "ns") + np.arange(values.shape[1]) * np.timedelta64(6, "h")
    coordinates = {
        "time": Coordinate(("time",), time),
        "lat": Coordinate(("lat",), np.linspace(60, 20, values.shape[3])),
        "lon": Coordinate(("lon",), np.linspace(-130, -60, values.shape[4])),
    }
    return Frames(values, channels, ("time", "lat", "lon"), coordinates)


def made_up(
    forecasts,
    windows=40,
    metrics=None,
    channels=AIR,
    baselines=1,
    members=1,
):
    """An evaluation of forecasts, the last of which are baselines.

    Args:
        forecasts: by label, what makes a forecast [M,B,S,C,H,W] of the truth [B,S,C,H,W].
        windows: how many there are.
        metrics: which are taken.
        channels: of the frames.
        baselines: how many of the forecasts are.
        members: of the largest ensemble.
    """
    length, random = CONTEXT + STEPS, torch.Generator().manual_seed(0)
    shape = (1, windows * length, len(channels), *GRID)
    frames = frames_of(torch.randn(shape, generator=random), channels)
    windowed = frames.values[0].reshape(windows, length, *shape[2:])
    subject = Subject(
        frames=frames, channels=channels, leads=STEPS, ranges=None, images=False,
        climatology=False, periodic=False, training=lambda: frames, members=members,
    )  # fmt: skip
    measure = prepare(metrics or MetricChoice(), subject)
    places = [Place(0, n * length) for n in range(windows)]
    blocks = torch.tensor(assign(places, length))
    truth = Truth(windowed[:, 1:], None, tuple(Place(0, p.start + 1) for p in places))
    reference = measure.reference(truth)
    made = []
    for label, forecast in forecasts.items():
        predictions = forecast(windowed[:, 1:])
        scores = measure.scores(predictions, reference)
        gathered = scores.gather(blocks, int(blocks.max()) + 1)
        example = predictions[:, 0, CONTEXT - 1 :]
        made.append(Forecasts(label, (), (gathered,), example))
    count = len(made) - baselines
    first = frames.select(times=slice(0, length))
    return Evaluation(first, windows, CONTEXT, tuple(made[:count]), tuple(made[count:]), measure)


def off_by(*errors, members=1, seed=1):
    """A forecast whose error has a standard deviation at each lead time, as many as STEPS."""

    def forecast(truth):
        random = torch.Generator().manual_seed(seed)
        noise = torch.randn((members, *truth.shape), generator=random)
        size = torch.tensor([errors[0]] * (CONTEXT - 1) + list(errors))
        return truth + noise * size[:, None, None, None]

    return forecast
