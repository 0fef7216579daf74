"""Episodes of simulated worlds: the layout of DMLab, the same for the same seed, resumable."""

import json
import math
import shutil
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.base.workers import Workers
from framecast.cli import main
from framecast.datasets.simulate import episodes as module
from framecast.datasets.simulate.episodes import Recorder, record, simulate_episodes
from framecast.datasets.simulate.maze import Maze
from framecast.datasets.simulate.vizdoom import BODY, STRIDE, VizDoom, is_free
from framecast.datasets.simulate.walking import (
    BACK,
    FORWARD,
    LEFT,
    RIGHT,
    Pose,
    explore,
    there_and_back,
)
from processes import ended

FRAMES = 60
KINDS = {
    "vizdoom": VizDoom(frames=FRAMES, size=32, workers=1),
    "maze": Maze(frames=FRAMES, size=32, workers=1),
}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    needed(request.param)
    return request.param


@pytest.fixture(scope="module")
def world(kind):
    return KINDS[kind].open()


def needed(kind):
    """Skip a test where the engine is not installed."""
    library = {"maze": "miniworld"}.get(kind, kind)
    if find_spec(library) is None:
        pytest.skip(f"{library}, of the extra worlds, is not installed")


def headings(episode):
    return 2 * np.arctan2(episode["rot"][:, 3], episode["rot"][:, 0])


def around(angle):
    """An angle from −π to π."""
    return (np.asarray(angle) + math.pi) % (2 * math.pi) - math.pi


class TestWalks:
    def test_it_spins_and_then_turns_where_it_is_stopped(self):
        walk = explore(np.random.default_rng(0), 5, stuck=1.0)
        done = [next(walk)]
        for _ in range(400):
            done.append(walk.send(0.0 if done[-1] == FORWARD else 9.0))
        assert done[:6] == [LEFT] * 5 + [FORWARD]
        text = "".join(map(str, done[6:])).split(str(FORWARD))
        turns = [len(part) for part in text[:-1]]
        assert min(turns) >= 3
        assert max(turns) <= 9
        assert {part[0] for part in text[:-1]} == {str(LEFT), str(RIGHT)}

    def test_it_seldom_turns_where_the_way_is_free(self):
        walk = explore(np.random.default_rng(0), 0, stuck=1.0)
        done = [next(walk)] + [walk.send(9.0) for _ in range(5000)]
        forward = [i for i, action in enumerate(done[:-1]) if action == FORWARD]
        turned = np.mean([done[i + 1] != FORWARD for i in forward])
        assert turned == pytest.approx(0.04, abs=0.01)

    @pytest.mark.parametrize("frames", [2, 3, 40, 41])
    def test_what_was_done_is_undone_in_reverse(self, frames):
        walk = there_and_back(np.random.default_rng(1), 3, 1.0, frames)
        done, place, heading, poses = [next(walk)], 0, 0, [(0, 0)]
        for _ in range(frames - 1):
            action, before = done[-1], place
            heading += {LEFT: 1, RIGHT: -1}.get(action, 0)
            wall = action == FORWARD and place == 2
            place += 0 if wall else {FORWARD: 1, BACK: -1}.get(action, 0)
            poses.append((place, heading))
            done.append(walk.send(float(abs(place - before))))
        walls = sum(
            a == FORWARD and p == q for a, p, q in zip(done, poses, poses[1:], strict=False)
        )
        turn = next(
            i
            for i in range(1, frames)
            if once(poses[i:]) == once(poses[i::-1])[: len(once(poses[i:]))]
        )
        assert turn <= (frames + walls) / 2 + 1


def once(poses):
    """Poses without those that are the same as the one before."""
    return [poses[0], *(b for a, b in pairwise(poses) if a != b)]


class TestEpisodes:
    def test_an_episode_has_the_layout_of_dmlab(self, kind, world):
        episode = record(KINDS[kind], world, 3)
        shapes = {name: (array.shape, array.dtype.name) for name, array in episode.items()}
        names = shapes.pop("action_names")
        assert shapes == {
            "video": ((FRAMES, 32, 32, 3), "uint8"),
            "actions": ((FRAMES,), "int64"),
            "pos": ((FRAMES, 3), "float32"),
            "rot": ((FRAMES, 4), "float32"),
        }
        assert names[0] == (4,)
        assert set(episode["actions"]) == {LEFT, RIGHT, FORWARD} or kind == "maze"

    def test_action_t_leads_from_frame_t_to_the_next(self, kind, world):
        episode = record(KINDS[kind], world, 5)
        turned = around(np.diff(headings(episode)))
        step = math.radians(KINDS[kind].turn)
        expected = {LEFT: step, RIGHT: -step, FORWARD: 0.0}
        wanted = [expected[action] for action in episode["actions"][:-1]]
        # The game rounds angles to 1/65536 of a turn, four times in a step.
        np.testing.assert_allclose(turned, wanted, atol=1e-3 if kind == "vizdoom" else 1e-5)

    def test_steps_forward_go_where_it_looks(self, kind, world):
        episode = record(KINDS[kind], world, 5)
        moved = np.diff(episode["pos"], axis=0)
        actions = episode["actions"]
        # In the game one slides on after a turn, and along walls.
        going = (actions[1:-1] == FORWARD) & (actions[:-2] == FORWARD)
        going &= np.hypot(*moved[1:].T[:2]) > 0.3
        way = np.arctan2(*moved[1:][going].T[1::-1])
        off = np.abs(around(way - headings(episode)[1:-1][going]))
        assert going.sum() > 3
        assert np.median(off) < (0.8 if kind == "vizdoom" else 1e-4)

    def test_it_sees_other_frames_where_it_moves_and_the_same_where_it_stays(self, world):
        world.begin(1)
        first, again = world.view(), world.view()
        assert (first == again).all()
        world.act(LEFT)
        assert np.abs(world.view().astype(int) - first).mean() > 1

    def test_an_episode_follows_from_its_seed_alone(self, kind, world):
        first = record(KINDS[kind], world, 7)
        record(KINDS[kind], world, 8)
        world.act(FORWARD)
        again = record(KINDS[kind], world, 7)
        fresh = record(KINDS[kind], KINDS[kind].open(), 7)
        for other in (again, fresh):
            for name, array in first.items():
                np.testing.assert_array_equal(array, other[name], name)

    def test_other_seeds_are_other_episodes(self, kind, world):
        one, two = (record(KINDS[kind], world, seed)["video"] for seed in (1, 2))
        assert (one != two).mean() > 0.1


def test_each_maze_is_another():
    needed("maze")
    world = KINDS["maze"].open()
    seen = []
    for seed in range(3):
        world.begin(seed)
        seen.append(sorted(room.wall_tex_name for room in world.maze.rooms))
    assert seen[0] != seen[1] != seen[2]


def test_views_come_back_in_reverse_where_the_walk_returns():
    needed("maze")
    settings = Maze(frames=101, size=32, spin=4, walk_kind="return")
    episode = record(settings, settings.open(), 4)
    assert BACK in episode["actions"]
    poses = np.concatenate([episode["pos"], episode["rot"]], axis=1)
    before, seen_at = range(40), []
    for frame in range(60, 95):
        same = [b for b in before if np.abs(poses[frame] - poses[b]).max() < 1e-4]
        if same:
            seen_at.append(same[-1])
            views = episode["video"][[frame, same[-1]]].astype(int)
            assert np.abs(views[0] - views[1]).mean() < 1
    assert len(seen_at) > 20
    assert seen_at == sorted(seen_at, reverse=True)


def test_the_agent_of_vizdoom_comes_back_the_way_it_went():
    needed("vizdoom")
    settings = VizDoom(frames=120, size=32, spin=4, walk_kind="return")
    episode = record(settings, settings.open(), 5)
    places = np.column_stack([episode["pos"][:, :2], headings(episode)])
    moves = np.abs(np.diff(places, axis=0)).max(1) > 1e-6
    kept = np.concatenate([[0], 1 + np.flatnonzero(moves)])  # a wall stopped it elsewhere
    turn = next(n for n, frame in enumerate(kept) if episode["actions"][frame] == BACK)
    lengths = np.hypot(*np.diff(places[:, :2], axis=0).T)
    assert lengths[lengths > 1].min() > 24
    assert lengths.max() < 25
    best = min(
        (np.abs(places[kept[m - k : m + 1]][::-1, :2] - places[kept[m : m + k + 1], :2]).max(), m)
        for m in range(turn - 12, turn + 1)
        if (k := min(m, len(kept) - 1 - m)) > 30
    )
    off, middle = best
    assert off < 0.2
    reach = min(middle, len(kept) - 1 - middle)
    there, back = kept[middle - reach : middle + 1][::-1], kept[middle : middle + reach + 1]
    turned = around(headings(episode)[there] - headings(episode)[back])
    np.testing.assert_allclose(turned, 0, atol=1e-5)
    views = episode["video"].astype(float)
    assert np.abs(views[there] - views[back]).mean() < 2
    assert np.abs(views[there] - views[back[::-1]]).mean() > 10


@given(
    st.tuples(*[st.floats(-60, 60)] * 4).filter(lambda w: math.dist(w[:2], w[2:]) > 0.1),
    st.floats(0, 6.28),
)
def test_a_way_is_free_where_no_point_of_a_wall_lies_within_the_body(wall, heading):
    shares = np.linspace(0, 1, 4001)[:, None]
    points = np.array(wall[:2]) + shares * (np.array(wall[2:]) - np.array(wall[:2]))
    steps = np.linspace(0, STRIDE, STRIDE // 2 + 1)[:, None]
    places = steps * [math.cos(heading), math.sin(heading)]
    nearest = np.abs(points[:, None] - places).max(-1).min()
    assume(abs(nearest - BODY) > 0.1)
    assert is_free(Pose(0, 0, 0, heading), np.array([wall])) == (nearest > BODY)


class Corridor:
    """A world without an engine: a line, at whose end an episode is over."""

    def begin(self, seed):
        self.place, self.seed = 0.0, seed

    def view(self):
        return np.full((16, 16, 3), self.place + self.seed % 200, np.uint8)

    def pose(self):
        return Pose(self.place, 0.0, 0.0, 0.0)

    def act(self, action):
        self.place += action == FORWARD
        return self.place < 6 or self.seed % 3 == 0


class Corridors(Maze):
    def open(self):
        return Corridor()


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


SMALL = Corridors(frames=12, size=16, spin=1, workers=1)
PARTS = MappingProxyType({"train": 5, "validation": 2})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All parts as one process makes them, to be looked at or copied."""
    out = tmp_path_factory.mktemp("whole")
    simulate_episodes(out, "maze", SMALL, PARTS, 0)
    return out


class TestParts:
    settings, counts = SMALL, PARTS

    def simulate(self, out, settings=None, counts=None, seed=0):
        simulate_episodes(out, "maze", settings or self.settings, counts or self.counts, seed)

    def test_files_lie_in_folders_of_parts(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "FOLDER", 3)
        self.simulate(tmp_path)
        found = sorted(str(path) for path in files(tmp_path) if path.suffix == ".npz")
        assert found == [
            *("train/0/0.npz", "train/0/1.npz", "train/0/2.npz", "train/1/3.npz", "train/1/4.npz"),
            *("validation/0/0.npz", "validation/0/1.npz"),
        ]
        said = json.loads((tmp_path / "train" / "simulation.json").read_text())
        assert (said["simulator"], said["frames"], said["episodes"]) == ("maze", 12, 5)
        assert "workers" not in said

    def test_any_number_of_processes_makes_the_same_files(self, whole, tmp_path):
        self.simulate(tmp_path, replace(self.settings, workers=2))
        assert files(tmp_path) == files(whole)

    def test_an_episode_depends_on_seed_part_and_number_and_on_nothing_else(self, tmp_path):
        def make(seed, part, number):
            Recorder(self.settings, seed)((part, number, tmp_path / "a.npz"))
            return (tmp_path / "a.npz").read_bytes()

        places = [(0, "train", 0), (1, "train", 0), (0, "test", 0), (0, "train", 1)]
        made = [make(*place) for place in places]
        assert len(set(made)) == 4
        assert make(0, "train", 0) == made[0]

    def test_what_was_stopped_is_continued(self, whole, tmp_path):
        stopped, begun = tmp_path / "stopped", tmp_path / "stopped" / ".train.begun"
        shutil.copytree(whole, stopped)
        (stopped / "train").rename(begun)
        kept = (begun / "0" / "0.npz").stat().st_mtime_ns
        (begun / "0" / "3.npz").unlink()
        (begun / "0" / ".4.partial.npz").write_bytes(b"half")
        (begun / "0" / "4.npz").unlink()
        self.simulate(stopped)
        assert files(stopped) == files(whole)
        assert (stopped / "train" / "0" / "0.npz").stat().st_mtime_ns == kept

    def test_a_part_that_was_made_otherwise_is_refused(self, whole, tmp_path):
        shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
        before = files(tmp_path)
        with pytest.raises(UserError, match="was made with frames=12, not 13"):
            self.simulate(tmp_path, replace(self.settings, frames=13))
        with pytest.raises(UserError, match="was made with episodes=5, not 6"):
            self.simulate(tmp_path, counts={"train": 6})
        assert files(tmp_path) == before

    def test_a_folder_of_something_else_is_left_alone(self, tmp_path):
        (tmp_path / "train").mkdir()
        (tmp_path / "train" / "thesis.txt").write_text("years of work")
        with pytest.raises(UserError, match="holds no simulated episodes"):
            self.simulate(tmp_path)
        assert (tmp_path / "train" / "thesis.txt").read_text() == "years of work"

    def test_an_episode_that_ends_too_early_is_drawn_anew(self, tmp_path):
        Recorder(self.settings, 0)(("train", 0, tmp_path / "a.npz"))
        with np.load(tmp_path / "a.npz") as made:
            assert len(made["video"]) == 12

    def test_a_world_in_which_all_end_too_early_is_refused(self, tmp_path):
        class Short(Corridor):
            def act(self, action):
                return False

        recorder = Recorder(self.settings, 0)
        recorder.__dict__["world"] = Short()
        with pytest.raises(UserError, match="100 walks ended before 12 frames"):
            recorder(("train", 0, tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vizdoom", "--size", "8"], "size=8: must be from 16 to 480"),
        (["vizdoom", "--turn", "0"], "turn=0.0: must be above 0"),
        (["vizdoom", "--frames", "1"], "frames=1: must be at least 2"),
        (["maze", "--rooms", "1"], "rooms=1: must be at least 2"),
        (["maze", "--step", "2"], "step=2.0: must be above 0 and at most 1"),
        (["maze", "--workers", "0"], "workers=0: must be at least 1"),
        (["vizdoom", "--scenario", "my_way_hom"], "did you mean my_way_home"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, capsys, arguments, words):
    needed("vizdoom")
    out = ["--out", str(tmp_path / "out"), "--train", "1", "--validation", "0", "--test", "0"]
    assert main(
        ["simulate", *arguments, *out, *(["--workers", "1"] * ("--workers" not in arguments))]
    )
    assert words in capsys.readouterr().err


def test_engines_end_with_the_command(tmp_path):
    """ViZDoom is a program of its own, which must not outlive the one that started it."""
    needed("vizdoom")
    with Workers(1, Recorder(KINDS["vizdoom"], 0), "workers") as workers:
        workers.ask(("train", 0, tmp_path / "a.npz")).result()
        group = workers._processes[0].pid
        engines = [pid for pid in processes_of(group) if pid != group]
        assert engines
    assert all(ended(pid, 5) for pid in engines)


def processes_of(group):
    """The processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            found.append(int(stat.parent.name))
    return found
