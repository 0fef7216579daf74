"""The page of a world model: what its server answers, to whom, and what it remembers."""

import base64
import http.client
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest

from framecast import forecast_file
from framecast.base.errors import UserError
from framecast.forecast.play import open_play, walks
from framecast.runs.checkpoint import load_saved
from imagined import NAMES, save, write_episode


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save(tmp_path_factory.mktemp("runs") / "world")


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for number in range(2):
        write_episode(folder / f"{number}.npz", seed=number)
    return folder


@contextmanager
def served(run, episodes, **options):
    with open_play(run, episodes, device="cpu", **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(run, episodes):
    with served(run, episodes) as server:
        yield server


def ask(server, place, content=None, **headers):
    """What the server says: status, and JSON or text."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(server.address + place, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
            kind = answer.headers["Content-Type"]
            return answer.status, json.loads(text) if "json" in kind else text
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def begin(server, episode=0, seed=0):
    return ask(server, "begin", {"episode": episode, "seed": seed})[1]


def step(server, name, action):
    return ask(server, "step", {"name": name, "action": action})


def pixels(said):
    content = np.frombuffer(base64.b64decode(said["frame"]), np.uint8)
    return content.reshape(16, 16, 3)


def test_it_sends_the_page_and_what_belongs_to_it(server):
    status, page = ask(server, "")
    assert status == 200
    assert "play.js" in page
    assert ask(server, "play.js")[0] == ask(server, "play.css")[0] == 200
    about = ask(server, "world")[1]
    assert about["actions"] == list(NAMES)
    assert [each["name"].rsplit("/")[-1] for each in about["episodes"]] == ["0.npz", "1.npz"]
    assert (about["rows"], about["columns"], about["context"]) == (16, 16, 4)


def test_a_walk_sees_what_a_forecast_draws(server, run, episodes, tmp_path):
    out = tmp_path / "a.npz"
    forecast_file(run, episodes / "0.npz", 3, out, starts=["3"], actions="left,forward*2")
    expected = np.load(out)["frames"].transpose(0, 2, 3, 1)
    walk = begin(server)
    with np.load(episodes / "0.npz") as stored:
        np.testing.assert_array_equal(pixels(walk), stored["video"][3])
    for frame, action in zip(expected, (0, 2, 2), strict=True):
        status, said = step(server, walk["walk"], action)
        assert status == 200
        np.testing.assert_allclose(pixels(said), frame, atol=0.51)
        assert said["seconds"] > 0
    assert said["steps"] == 3


def test_the_seed_the_episode_and_the_action_change_what_is_seen(server):
    def seen(action=0, **how):
        return step(server, begin(server, **how)["walk"], action)[1]["frame"]

    first = seen()
    assert seen() == first
    assert first not in (seen(seed=1), seen(episode=1), seen(action=1))


def test_each_page_has_a_walk_of_its_own(server):
    one, other = begin(server)["walk"], begin(server)["walk"]
    alone = [step(server, one, 2)[1]["frame"] for _ in range(3)]
    mixed = [step(server, other, 2)[1]["frame"]]
    step(server, one, 0)
    mixed += [step(server, other, 2)[1]["frame"] for _ in range(2)]
    assert mixed == alone


def test_only_a_few_walks_are_remembered(server):
    first = begin(server)["walk"]
    assert step(server, first, 0)[0] == 200
    later = [begin(server)["walk"] for _ in range(walks.MOST_WALKS)]
    status, said = step(server, first, 0)
    assert status == 409
    assert "begin again" in said["error"]
    assert step(server, later[0], 0)[0] == 200
    assert len(server.walks._walks) == walks.MOST_WALKS


def test_what_is_remembered_of_a_walk_has_a_limit(tmp_path, episodes, monkeypatch):
    own = save(tmp_path / "run", layer="transformer")
    with served(own, episodes) as server:
        walk = begin(server)["walk"]
        size = walks.size_of(server.walks._walks[walk].memory)
        monkeypatch.setattr(walks, "MOST_BYTES", 2 * size)
        answers = [step(server, walk, 0) for _ in range(12)]
    statuses = [status for status, _ in answers]
    assert statuses[0] == 200
    assert statuses[-1] == 409
    assert "has grown to" in answers[statuses.index(409)][1]["error"]


def test_a_recurrent_memory_never_comes_to_it(server):
    walk = begin(server)["walk"]
    sizes = set()
    for _ in range(12):
        step(server, walk, 0)
        sizes.add(walks.size_of(server.walks._walks[walk].memory))
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("place", "content", "status"),
    [
        ("nothing", None, 404),
        ("nothing", {}, 404),
        ("begin", {"episode": 7, "seed": 0}, 409),
        ("begin", {"episode": 0, "seed": -1}, 409),
        ("begin", {"episode": "0", "seed": 0}, 400),
        ("begin", {"episode": 0}, 400),
        ("begin", [0], 400),
        ("step", {"name": "x", "action": 0, "more": 1}, 400),
        ("step", {"name": "x", "action": 0.5}, 400),
        ("step", {"name": "x", "action": 3}, 409),
        ("step", {"name": "x" * 20_000, "action": 0}, 400),
    ],
)
def test_what_is_asked_amiss_is_refused_with_the_reason(server, place, content, status):
    found, said = ask(server, place, content)
    assert found == status
    assert said["error"]


def test_who_does_not_know_the_secret_finds_nothing(server):
    port = server.server_port
    for path in ("/", "/x/", "/x/world", f"/{server.token[:-1]}/world", server.token, "//"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status in (400, 404)
        assert b"actions" not in answer.read()
        connection.close()


def test_a_page_of_another_name_finds_nothing(server):
    assert ask(server, "world", Host="evil.example")[0] == 404
    assert ask(server, "world", Host=f"localhost:{server.server_port}")[0] == 200


def test_it_listens_on_this_computer_alone_under_another_secret_each_time(server, run, episodes):
    assert server.server_address[0] == "127.0.0.1"
    with served(run, episodes) as other:
        assert other.token != server.token
        assert len(other.token) > 20


def test_answers_may_load_nothing_from_elsewhere(server):
    with urllib.request.urlopen(server.address, timeout=30) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


def test_a_model_without_actions_goes_on_by_itself(tmp_path, episodes):
    own = save(tmp_path / "run", actions=0)
    with served(own, episodes) as server:
        assert ask(server, "world")[1]["actions"] == []
        assert step(server, begin(server)["walk"], 0)[0] == 200


def test_what_cannot_be_played_is_refused(run, episodes, server):
    with pytest.raises(UserError, match="no episode has the 30 frames of --context"):
        open_play(run, episodes, context=30)
    with pytest.raises(UserError, match=rf"--port {server.server_port} cannot be had"):
        open_play(run, episodes, port=server.server_port)
    with pytest.raises(UserError, match="--port 70000 cannot be had"):
        open_play(run, episodes, port=70000)
    assert load_saved(run).model.kind == "world"


def test_the_command_says_where_the_page_is_and_ends_by_itself(run, episodes):
    command = [sys.executable, "-m", "framecast", "play", str(run), str(episodes / "0.npz")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Where the tests run in the background of a shell, their children would ignore Ctrl-C.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, **pipes, **heeding)
    try:
        said = process.stdout.readline()
        address = said.split()[1]
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert "A walk through a world model" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert rest == "ended\n"
