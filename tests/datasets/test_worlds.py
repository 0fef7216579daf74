"""Episodes with actions, in the layouts in which DMLab, Minecraft and Habitat are published."""

import math

import numpy as np
import pytest
import torch

from framecast import forecast_file, load_checkpoint
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.datasets.simulate.episodes import write_arrays
from framecast.datasets.simulate.walking import Pose
from framecast.frames.roles import FrameSpec
from framecast.frames.windows import fitting_actions
from framecast.readers.selection import EVERYTHING
from videos import noise, write_video

LENGTH = 12


def frames_of(number, length=LENGTH, size=16):
    return noise(length, size, size, seed=number)


def write_dmlab(folder, number, length=LENGTH, write=np.savez, **arrays):
    file = folder / f"{number}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    actions = np.arange(length) % 3
    write(file, **{"video": frames_of(number, length), "actions": actions} | arrays)
    return file


def write_mp4(folder, name, length=LENGTH, actions=None, rate=20):
    """An episode as Minecraft's are: MPEG-4 part 2, and the actions beside it."""
    file = write_video(
        folder / f"{name}.mp4", frames_of(length, length, 32), rate, "mpeg4", "yuv420p"
    )
    actions = np.arange(length) % 4 if actions is None else actions
    np.savez(file.with_suffix(".npz"), actions=np.asarray(actions, np.int32))
    return file


@pytest.fixture
def dmlab(tmp_path):
    """As published: plain files, 0.npz, 1.npz ... in a numbered folder for each worker."""
    for part, workers in (("train", 2), ("test", 1)):
        for worker in range(workers):
            for number in (0, 2, 10):
                write_dmlab(tmp_path / "dmlab" / part / str(worker), number + 100 * worker)
    return tmp_path / "dmlab"


@pytest.fixture
def minecraft(tmp_path):
    for part in ("train", "test"):
        for number in range(4):
            actions = np.r_[0, np.arange(LENGTH) % 4]
            write_mp4(tmp_path / "mc" / part / "0", f"{number:06d}", LENGTH + 1, actions)
    return tmp_path / "mc"


def source(name, path, **options):
    shares = {n: options.pop(n) for n in list(options) if n.endswith("fraction")}
    return DataConfig(name, str(path), options=options, **shares).open()


def done(frames, sequence=0):
    """Numbers of the actions of a sequence; None where none is known."""
    rows = frames.actions[sequence]
    return [None if row.isnan().any() else int(row.argmax()) for row in rows]


class TestDMLab:
    def test_episodes_come_by_number_as_they_are_stored(self, dmlab):
        train = source("dmlab", dmlab, validation_fraction=0.0).splits().train
        assert train.coordinates["sequence"].values.tolist() == [
            *("train/0/0.npz", "train/0/2.npz", "train/0/10.npz"),
            *("train/1/100.npz", "train/1/102.npz", "train/1/110.npz"),
        ]
        assert tuple(train.values.shape) == (6, LENGTH, 3, 16, 16)
        for place, number in enumerate([0, 2, 10, 100, 102, 110]):
            expected = torch.from_numpy(frames_of(number)).permute(0, 3, 1, 2).float()
            assert torch.equal(train.values[place, 3:9], expected[3:9])

    def test_action_t_is_done_after_frame_t(self, dmlab):
        train = source("dmlab", dmlab, validation_fraction=0.0).splits().train
        assert done(train) == [t % 3 for t in range(LENGTH)]
        assert train.action_names[:3] == ("left", "right", "forward")
        assert train.actions.shape[-1] == 5

    def test_the_pairing_of_the_authors_code_can_be_had(self, dmlab):
        train = source("dmlab", dmlab, validation_fraction=0.0, action_shift=1).splits().train
        assert done(train) == [*((t + 1) % 3 for t in range(LENGTH - 1)), None]

    def test_validation_is_held_out_of_training_by_the_seed(self, dmlab):
        def names(part, **options):
            parts = source("dmlab", dmlab, validation_fraction=0.34, **options).splits()
            return set(getattr(parts, part).coordinates["sequence"].values.tolist())

        assert len(names("train")) == 4
        assert names("train") | names("validation") == names("train", seed=3) | names(
            "validation", seed=3
        )
        assert not names("train") & names("validation")
        assert any(names("train", seed=seed) != names("train") for seed in (1, 2, 3))
        assert len(names("test")) == 3

    def test_a_folder_for_validation_says_itself(self, dmlab):
        write_dmlab(dmlab / "validation" / "0", 7)
        parts = source("dmlab", dmlab, validation_fraction=0.5).splits()
        assert [len(part.values) for part in parts] == [6, 1, 3]

    @pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
    def test_packed_and_plain_files_are_read_alike_and_one_is_not_copied(
        self, tmp_path, monkeypatch, write
    ):
        monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
        write_dmlab(tmp_path / "a" / "train" / "0", 5, write=write)
        train = source("dmlab", tmp_path / "a", validation_fraction=0.0).splits().train
        assert not (tmp_path / "cache").exists()
        expected = torch.from_numpy(frames_of(5)).permute(0, 3, 1, 2).float()
        assert torch.equal(train.values[0, 2:5], expected[2:5])
        assert (tmp_path / "cache").exists() == (write is np.savez_compressed)

    def test_other_frames_are_another_fingerprint(self, tmp_path):
        def fingerprint(number, **arrays):
            write_dmlab(tmp_path / "a" / "train" / "0", 1, video=frames_of(number), **arrays)
            frames = source("dmlab", tmp_path / "a", validation_fraction=0.0).splits().train
            return frames.fingerprint()

        first = fingerprint(1)
        assert fingerprint(1) == first
        assert fingerprint(2) != first
        assert fingerprint(1, actions=np.zeros(LENGTH, int)) != first

    def test_episodes_may_differ_in_length(self, tmp_path):
        for number, length in ((0, 5), (1, 9)):
            write_dmlab(tmp_path / "train" / "0", number, length)
        train = source("dmlab", tmp_path, validation_fraction=0.0).splits().train
        assert train.lengths == [5, 9]
        assert done(train)[4:] == [1, None, None, None, None]


class TestMinecraftAndHabitat:
    def test_action_t_led_to_frame_t(self, minecraft):
        train = source("minecraft", minecraft, validation_fraction=0.0).splits().train
        stored = [0, *(t % 4 for t in range(LENGTH))]
        assert done(train) == [*stored[1:], None]
        assert train.action_names == ("none", "forward", "left", "right")
        assert tuple(train.values.shape) == (4, LENGTH + 1, 3, 32, 32)
        assert str(train.step) == "0.05"

    def test_videos_are_decoded_when_they_are_first_read(self, minecraft, tmp_path, monkeypatch):
        monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
        train = source("minecraft", minecraft, validation_fraction=0.0).splits().train
        assert not (tmp_path / "cache").exists()
        seen = train.values[1, 4:6]
        assert len(list((tmp_path / "cache" / "videos").glob("*/frames.bin"))) == 1
        assert (
            seen - torch.from_numpy(frames_of(13, 13, 32)).permute(0, 3, 1, 2)[4:6]
        ).abs().mean() < 60

    def test_frames_are_resized_where_it_is_asked_for(self, minecraft):
        train = source("minecraft", minecraft, validation_fraction=0.0, size=[8, 8]).splits().train
        assert tuple(train.values[0, 0:2].shape) == (2, 3, 8, 8)

    def test_habitat_is_the_same_layout_with_actions_of_its_own(self, tmp_path):
        write_mp4(tmp_path / "train" / "scans", "house_0", rate=25)
        train = source("habitat", tmp_path, validation_fraction=0.0).splits().train
        assert train.action_names == ("stop", "forward", "left", "right")
        assert done(train) == [*((t + 1) % 4 for t in range(LENGTH - 1)), None]

    def test_naming_actions_does_not_shift_them(self, minecraft):
        names = np.array(["none", "forward", "left", "right"])
        for file in (minecraft / "train").rglob("*.npz"):
            np.savez(file, actions=np.load(file)["actions"], action_names=names)
        train = source("minecraft", minecraft, validation_fraction=0.0).splits().train
        assert done(train) == [*(t % 4 for t in range(LENGTH)), None]


class TestEpisodes:
    def test_several_may_be_named(self, tmp_path):
        files = [write_dmlab(tmp_path / "e", number) for number in (3, 1)]
        reader = source("episodes", tmp_path, action_names=list("abc"), action_shift=0)
        assert len(reader.read(files, EVERYTHING).values) == 2
        assert len(reader.read(str(tmp_path / "e" / "*.npz"), EVERYTHING).values) == 2

    def test_a_simulation_that_was_stopped_is_not_read(self, tmp_path):
        for part in (".train.begun", ".test.begun"):
            write_dmlab(tmp_path / part / "0", 1)
        with pytest.raises(UserError, match=r"is not finished .*framecast simulate once more"):
            source("dmlab", tmp_path).splits()

    @pytest.mark.parametrize("names", [np.array([b"up", b"down", b"stay"]), np.array("stay")])
    def test_names_are_read_however_they_are_stored(self, tmp_path, names):
        write_dmlab(tmp_path / "train" / "0", 0, actions=np.zeros(LENGTH, int), action_names=names)
        train = source("dmlab", tmp_path, validation_fraction=0.0).splits().train
        assert train.action_names == tuple(np.atleast_1d(names).astype(str).tolist())

    def test_a_folder_of_videos_with_actions_beside_them(self, tmp_path):
        for number in range(10):
            write_mp4(tmp_path, f"walk {number}")
        names = {"action_names": ["a", "b", "c", "d"], "action_shift": 0}
        parts = source("episodes", tmp_path, validation_fraction=0.2, test_fraction=0.1, **names)
        assert [len(part.values) for part in parts.splits()] == [7, 2, 1]
        assert done(parts.splits().train) == [t % 4 for t in range(LENGTH)]

    def test_what_can_be_read_in_two_ways_is_refused(self, tmp_path):
        write_mp4(tmp_path / "train", "walk")
        settings = {"validation_fraction": 0.0}
        with pytest.raises(UserError, match=r"walk\.mp4 does not name its actions: .*action_names"):
            source("episodes", tmp_path, **settings).splits()
        settings["action_names"] = list("abcd")
        with pytest.raises(UserError, match=r"two ways: set data\.options\.action_shift"):
            source("episodes", tmp_path, **settings).splits()

    def test_names_in_files_count_before_those_of_the_data_set(self, tmp_path):
        write_dmlab(tmp_path / "train" / "0", 0, action_names=np.array(["up", "down", "stay"]))
        train = source("dmlab", tmp_path, validation_fraction=0.0).splits().train
        assert train.action_names == ("up", "down", "stay")
        given = source("dmlab", tmp_path, validation_fraction=0.0, action_names=list("abc"))
        assert given.splits().train.action_names == ("a", "b", "c")

    def test_poses_become_coordinates(self, tmp_path):
        poses = [Pose(t, 2 * t, 3, math.radians(10 * t)) for t in range(LENGTH)]
        arrays = {
            "pos": np.stack([pose.position for pose in poses]),
            "rot": np.stack([pose.rotation for pose in poses]),
        }
        write_dmlab(tmp_path / "train" / "0", 0, **arrays)
        train = source("dmlab", tmp_path, validation_fraction=0.0).splits().train
        expected = {"x": 1.0, "y": 2.0, "heading": math.radians(10)}
        for name, step in expected.items():
            found = train.coordinates[f"agent_{name}"]
            assert found.dims == ("sequence", "time")
            np.testing.assert_allclose(found.values[0], step * np.arange(LENGTH), atol=1e-5)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"actions": np.array([0, 1, 9] * 4)}, r"action 9 of frame 2 is none of the 5 actions"),
            ({"actions": np.array([0, -1, 0] * 4)}, r"action -1 of frame 1 is none"),
            ({"actions": np.zeros(11, int)}, r"actions has 11 entries, but the video has 12"),
            ({"actions": np.zeros(12)}, r"actions is float64 \[12\]; needed is the number"),
            ({"actions": np.zeros((12, 2), int)}, r"actions is int64 \[12, 2\]; needed"),
            ({"pos": np.zeros((3, 3))}, r"pos has 3 entries, but the video has 12 frames"),
            ({"video": frames_of(0)[..., :2]}, r"video is uint8 \[12, 16, 16, 2\]; needed is"),
            ({"video": frames_of(0).astype(float)}, r"video is float64"),
        ],
    )
    def test_what_does_not_fit_is_named_with_its_file(self, tmp_path, arrays, words):
        write_dmlab(tmp_path / "train" / "0", 3, **arrays)
        with pytest.raises(UserError, match=r"3\.npz.*" + words):
            source("dmlab", tmp_path, validation_fraction=0.0).splits()

    def test_frames_of_two_sizes_are_refused(self, tmp_path):
        write_dmlab(tmp_path / "train" / "0", 0)
        write_dmlab(tmp_path / "train" / "0", 1, video=frames_of(1, size=8))
        with pytest.raises(UserError, match=r"1\.npz has frames of 8×8, but .*0\.npz of 16×16"):
            source("dmlab", tmp_path, validation_fraction=0.0).splits()

    def test_a_file_without_video_is_named(self, tmp_path):
        (tmp_path / "train" / "0").mkdir(parents=True)
        np.savez(tmp_path / "train" / "0" / "0.npz", images=frames_of(0))
        with pytest.raises(UserError, match=r"0\.npz has no array video; it has images"):
            source("dmlab", tmp_path, validation_fraction=0.0).splits()

    @pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
    def test_a_file_that_was_cut_is_named(self, tmp_path, write):
        file = write_dmlab(tmp_path / "train" / "0", 0, write=write)
        file.write_bytes(file.read_bytes()[:-400])
        with pytest.raises(UserError, match=r"0\.npz cannot be read as a \.npz file"):
            source("dmlab", tmp_path, validation_fraction=0.0).splits()

    def test_missing_actions_are_named_and_may_be_left_out(self, minecraft):
        (minecraft / "train" / "0" / "000002.npz").unlink()
        with pytest.raises(UserError, match=r"000002\.mp4 has no actions: 000002\.npz .*--no-act"):
            source("minecraft", minecraft, validation_fraction=0.0).splits()
        train = (
            source("minecraft", minecraft, validation_fraction=0.0, with_actions=False)
            .splits()
            .train
        )
        assert train.actions is None
        assert len(train.values) == 4

    def test_a_folder_of_nothing_is_refused(self, tmp_path):
        with pytest.raises(UserError, match="holds no episodes"):
            source("habitat", tmp_path).splits()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"action_shift": 2}, "action_shift 2 must be 0 or 1"),
            ({"action_names": ["a", "a"]}, "different names"),
            ({"rate": 0.0}, "rate 0.0 must be positive"),
            ({"size": [3]}, r"size \[3\] must be"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, options, words):
        with pytest.raises(ValueError, match=words):
            source("episodes", "nowhere", **options)


def trained(tmp_path, data, *more):
    keys = {
        "data.source": "dmlab",
        "data.path": data,
        "data.validation_fraction": "0.34",
        "data.normalise": "symmetric",
        "model.hidden": "4",
        "model.depth": "1",
        "training.context": "3",
        "training.horizon": "2",
        "training.epochs": "1",
    }
    arguments = [str(part) for key, value in keys.items() for part in (f"--{key}", value)]
    (tmp_path / "empty.yaml").write_text("{}")
    out = str(tmp_path / "run")
    return main(["train", str(tmp_path / "empty.yaml"), *arguments, *more, "--out", out]), out


class TestRuns:
    def test_a_forecast_follows_its_actions(self, tmp_path, dmlab):
        code, run = trained(tmp_path, dmlab)
        assert not code
        spec = load_checkpoint(run).frames
        assert (spec.actions, spec.action_names[2]) == (5, "forward")
        other = write_dmlab(tmp_path / "other", 0, actions=np.full(LENGTH, 2))
        outs = [tmp_path / "a.npz", tmp_path / "b.npz"]
        for file, out in zip((dmlab / "test" / "0" / "0.npz", other), outs, strict=True):
            forecast_file(run, file, 4, out, starts=["4"])
        first, second = (np.load(out)["frames"] for out in outs)
        assert first.shape == (4, 3, 16, 16)
        assert np.abs(first - second).max() > 1e-3

    def test_no_actions_trains_without_them(self, tmp_path, dmlab):
        write_dmlab(dmlab / "train" / "0", 4, actions=np.full(LENGTH, 77))
        assert trained(tmp_path, dmlab)[0] == 2
        code, run = trained(tmp_path, dmlab, "--no-actions")
        assert not code
        assert load_checkpoint(run).frames.actions == 0


def test_actions_are_matched_by_their_names(tmp_path):
    write_dmlab(tmp_path / "train" / "0", 0, action_names=np.array(["forward", "left", "jump"]))
    frames = source("dmlab", tmp_path).read(tmp_path / "train" / "0" / "0.npz", EVERYTHING)
    settings = {"channels": frames.channels, "grid": frames.grid, "step": "1", "actions": 4}
    known = FrameSpec(**settings, action_names=("left", "back", "jump", "forward"))
    matched = fitting_actions(frames, known)[0].argmax(-1).tolist()
    assert matched == [3, 0, 2] * 4
    unknown = FrameSpec(**settings, action_names=("left", "back", "right", "forward"))
    with pytest.raises(UserError, match="the action jump is none of those"):
        fitting_actions(frames, unknown)


def test_what_the_simulator_writes_is_read(tmp_path):
    arrays = {"video": frames_of(0), "actions": np.zeros(LENGTH, np.int64)}
    write_arrays(tmp_path / "train" / "0" / "0.npz", arrays)
    train = source("dmlab", tmp_path, validation_fraction=0.0).splits().train
    assert torch.equal(
        train.values[0, :], torch.from_numpy(frames_of(0)).permute(0, 3, 1, 2).float()
    )
