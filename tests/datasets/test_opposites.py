"""Simulated activities: what tells them apart, what does not, and how they are written."""

import json
from collections import Counter

import numpy as np
import pytest

from framecast.base.errors import UserError
from framecast.base.hidden import unfinished_of
from framecast.datasets.best_guess import read_best_guess
from framecast.datasets.config import DataConfig
from framecast.datasets.simulate import opposites, scenes
from framecast.datasets.simulate.opposites import (
    ACTIVITIES,
    LOOK_ALIKE,
    SimulatedActivities,
    act,
    best_accuracy,
    draw,
    simulate,
)
from framecast.datasets.simulate.things import draw_shape, makers
from framecast.datasets.simulate.video_folders import SETTINGS

CONFIG = SimulatedActivities(frames=9, duration=4)
COUNTS = {"train": 20, "validation": 16, "test": 17}
PAIRS = list(zip(list(ACTIVITIES)[::2], list(ACTIVITIES)[1::2], strict=True))
SHAPES = makers("shapes", 16)["train"]


def seen(name, drawn, config=CONFIG):
    return act(name, config, drawn)


def every_start(name, seed=0):
    """What videos of an activity with one scene follow from, for every start of its phase."""
    drawn = draw(name, CONFIG, SHAPES, seed)
    place, scene = ACTIVITIES[name].phase, drawn.scene
    starts = range(scene.periods[place])
    if ACTIVITIES[name].scene == "curtain":
        starts = (scene.start[0], -scene.start[0] % scene.periods[0])
    for start in starts:
        phases = (*scene.start[:place], start, *scene.start[place + 1 :])
        yield drawn._replace(scene=scene._replace(start=phases))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("seed", [0, 1])
def test_single_frames_of_opposites_have_one_distribution_at_every_time(pair, seed):
    """All starts are equally probable: they are gone through, not drawn."""
    videos = [[seen(name, drawn) for drawn in every_start(name, seed)] for name in pair]
    for time in range(CONFIG.frames):
        one, other = (Counter(video[time].tobytes() for video in every) for every in videos)
        assert one == other


@pytest.mark.parametrize("pair", PAIRS)
def test_a_video_backwards_is_one_of_the_opposite_and_as_probable(pair):
    """Collide and pass are their own opposites in time."""
    timed = ACTIVITIES[pair[0]].scene == "curtain"
    for name, opposite in ((n, n if timed else pair[1 - pair.index(n)]) for n in pair):
        onsets = range(CONFIG.onsets)
        videos, others = (
            Counter(
                seen(own, drawn._replace(onset=onset))[::step].tobytes()
                for drawn in every_start(own)
                for onset in onsets
            )
            for own, step in ((name, -1), (opposite, 1))
        )
        assert videos == others


@pytest.mark.parametrize("scene", LOOK_ALIKE)
@pytest.mark.parametrize("settings", [{}, {"duration": 5}, {"canvas": 64, "frames": 13}])
def test_the_best_guess_is_that_of_all_possible_videos(scene, settings):
    """Activities agree until they are decided: counted over all onsets of some draws."""
    config = SimulatedActivities(**{"frames": 12, "duration": 6} | settings)
    make, names = makers("shapes", config.canvas // 2)["train"], LOOK_ALIKE[scene]
    drawn = [
        [draw(name, config, make, 5)._replace(onset=onset) for name in names]
        for onset in range(config.onsets)
    ]
    videos = [
        [seen(name, one, config) for name, one in zip(names, of_onset, strict=True)]
        for of_onset in drawn
    ]
    for frames in range(1, config.frames + 1):
        right = [
            1 / sum(np.array_equal(video[:frames], other[:frames]) for other in of_onset)
            for of_onset in videos
            for video in of_onset
        ]
        assert np.mean(right) == pytest.approx(best_accuracy(config, frames)[names[0]])


@pytest.mark.parametrize("scene", [name for name in LOOK_ALIKE if name != "curtain"])
@pytest.mark.parametrize("where", ["shapes", "sample"])
def test_one_step_tells_the_way_from_every_phase(scene, where):
    """No two frames that follow one another occur in two activities of a scene."""
    make = makers(where, 16)["train"]
    for name in LOOK_ALIKE[scene]:
        place = ACTIVITIES[name].phase
        found = scenes.SCENES[scene](np.random.default_rng(3), make, 32)
        period = found.periods[place]
        frames = []
        for phase in range(period):
            phases = (*found.start[:place], phase, *found.start[place + 1 :])
            frames.append(np.rint(255 * found.show(phases)).tobytes())
        steps = {
            way: {
                (frames[phase], frames[(phase + way * speed) % period])
                for phase in range(period)
                for speed in (1, 2, 3, 4)
            }
            for way in (-1, 1)
        }
        assert not steps[-1] & steps[1]
        assert all(before != after for before, after in steps[1])


def test_the_guess_after_a_quarter_and_a_half_by_hand():
    """20 onsets; after 8 frames 7 of them were seen, after 16 frames 15."""
    config = SimulatedActivities()
    quarter, half = best_accuracy(config, 8), best_accuracy(config, 16)
    assert quarter["cover"] == pytest.approx(7 / 20 + 13 / 20 / 2)
    assert half["move_up"] == pytest.approx(15 / 20 + 5 / 20 / 6)
    # The cards meet after 6 frames, and are seen again one later.
    assert quarter["pass"] == pytest.approx(1 / 20 + 19 / 20 / 2)
    assert half["collide"] == pytest.approx(9 / 20 + 11 / 20 / 2)
    assert np.mean(list(quarter.values())) == pytest.approx(0.575)
    assert np.mean(list(half.values())) == pytest.approx(0.825)
    assert set(best_accuracy(config, 32).values()) == {1}
    assert best_accuracy(config, 1)["turn_clockwise"] == pytest.approx(1 / 6)


def test_things_move_the_way_that_their_activity_says():
    drawn = draw("move_up", CONFIG, SHAPES, 0)._replace(onset=0, speed=1)
    still = drawn.scene._replace(start=(12, 7, 0))
    before, up = seen("move_up", drawn._replace(scene=still))[:2]
    assert np.array_equal(up, np.roll(before, -1, 0))
    left, right = (seen(n, drawn._replace(scene=still))[1] for n in ("move_left", "move_right"))
    assert np.array_equal(left, np.roll(before, -1, 1))
    assert np.array_equal(right, np.roll(before, 1, 1))


def test_a_thing_turns_clockwise_as_it_is_looked_at():
    dot = np.zeros((16, 16))
    dot[7:9, 13:15] = 1  # on the right
    quarter = scenes.turned(dot, np.pi / 2)
    assert quarter[13:15, 7:9] == pytest.approx(1)  # below: rows count down
    assert scenes.turned(dot, 2 * np.pi) == pytest.approx(dot)
    assert scenes.turned(dot, np.pi / 2) == pytest.approx(np.rot90(dot, -1))


def test_cards_come_back_on_their_own_side_or_on_the_other():
    drawn = draw("pass", CONFIG, SHAPES, 1)._replace(onset=0)
    collide, passed = (seen(name, drawn) for name in ("collide", "pass"))
    assert np.array_equal(collide[0], collide[-1])
    assert np.array_equal(collide[:3], passed[:3])
    assert (passed[-1][:, :13] != collide[-1][:, :13]).any()
    mirrored = drawn.scene._replace(start=(-drawn.scene.start[0] % 32,))
    assert np.array_equal(passed[-1], seen("pass", drawn._replace(scene=mirrored))[0])


def test_a_shape_is_like_no_other_and_fits_when_it_is_turned():
    random = np.random.default_rng(0)
    one, other = draw_shape(random, 16), draw_shape(random, 16)
    assert not np.array_equal(one.cover, other.cover)
    y, x = np.indices((16, 16)) - 7.5
    for thing in (one, other):
        assert thing.cover[np.hypot(y, x) > 8].max() == 0
        assert 0 <= thing.brightness.min() < thing.brightness.max() <= 1
        assert 40 < thing.cover.sum() < 160


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_source_of_labelled_videos_reads_what_was_drawn(tmp_path):
    out = tmp_path / "data"
    simulate(out, CONFIG, COUNTS, seed=3, progress=False)
    options = {"size": [32, 32], "frames": 9, "targets": 1, "seen": [1.0], "strict": True}
    data = DataConfig("video_classes", str(out), ["grey"], options=options).open()
    parts = data.splits()
    for part, count in COUNTS.items():
        frames = getattr(parts, part)
        assert len(frames.values) == count
        assert frames.labels.names == tuple(sorted(ACTIVITIES))
        for place in range(count):
            index = int(frames.coordinates["video"].values[place].split(".")[0])
            name = list(ACTIVITIES)[index % 16]
            assert frames.labels.names[int(frames.labels.numbers[place])] == name
            drawn = draw(name, CONFIG, SHAPES, opposites.trajectory_seed(3, part, index))
            expected = seen(name, drawn)
            assert np.array_equal(frames.values[place, 0:9][:, 0].numpy(), expected)
    guess = read_best_guess(out, list(ACTIVITIES))
    assert guess.shares == pytest.approx([n / 9 for n in range(1, 10)])
    assert guess.at(1 / 3) == pytest.approx(best_accuracy(CONFIG, 3))


def test_a_set_goes_on_where_it_was_stopped_and_is_left_alone_when_complete(tmp_path, monkeypatch):
    whole, cut, calls = tmp_path / "whole", tmp_path / "cut", []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return act(*arguments)

    simulate(whole, CONFIG, COUNTS, progress=False)
    monkeypatch.setattr(opposites, "act", counted)
    with pytest.raises(KeyboardInterrupt):
        simulate(cut, CONFIG, COUNTS, progress=False)
    assert (cut / "train").is_dir()
    assert not (cut / "validation").exists()
    simulate(cut, CONFIG, COUNTS, progress=False)
    assert len(calls) == sum(COUNTS.values()) + 1
    assert files(cut) == files(whole)
    simulate(cut, CONFIG, COUNTS, progress=False)
    assert len(calls) == sum(COUNTS.values()) + 1


def test_a_part_that_is_not_finished_is_not_read(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(opposites, "act", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "data", CONFIG, COUNTS, progress=False)
    unfinished_of(tmp_path / "data" / "train").mkdir()
    with pytest.raises(UserError, match="train was begun and not finished"):
        DataConfig("video_classes", str(tmp_path / "data")).open().splits()


@pytest.mark.parametrize("changed", [{"seed": 1}, {"speed": 1}, {"objects": "sample"}])
def test_each_setting_changes_the_videos_and_is_kept(tmp_path, changed):
    settings = {key: value for key, value in changed.items() if key != "seed"}
    other = SimulatedActivities(frames=9, duration=4, **settings)
    counts = {"test": 16}
    simulate(tmp_path / "a", CONFIG, counts, progress=False)
    simulate(tmp_path / "b", other, counts, seed=changed.get("seed", 0), progress=False)
    one, another = (
        {k: v for k, v in files(tmp_path / n).items() if k.endswith(".avi")} for n in "ab"
    )
    assert one.keys() == another.keys()
    assert one != another
    key, value = next(iter(changed.items()))
    assert json.loads((tmp_path / "b" / SETTINGS).read_text())[key] == value
    with pytest.raises(UserError, match=f"was made with {key}="):
        simulate(tmp_path / "a", other, counts, seed=changed.get("seed", 0), progress=False)


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else than simulated videos"):
        simulate(tmp_path, CONFIG, COUNTS, progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canvas": 48}, "canvas=48: must be 32 or 64"),
        ({"frames": 12}, "frames=12: must be above duration=12"),
        ({"duration": 0}, "duration=0: must be at least 1"),
        ({"speed": 5}, "speed=5: must be at least 1 and at most 4"),
        ({"speed": 0}, "speed=0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError, match=message):
        SimulatedActivities(**settings)


def test_each_activity_must_have_a_video(tmp_path):
    with pytest.raises(UserError, match="test=15: must be at least 16, a video of each activity"):
        simulate(tmp_path, CONFIG, COUNTS | {"test": 15}, progress=False)
