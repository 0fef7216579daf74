"""Streams: frames that come in one by one are forecast as those of a file are."""

import json
from dataclasses import replace

import cftime
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from framecast.base.errors import UserError
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import rollout
from framecast.forecast.standing import save_now
from framecast.forecast.stream import Stream, Streamer
from framecast.frames.moment import time_like, time_text
from globe import CONTEXT, GRID, STEPS, TIMES, all_roles, checkpoint_of, expected, frames_of


def streamer_of(checkpoint, horizon=STEPS, like=None):
    return Streamer(Predictor(checkpoint, "cpu"), horizon, like)


def pushed(streamer, frames, count, times=None, **beside):
    """What follows the last of some frames that are pushed one by one."""
    read = [frames.names.index(c.name) for c in streamer.spec.of_role("prognostic")]
    now = None
    for place in range(count):
        given = {name: values(place) for name, values in beside.items()}
        time = None if times is None else times[place]
        frame = frames.values[:, place, read]
        leads, now = streamer.push(frame, time, **given, now=now)
    return leads, now


@pytest.mark.parametrize("layer", ["min_conv_lstm", "conv_lstm", "conv_s5", "transformer"])
def test_frames_one_by_one_are_forecast_as_those_of_a_file(layer):
    frames = frames_of(["u", "v"])
    checkpoint = checkpoint_of(frames, layer=layer)
    leads, now = pushed(streamer_of(checkpoint), frames, CONTEXT)
    torch.testing.assert_close(leads, expected(checkpoint, frames))
    assert now.frames == CONTEXT


def test_all_that_a_model_reads_can_be_pushed():
    frames, checkpoint = all_roles()
    wind = frames.names.index("wind")
    horizon = 3
    leads, _ = pushed(
        streamer_of(checkpoint, horizon, frames),
        frames,
        CONTEXT,
        TIMES,
        forcings=lambda place: frames.values[:, place : place + horizon + 1, [wind]],
        actions=lambda place: frames.actions[:, place : place + horizon],
    )
    wanted = expected(checkpoint, frames)[:, :horizon]
    torch.testing.assert_close(leads, wanted, equal_nan=True)


def test_frames_that_do_not_come_count_as_missing():
    frames = frames_of(["u", "v"], gaps=True)
    checkpoint = checkpoint_of(frames, {"flagged": ("u", "v")})
    values = frames.values.clone()
    values[:, 2] = torch.nan
    wanted = expected(checkpoint, replace(frames, values=values))
    streamer, now = streamer_of(checkpoint, like=frames), None
    for place in (0, 1, 3):
        leads, now = streamer.push(values[:, place], str(TIMES[place]), now=now)
    torch.testing.assert_close(leads, wanted, equal_nan=True)
    assert now.frames == 4


def test_streams_beside_each_other_do_not_know_of_each_other():
    checkpoint = checkpoint_of(frames_of(["u", "v"]))
    random = torch.Generator().manual_seed(4)
    frames = 10 + torch.randn(3, 5, 2, *GRID, generator=random)
    frames[1, 2:4] = torch.nan
    streamer = streamer_of(checkpoint, 2)

    def follow(streams):
        now = None
        for place in range(5):
            leads, now = streamer.push(frames[streams, place], now=now)
        return leads

    together = follow([0, 1, 2])
    for stream in range(3):
        torch.testing.assert_close(together[stream], follow([stream])[0])


@pytest.mark.parametrize("layer", ["conv_tt_lstm", "transformer", "conv_s5", "min_conv_exp_lstm"])
def test_a_saved_stream_goes_on_in_another_program(tmp_path, layer):
    frames = frames_of(["u", "v"])
    checkpoint_of(frames, layer=layer).save(tmp_path / "best.safetensors")
    stream = Stream(tmp_path, 2, frames)
    for place in range(3):
        stream.push(frames.values[:, place], TIMES[place])
    stream.save(tmp_path / "now.safetensors")
    other = Stream(tmp_path, 2, frames)
    other.load(tmp_path / "now.safetensors")
    assert other.now.time == TIMES[2]
    one, two = (s.push(frames.values[:, 3], TIMES[3]) for s in (stream, other))
    assert torch.equal(one, two)


def test_a_saved_stream_of_another_model_is_refused(tmp_path):
    frames = frames_of(["u", "v"])
    checkpoint_of(frames).save(tmp_path / "best.safetensors")
    stream = Stream(tmp_path)
    with pytest.raises(UserError, match="no frame came in yet"):
        stream.save(tmp_path / "now.safetensors")
    stream.push(frames.values[:, 0])
    stream.save(tmp_path / "now.safetensors")
    (tmp_path / "other").mkdir()
    checkpoint_of(frames, hidden=5).save(tmp_path / "other" / "best.safetensors")
    with pytest.raises(UserError, match="another model"):
        Stream(tmp_path / "other").load(tmp_path / "now.safetensors")
    for name in ("best.safetensors", "absent"):
        with pytest.raises(UserError, match="does not hold where streams stand"):
            stream.load(tmp_path / name)


def changed(path, change):
    """A saved stream in which some tensors are others."""
    with safe_open(path, framework="pt") as content:
        metadata = content.metadata()
        names = content.keys()
        tensors = {name: content.get_tensor(name) for name in names}
    save_file(tensors | change(tensors), path, metadata)


@pytest.mark.parametrize(("change", "words"), [
    (lambda t: {"last": torch.zeros(2_000_000, 0, *GRID)}, r"last is \[2000000, 0"),
    (lambda t: {"last": t["last"][:, :1].contiguous()}, "last is"),
    (lambda t: {"last": t["last"].double()}, "float64"),
    (lambda t: {"last": t["last"] * torch.nan}, "last has values that are not finite"),
    (lambda t: {"frame": torch.zeros(1, 7, 3, 3)}, "frame is"),
    (lambda t: {"frame": t["frame"] * torch.inf}, "frame has values that are not finite"),
    (lambda t: {"state.0": t["state.0"] * torch.nan}, r"state\.0 has values that are not numbers"),
    (lambda t: {"state.0": t["state.0"].double()}, "float64"),
    (lambda t: {"state.0": t["state.0"][..., :1].contiguous()}, r"state\.0 is"),
])  # fmt: skip
def test_a_state_that_does_not_fit_is_refused(tmp_path, change, words):
    frames = frames_of(["u", "v"])
    checkpoint_of(frames).save(tmp_path / "best.safetensors")
    stream = Stream(tmp_path, 2, frames)
    stream.push(frames.values[:, 0], TIMES[0])
    stream.save(tmp_path / "now.safetensors")
    changed(tmp_path / "now.safetensors", change)
    with pytest.raises(UserError, match=words):
        stream.load(tmp_path / "now.safetensors")


def test_a_state_of_a_later_format_is_refused(tmp_path):
    frames = frames_of(["u", "v"])
    streamer, file = streamer_of(checkpoint_of(frames)), tmp_path / "now.safetensors"
    _, now = streamer.push(frames.values[:, 0])
    save_now(now, streamer.predictor.checkpoint, file)
    with safe_open(file, framework="pt") as content:
        said = json.loads(content.metadata()["framecast.stream"])
        names = content.keys()
        tensors = {name: content.get_tensor(name) for name in names}
    save_file(tensors, file, {"framecast.stream": json.dumps(said | {"format": 2})})
    with pytest.raises(UserError, match="format 2 is of another version"):
        streamer.restored(file)


def test_no_more_streams_are_restored_than_may_be(tmp_path):
    frames = frames_of(["u", "v"])
    streamer = streamer_of(checkpoint_of(frames))
    _, now = streamer.push(frames.values[:, 0].expand(3, -1, -1, -1))
    save_now(now, streamer.predictor.checkpoint, tmp_path / "now.safetensors")
    assert len(streamer.restored(tmp_path / "now.safetensors", 3).last) == 3
    with pytest.raises(UserError, match="holds 3 streams, and at most 2"):
        streamer.restored(tmp_path / "now.safetensors", 2)


AXES = {
    "datetime64": TIMES[:5],
    "timedelta64": TIMES[:5] - TIMES[0],
    "noleap": np.array([cftime.DatetimeNoLeap(2000, 2, 27 + n) for n in (0, 1)]
                       + [cftime.DatetimeNoLeap(2000, 3, n) for n in (1, 2, 3)]),
    "360_day": np.array([cftime.datetime(2000, 2, n, calendar="360_day") for n in range(26, 31)]),
    "numbers": np.arange(5) * 0.1,
}  # fmt: skip


@pytest.mark.parametrize("kind", AXES)
def test_a_stream_goes_on_whatever_its_times_are(tmp_path, kind):
    frames = frames_of(["u", "v"])
    axis = replace(frames.coordinates["time"], values=AXES[kind])
    frames = replace(
        frames, values=frames.values[:, :5], coordinates=frames.coordinates | {"time": axis}
    )
    streamer, now, named = streamer_of(checkpoint_of(frames), like=frames), None, None
    for place in range(5):
        frame, time = frames.values[:, place], AXES[kind][place]
        wanted, now = streamer.push(frame, time, now=now)
        found, named = streamer.push(frame, time_text(time), now=named)
        assert torch.equal(found, wanted)
        assert named.time == now.time == time
        save_now(now, streamer.predictor.checkpoint, tmp_path / "now.safetensors")
        now = streamer.restored(tmp_path / "now.safetensors")
        assert now.time == time


@pytest.mark.parametrize(("kind", "time", "words"), [
    ("datetime64", "NaT", "it is missing"),
    ("datetime64", "20200106", "a date of UTC is needed"),
    ("datetime64", "5", "a date of UTC is needed"),
    ("datetime64", "now", "a date of UTC is needed"),
    ("datetime64", "2020-01-06T00:00+02:00", "a date of UTC is needed"),
    ("datetime64", "3020-01-06", "beyond the dates"),
    ("timedelta64", 6, "a duration is needed"),
    ("timedelta64", "NaT", "none like"),
    ("noleap", "2000-02-29", "none like"),
    ("noleap", "spring", "a date is needed"),
    ("noleap", cftime.datetime(2000, 2, 28, calendar="360_day"), "of the calendar 360_day"),
    ("noleap", TIMES[0], "none like"),
    ("numbers", float("nan"), "it is missing"),
])  # fmt: skip
def test_a_time_that_the_axis_cannot_have_is_refused(kind, time, words):
    with pytest.raises(UserError, match=words):
        time_like(time, AXES[kind])


@pytest.mark.parametrize("time", ["2020-01-06T06:00:00Z", "2020-01-06 06:00", "2020-01-06T06"])
def test_a_date_may_be_written_in_several_ways(time):
    assert time_like(time, AXES["datetime64"]) == np.datetime64("2020-01-06T06")


def test_a_push_may_be_stopped_between_frames():
    frames = frames_of(["u", "v"])
    streamer, pauses = streamer_of(checkpoint_of(frames), 3, frames), []
    _, now = streamer.push(frames.values[:, 0], TIMES[0], between=lambda: pauses.append(1))
    assert len(pauses) == 2  # the first lead comes with the frame
    streamer.push(frames.values[:, 4], TIMES[4], now=now, between=lambda: pauses.append(1))
    assert len(pauses) == 2 + 3 + 2


@pytest.mark.parametrize(("place", "words"), [
    (0, "is no frame after"),
    (1, "is no frame after"),
    (2000, "at most 1000 may be missing"),
    (2.5, "frames come every 6 h"),
])  # fmt: skip
def test_times_run_forward_by_whole_steps(place, words):
    frames = frames_of(["u", "v"])
    streamer = streamer_of(checkpoint_of(frames), like=frames)
    _, now = streamer.push(frames.values[:, 1], TIMES[1])
    with pytest.raises(UserError, match=words):
        streamer.push(
            frames.values[:, 2], TIMES[0] + np.timedelta64(int(place * 6 * 60), "m"), now=now
        )


def test_what_a_model_needs_is_named():
    frames, checkpoint = all_roles()
    with pytest.raises(UserError, match="time_of_day, insolation, latitude, grid_spacing, relief"):
        streamer_of(checkpoint)
    streamer = streamer_of(checkpoint, 1, frames)
    frame = frames.values[:, 0, :2]
    with pytest.raises(
        UserError, match=r"frame must be \[1, 2, 6, 8\] \(u, v\), not \[1, 1, 6, 8\]"
    ):
        streamer.push(frame[:, :1])
    with pytest.raises(UserError, match=r"forcings must be \[1, 2, 1, 6, 8\] \(wind\), not none"):
        streamer.push(frame)
    wind = frames.values[:, :2, 3:]
    with pytest.raises(UserError, match=r"actions must be \[1, 1, 3\], not none"):
        streamer.push(frame, forcings=wind)
    actions = frames.actions[:, :1]
    with pytest.raises(UserError, match="push each frame with its time"):
        streamer.push(frame, forcings=wind, actions=actions)
    _, now = streamer.push(frame, TIMES[0], forcings=wind, actions=actions)
    with pytest.raises(UserError, match="what was done meanwhile is not known"):
        streamer.push(frame, TIMES[5], forcings=wind, actions=actions, now=now)
    plain = streamer_of(checkpoint_of(frames_of(["u", "v"])))
    with pytest.raises(UserError, match="name a file of frames like those of the training"):
        plain.push(frame, TIMES[0])


@pytest.mark.parametrize(("name", "number", "words"), [
    ("frame", torch.inf, "frame: some values are infinite; one that is missing is NaN"),
    ("forcings", -torch.inf, "forcings: some values are infinite"),
    ("actions", torch.nan, "actions must be known at each step"),
    ("actions", torch.inf, "actions must be known at each step"),
])  # fmt: skip
def test_numbers_that_would_spoil_a_stream_are_refused(name, number, words):
    frames, checkpoint = all_roles()
    streamer = streamer_of(checkpoint, 1, frames)
    given = {
        "frame": frames.values[:, 0, :2].clone(),
        "forcings": frames.values[:, :2, 3:].clone(),
        "actions": frames.actions[:, :1].clone(),
    }
    given[name].view(-1)[0] = number
    with pytest.raises(UserError, match=words):
        streamer.push(given.pop("frame"), TIMES[0], **given)


@pytest.mark.parametrize(
    "kind", [np.float64, np.float32, torch.float64, torch.float16, torch.int64]
)
def test_frames_may_be_of_any_type_of_number(kind):
    frames = frames_of(["u", "v"])
    streamer = streamer_of(checkpoint_of(frames))
    whole = frames.values[:, 0].round()
    given = whole.to(kind) if isinstance(kind, torch.dtype) else whole.numpy().astype(kind)
    assert torch.equal(streamer.push(given)[0], streamer.push(whole)[0])
    checkpoint = streamer.predictor.checkpoint
    first, wanted = (next(rollout(checkpoint, each[:, None])) for each in (given, whole))
    assert torch.equal(first, wanted)


def test_what_is_masked_is_missing():
    frames = frames_of(["u", "v"])
    streamer = streamer_of(checkpoint_of(frames, {"flagged": ("u", "v")}))
    values = frames.values[:, 0].numpy().copy()
    values[0, 0, 2] = -9999
    masked = np.ma.masked_equal(values, -9999)
    assert torch.equal(streamer.push(masked)[0], streamer.push(masked.filled(np.nan))[0])


def test_a_forecast_of_fewer_frames_than_none_is_refused():
    frames = frames_of(["u", "v"])
    checkpoint = checkpoint_of(frames)
    assert list(rollout(checkpoint, frames.values, 0)) == []
    with pytest.raises(UserError, match="steps -3"):
        rollout(checkpoint, frames.values, -3)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
def test_each_frame_holds_one_of_every_stream(before, after):
    frames = frames_of(["u", "v"])
    streamer = streamer_of(checkpoint_of(frames))
    frame = frames.values[:1, 0]
    _, now = streamer.push(frame.expand(before, -1, -1, -1))
    with pytest.raises(UserError, match=rf"{before} streams? came before, and now {after}"):
        streamer.push(frame.expand(after, -1, -1, -1), now=now)


def test_a_time_between_whole_ones_is_none_of_them():
    frames = frames_of(["u", "v"])
    axis = replace(frames.coordinates["time"], values=np.arange(frames.length))
    counted = replace(frames, coordinates=frames.coordinates | {"time": axis})
    streamer = streamer_of(checkpoint_of(counted), like=counted)
    _, now = streamer.push(frames.values[:, 0], 0)
    _, now = streamer.push(frames.values[:, 1], 1.0, now=now)
    with pytest.raises(UserError, match=r"time 2\.9 is none like 0"):
        streamer.push(frames.values[:, 2], 2.9, now=now)
