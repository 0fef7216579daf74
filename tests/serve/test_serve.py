"""framecast serve: forecasts and streams over HTTP, and what hostile requests meet."""

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest
import torch

from framecast.forecast.predictor import Predictor
from framecast.forecast.stream import Streamer
from framecast.serve.arrays import parse
from framecast.serve.worker import BusyError, LateError, Worker
from globe import CONTEXT, TIMES, all_roles, checkpoint_of, expected, frames_of
from small import untrained_run

client = pytest.importorskip("starlette.testclient")
serving = pytest.importorskip("framecast.serve.app")


@pytest.fixture
def frames():
    return frames_of(["u", "v"])


@pytest.fixture
def serve(frames):
    """Return what calls a server of a small model with some bounds."""
    checkpoint = checkpoint_of(frames)

    def begin(like=None, **bounds):
        app = serving.make_app(Predictor(checkpoint, "cpu"), serving.Bounds(**bounds), like)
        calls = client.TestClient(app, "http://127.0.0.1")
        calls.checkpoint = checkpoint
        return calls

    return begin


def npy(values):
    file = io.BytesIO()
    np.save(file, np.asarray(values))
    return file.getvalue()


def array(response):
    assert response.status_code == 200, response.text
    return torch.from_numpy(np.load(io.BytesIO(response.content)))


def test_a_forecast_is_that_of_the_model(serve, frames):
    calls = serve()
    given = frames.values[:, :CONTEXT]
    wanted = expected(calls.checkpoint, frames)[:, :3]
    torch.testing.assert_close(array(calls.post("/forecast?steps=3", content=npy(given))), wanted)
    one = array(calls.post("/forecast?steps=3", content=npy(given[0])))
    torch.testing.assert_close(one, wanted[0])
    told = calls.post(
        "/forecast?steps=3", json=given.tolist(), headers={"accept": "application/json"}
    )
    torch.testing.assert_close(torch.tensor(told.json()), wanted)


def test_a_stream_goes_on_frame_by_frame_and_after_it_was_restored(serve, frames):
    calls = serve(like=frames)
    name = calls.post("/streams?horizon=2").json()["stream"]
    streamer = Streamer(Predictor(calls.checkpoint, "cpu"), 2, frames)
    now = None
    for place in (0, 1, 3):
        frame, time = frames.values[:, place], str(TIMES[place])
        path = f"/streams/{name}/frames?time={time}"
        found = array(calls.post(path, content=npy(frame)))
        wanted, now = streamer.push(frame, time, now=now)
        torch.testing.assert_close(found, wanted)
    kept = calls.get(f"/streams/{name}/state").content
    other = calls.post("/streams?horizon=2").json()["stream"]
    assert calls.put(f"/streams/{other}/state", content=kept).status_code == 204
    paths = (f"/streams/{which}/frames" for which in (name, other))
    one, two = (array(calls.post(path, content=npy(frames.values[:, 4]))) for path in paths)
    assert torch.equal(one, two)
    assert calls.delete(f"/streams/{name}").status_code == 204
    assert calls.get(f"/streams/{name}/state").status_code == 404


def npz(compress=False, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **arrays)
    return file.getvalue()


def test_forcings_and_actions_come_beside_the_frames_of_a_stream():
    frames, checkpoint = all_roles()
    predictor = Predictor(checkpoint, "cpu")
    app = serving.make_app(predictor, serving.Bounds(), frames)
    calls = client.TestClient(app, "http://127.0.0.1")
    refused = calls.post("/forecast", content=npy(frames.values[:, :CONTEXT, :2]))
    assert "actions beside past frames: push frames to a stream" in refused.text
    told = calls.get("/model").json()
    assert told["forcings"] == [{"name": "wind", "units": "m"}]
    assert told["actions"] == 3
    streamer, now = Streamer(predictor, 2, frames), None
    one, two = (calls.post("/streams?horizon=2").json()["stream"] for _ in range(2))
    for place in range(3):
        time = str(TIMES[place])
        parts = {
            "frames": frames.values[:, place, :2],
            "forcings": frames.values[:, place : place + 3, 3:],
            "actions": frames.actions[:, place : place + 2],
        }
        rest = {"forcings": parts["forcings"], "actions": parts["actions"]}
        wanted, now = streamer.push(parts["frames"], time, **rest, now=now)
        packed = npz(place == 1, **{name: x.numpy() for name, x in parts.items()})
        found = array(calls.post(f"/streams/{one}/frames?time={time}", content=packed))
        torch.testing.assert_close(found, wanted, equal_nan=True)
        nested = json.dumps({name: x.tolist() for name, x in parts.items()}).replace("NaN", "null")
        kind = {"content-type": "application/json"}
        path = f"/streams/{two}/frames?time={time}"
        found = array(calls.post(path, content=nested, headers=kind))
        torch.testing.assert_close(found, wanted, equal_nan=True)


ZEROS = {"frames": np.zeros((1, 2, 6, 8), np.float32)}


@pytest.mark.parametrize(("body", "words"), [
    (npz(**ZEROS, wind=np.zeros(3)), "holds wind: only frames, forcings, actions are read"),
    (npz(forcings=np.zeros(3)), "holds no frames"),
    (npz(**{f"a{i}": np.zeros(1) for i in range(9)}), "holds 9 arrays: at most 3 are read"),
    (npz(compress=True, frames=np.zeros((1, 2, 600, 800))), "too large when it is unpacked"),
    (npz(**ZEROS)[:-30], "no .npz file"),
    (npz(**ZEROS, actions=np.zeros((1, 1, 3))), r"actions must be \[1, 1, 0\], not \[1, 1, 3\]"),
    (npz(**ZEROS, forcings=np.array("text")), "no kind of number"),
])  # fmt: skip
def test_a_body_of_several_arrays_is_not_trusted(serve, body, words):
    calls = serve(body=100_000)
    name = calls.post("/streams").json()["stream"]
    answer = calls.post(f"/streams/{name}/frames", content=body)
    assert answer.status_code == 422
    assert re.search(words, answer.json()["detail"])


@pytest.mark.parametrize(("path", "body", "words"), [
    ("/forecast?step=5", json.dumps([[[[0.0]]]]), "step is not read: only steps is"),
    ("/streams?horizons=5", None, "horizons is not read: only horizon is"),
    ("/forecast?steps=2", "[" + "9" * 400 + "]", "no JSON list of numbers"),
])  # fmt: skip
def test_what_would_be_misread_is_refused(serve, path, body, words):
    kind = {"content-type": "application/json"} if isinstance(body, str) else {}
    answer = serve().post(path, content=body, headers=kind)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_missing_values_are_null_in_json(serve, frames):
    values = frames.values[:, :CONTEXT].clone()
    values[:, 1, 0, 2, 3] = torch.nan
    calls = serve()
    nested = json.loads(json.dumps(values.tolist()).replace("NaN", "null"))
    by_json = array(calls.post("/forecast", json=nested))
    torch.testing.assert_close(by_json, array(calls.post("/forecast", content=npy(values))))
    assert serving.render(values, "application/json").count(b"null") == 1


def test_it_says_how_it_is_and_what_it_serves(serve, frames):
    calls = serve()
    assert calls.get("/health").json()["status"] == "ok"
    model = calls.get("/model").json()
    assert model["grid"] == list(frames.grid)
    assert model["reads"][0] == {"name": "u", "units": "m"}
    calls.post("/forecast?steps=2", content=npy(frames.values[:, :CONTEXT]))
    calls.post("/forecast", content=b"nothing")
    told = calls.get("/metrics").text
    assert 'framecast_requests_total{path="/forecast",status="200"} 1.0' in told
    assert 'framecast_requests_total{path="/forecast",status="422"} 1.0' in told
    assert "framecast_frames_total 2.0" in told
    paths = calls.get("/openapi.json").json()["paths"]
    assert {"/forecast", "/streams", "/streams/{name}/frames", "/health"} <= set(paths)


HUGE = b"\x93NUMPY\x01\x00v\x00" + (
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 9), }".ljust(117) + b"\n"
)
PICKLED = npy(np.array(["<i8"])).replace(b"'<U3'", b"'|O' ")


@pytest.mark.parametrize(("body", "kind", "words"), [
    (b"", "", "no .npy file"),
    (b"\x93NUMPY", "", "no .npy file"),
    (HUGE, "", "is not what its 0 bytes hold"),
    (HUGE.replace(b"9)", b"9("), "", "no .npy file"),
    (PICKLED, "", "no kind of number"),
    (npy(np.zeros((2, 2), complex)), "", "no kind of number"),
    (npy(np.zeros((4, 2, 6, 9))), "", r"frames must be \[2, 6, 8\] \(u, v\), not \[2, 6, 9\]"),
    (npy(np.zeros((0, 2, 6, 8))), "", "the body holds no frame"),
    (npy(np.zeros((6, 8))), "", "not 2-D"),
    (npy(np.zeros((9, 4, 2, 6, 8))), "", "sequences may be at most 4, not 9"),
    (b"[[1, 2], [3]]", "application/json", "no JSON list of numbers of one shape"),
    (b'{"frames": 1}', "application/json", "no JSON list of numbers"),
    (b"[" * 100_000, "application/json", "no JSON list of numbers"),
])  # fmt: skip
def test_a_body_that_cannot_be_used_is_refused_in_words(serve, body, kind, words):
    answer = serve(sequences=4).post("/forecast", content=body, headers={"content-type": kind})
    assert answer.status_code == 422
    assert re.search(words, answer.json()["detail"])


def test_every_size_has_a_limit(serve, frames):
    calls = serve(body=1000, steps=5, streams=1)
    assert calls.post("/forecast", content=npy(frames.values)).status_code == 413
    few = serve(frames=3).post("/forecast", content=npy(frames.values[:, :4]))
    assert few.json()["detail"] == "given frames may be at most 3, not 4"
    assert calls.post("/forecast?steps=6", content=b"").json()["detail"].startswith("steps may be")
    assert calls.post("/forecast?steps=0", content=b"").status_code == 422
    assert calls.post("/streams").status_code == 201
    assert calls.post("/streams").status_code == 429
    assert calls.get("/health", headers={"host": "evil.example"}).status_code == 400


def test_a_stream_refuses_what_does_not_follow(serve, frames):
    calls = serve(like=frames)
    name = calls.post("/streams").json()["stream"]
    path = f"/streams/{name}/frames"
    assert calls.get(f"/streams/{name}/state").status_code == 409
    array(calls.post(f"{path}?time={TIMES[1]}", content=npy(frames.values[:, 1])))
    for time, words in ((str(TIMES[0]), "is no frame after"), ("noon", "none like")):
        answer = calls.post(f"{path}?time={time}", content=npy(frames.values[:, 2]))
        assert answer.status_code == 422
        assert words in answer.json()["detail"]
    two = frames.values[:, 2].repeat(2, 1, 1, 1)
    assert "has 1 sequences" in calls.post(path, content=npy(two)).json()["detail"]
    assert calls.put(f"/streams/{name}/state", content=b"nothing").status_code == 422


def test_a_push_that_takes_too_long_ends(serve, frames):
    calls = serve(like=frames, seconds=0.2)
    name = calls.post("/streams?horizon=1000").json()["stream"]
    answer = calls.post(f"/streams/{name}/frames", content=npy(frames.values[:, 1]))
    assert answer.status_code == 504
    assert calls.get(f"/streams/{name}/state").status_code == 409  # the frame does not count


def test_the_state_of_too_many_sequences_is_refused(serve, frames):
    kept = None
    for most in (3, 2):
        calls = serve(sequences=most)
        name = calls.post("/streams").json()["stream"]
        path = f"/streams/{name}"
        if kept is None:
            three = frames.values[:, 2].repeat(3, 1, 1, 1)
            assert calls.post(f"{path}/frames", content=npy(three)).status_code == 200
            kept = calls.get(f"{path}/state").content
    answer = calls.put(f"{path}/state", content=kept)
    assert answer.status_code == 422
    assert "3 streams, and at most 2" in answer.json()["detail"]


def test_a_full_line_turns_away_and_a_late_job_ends():
    async def try_out():
        worker, hold = Worker(waiting=1, seconds=0.2), threading.Event()
        jobs = [asyncio.ensure_future(worker.run(lambda _: hold.wait(5))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await worker.run(lambda _: None)
        await asyncio.sleep(0.3)
        hold.set()
        assert await jobs[0] is True
        with pytest.raises(LateError):  # it waited for longer than it had
            await jobs[1]
        with pytest.raises(LateError):
            await worker.run(lambda deadline: [deadline.check() for _ in iter(int, 1)])
        assert await worker.run(lambda _: 3) == 3
        worker.close()

    asyncio.run(try_out())


def test_whole_numbers_and_columns_first_are_read_too():
    values = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    assert torch.equal(parse(npy(values), ""), torch.from_numpy(values).float())


def test_the_command_serves_on_the_loopback_until_it_is_stopped(tmp_path):
    np.save(tmp_path / "waves.npy", np.random.default_rng(0).normal(size=(2, 8, 1, 6, 6)))
    (tmp_path / "run").mkdir()
    untrained_run(tmp_path / "run", tmp_path / "waves.npy")
    command = [sys.executable, "-m", "framecast", "serve", str(tmp_path / "run"), "--port", "0"]
    command += ["--like", str(tmp_path / "waves.npy")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = next(
            found[1] for line in process.stderr if (found := re.search(r"(http://127\S+)", line))
        )
        with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:
            assert json.load(answer)["status"] == "ok"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
