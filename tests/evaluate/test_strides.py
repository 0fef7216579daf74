"""Where the windows of an evaluation begin: by frames or durations, that may take turns."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.evaluate import evaluate
from framecast.evaluate.strides import strides_of
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.frames import Frames
from framecast.frames.windows import side_by_side
from small import untrained_run


def hourly(length, gap=None):
    times = np.datetime64("2017-01-01", "ns") + np.arange(length) * np.timedelta64(1, "h")
    if gap:
        times[gap:] += np.timedelta64(5, "h")
    return Frames(
        nothing(length), (Channel("z"),), coordinates={"time": Coordinate(("time",), times)}
    )


def nothing(length):
    return torch.zeros(1, length, 1, 2, 2)


@pytest.mark.parametrize(
    ("stride", "expected"),
    [
        (None, ()),
        (3, (3,)),
        ("3", (3,)),
        ("12h", (12,)),
        ("3d,4d", (72, 96)),
        ("3 days, 4 days", (72, 96)),
        (["1d", 6], (24, 6)),
    ],
)
def test_frames_durations_and_turns(stride, expected):
    assert strides_of(hourly(500), stride) == expected


@pytest.mark.parametrize(
    ("stride", "words"),
    [
        ("0", "--stride 0 must be at least 1 frame"),
        (-2, "--stride -2 must be at least 1 frame"),
        ("3d,-4d", "--stride -4d must be longer than nothing"),
        ("3d,", "neither a number of frames nor a duration"),
        ("weekly", "--stride weekly is neither a number of frames nor a duration"),
        ("90 min", "--stride 90 min is 1.5 of its steps of 1 hour: give a whole number of steps"),
    ],
)
def test_what_is_no_stride_is_refused(stride, words):
    with pytest.raises(UserError, match=words):
        strides_of(hourly(50), stride)


def test_a_duration_needs_dates():
    frames = Frames(nothing(9), (Channel("z"),))
    with pytest.raises(UserError, match=r"--stride 3d is a duration, but the frames come every"):
        strides_of(frames, "3d")


@pytest.mark.parametrize(
    ("units", "step", "expected"), [("h", 1, 12), ("min", 30, 24), ("s", 4, 10800)]
)
def test_numbers_that_count_hours_or_the_like_have_durations(units, step, expected):
    """As those of simulated flows and of videos do."""
    axis = Coordinate(("time",), np.arange(9.0) * step, {"units": units})
    frames = Frames(nothing(9), (Channel("z"),), coordinates={"time": axis})
    assert strides_of(frames, "12h") == (expected,)
    with pytest.raises(UserError, match=r"of its steps of .*: give a whole number of steps"):
        strides_of(frames, "1s")


def test_twice_a_week_is_every_seven_days_from_two_first_days():
    """As in the paper of the minimal networks: from 1 January and from 4 January on."""
    frames, length = hourly(24 * 60), 20 + 168
    starts = [place.start for place in side_by_side(frames, length, None, (72, 96))]
    last = 24 * 60 - length
    expected = sorted([*range(0, last + 1, 168), *range(72, last + 1, 168)])
    assert starts == expected


def test_after_a_gap_the_count_begins_anew():
    starts = [place.start for place in side_by_side(hourly(60, gap=25), 4, None, (5, 10))]
    assert starts == [0, 5, 15, 20, 25, 30, 40, 45, 55]


def test_from_the_command_line_to_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    time = np.datetime64("2017-01-01", "ns") + np.arange(24 * 16) * np.timedelta64(1, "h")
    values = rng.normal(size=(24 * 16, 4, 6)).astype("f4")
    data = xr.Dataset({"z": (("time", "y", "x"), values)}, {"time": time})
    data.to_netcdf("x.nc", engine="h5netcdf")
    run = untrained_run(tmp_path / "run", tmp_path / "x.nc")
    command = ["evaluate", str(run), "--data", "x.nc", "--steps", "24", "--out", "out"]
    assert main([*command, "--stride", "3d,4d"]) == 0
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (written["windows"], written["strides"]) == (5, [72, 96])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "which begin 3 days and 4 days apart, in turns" in page

    twice = evaluate([run], data="x.nc", steps=24, stride="3d,4d").models[0]
    context, places = written["context"], [0, 72, 168, 240, 336]
    parts = []
    for number, place in enumerate(places):
        part = data.isel(time=slice(place, place + context + 24))
        part.to_netcdf(f"part{number}.nc", engine="h5netcdf")
        parts.append(evaluate([run], data=f"part{number}.nc", steps=24, context=context))
    squares = [part.models[0].mean("rmse") ** 2 for part in parts]
    np.testing.assert_allclose(twice.mean("rmse"), (sum(squares) / 5).sqrt(), rtol=1e-5)
