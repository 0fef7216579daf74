"""Forecasts of world models: an agent goes on acting, and sees what follows."""

from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from framecast import forecast_file
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.forecast.acting import parse_actions, read_measured
from framecast.forecast.order import EnsembleOrder
from framecast.forecast.play.walks import Walks, size_of
from framecast.forecast.worlds import Dreamer, acts
from framecast.frames.roles import FrameSpec
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import load_saved
from framecast.runs.contents import source_of
from imagined import NAMES, save, write_episode


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save(tmp_path_factory.mktemp("runs") / "world")


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    return write_episode(tmp_path_factory.mktemp("data") / "0.npz")


def forecast(run, episode, out, steps=6, **options):
    forecast_file(run, episode, steps, out, **{"starts": ["7"]} | options)
    return np.load(out)["frames"]


class TestActions:
    def test_names_are_spelled_with_how_often(self):
        done = parse_actions("left, forward*3,right*", NAMES, 3, 7)
        assert done.argmax(1).tolist() == [0, 2, 2, 2, 1, 1, 1]
        assert torch.equal(done.sum(1), torch.ones(7))

    def test_numbers_may_stand_for_names(self):
        assert parse_actions("2,0*2", (), 3, 3).argmax(1).tolist() == [2, 0, 0]

    def test_random_ones_follow_the_seed(self):
        draw = lambda seed: parse_actions("random", NAMES, 3, 200, seed).argmax(1)  # noqa: E731
        assert torch.equal(draw(1), draw(1))
        assert not torch.equal(draw(1), draw(2))
        assert torch.bincount(draw(3)).min() > 40

    def test_nobody_may_know_them(self):
        for word in ("none", "unknown"):
            assert parse_actions(word, NAMES, 3, 4).isnan().all()

    def test_a_word_that_is_also_the_name_of_an_action_must_be_said_clearly(self):
        names = ("none", "forward", "random")
        for word in ("none", "random"):
            with pytest.raises(UserError, match=rf"may be the action of this name.* {word}\*"):
                parse_actions(word, names, 3, 4)
        assert parse_actions("none*", names, 3, 4).argmax(1).tolist() == [0] * 4
        assert parse_actions("unknown", names, 3, 4).isnan().all()

    @pytest.mark.parametrize("suffix", [".npz", ".npy"])
    def test_they_are_read_from_a_file(self, tmp_path, suffix):
        numbers = np.array([1, 2, 0, 0, 1])
        file = tmp_path / f"a{suffix}"
        np.save(file, numbers) if suffix == ".npy" else np.savez(file, actions=numbers)
        assert parse_actions(str(file), NAMES, 3, 4).argmax(1).tolist() == [1, 2, 0, 0]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("left,forwards*3", r"forwards is none of the actions.*did you mean forward"),
            ("left*3", r"are 3 actions, but --steps 5 need as many: write NAME\*"),
            ("left*6", r"are more than the 5 of --steps"),
            ("3", r"3 is none of the actions"),
            ("left,,right", r"write names"),
            ("nowhere.npz", r"nowhere.npz cannot be read"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, text, words):
        with pytest.raises(UserError, match=words):
            parse_actions(text, NAMES, 3, 5)

    def test_a_file_of_other_actions_is_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([0, 7]))
        with pytest.raises(UserError, match="action 7 at 1 is none of the 3"):
            parse_actions(str(tmp_path / "a.npy"), NAMES, 3, 2)
        np.save(tmp_path / "b.npy", np.zeros(3))
        with pytest.raises(UserError, match=r"actions are float64 \[3\]"):
            parse_actions(str(tmp_path / "b.npy"), NAMES, 3, 2)


class TestMeasuredActions:
    def test_they_are_read_from_a_file(self, tmp_path):
        wanted = np.random.default_rng(0).normal(size=(5, 2))
        np.save(tmp_path / "a.npy", wanted)
        np.savez(tmp_path / "a.npz", actions=wanted)
        for name in ("a.npy", "a.npz"):
            read = read_measured(str(tmp_path / name), 2, 4)
            assert torch.equal(read, torch.from_numpy(wanted[:4]).float())

    @pytest.mark.parametrize("text", ["0*", "left,forward", "random"])
    def test_they_have_no_names(self, text):
        with pytest.raises(
            UserError, match=r"no names: give a .npz or .npy .* \[time, 2\], or unkn"
        ):
            read_measured(text, 2, 4)

    @pytest.mark.parametrize(("array", "words"), [
        (np.zeros(5), r"float64 \[5\]; needed are numbers \[time, 2\]"),
        (np.zeros((5, 3)), r"float64 \[5, 3\]; needed"),
        (np.zeros((3, 2)), "has 3 actions, but --steps 4"),
        (np.full((5, 2), np.inf), "not finite"),
    ])  # fmt: skip
    def test_what_does_not_fit_is_refused(self, tmp_path, array, words):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(UserError, match=words):
            read_measured(str(tmp_path / "a.npy"), 2, 4)

    def test_the_network_tells_them_from_numbered_ones(self, run, episode):
        frames = source_of(run).read(episode, Selection())
        assert not FrameSpec.of(frames).continuous_actions
        measured = replace(frames, actions=frames.actions * 0.5)
        assert FrameSpec.of(measured).continuous_actions
        dreamer = Dreamer(load_saved(run), "cpu")
        spec = replace(dreamer.saved.frames, continuous_actions=True)
        object.__setattr__(dreamer.saved, "frames", spec)
        assert acts(dreamer, measured, 0, 7, 4, None, 0).sum().item() == 2.0
        with pytest.raises(UserError, match="measured numbers"):
            acts(dreamer, measured, 0, 7, 4, "0*", 0)
        with pytest.raises(UserError, match="which no key stands for"):
            Walks(dreamer, measured, 4)


class TestForecasts:
    def test_it_goes_on_with_the_actions_of_the_episode(self, run, episode, tmp_path):
        own = forecast(run, episode, tmp_path / "a.npz")
        with np.load(episode) as stored:
            spelled = ",".join(map(str, stored["actions"][7:13]))
        assert own.shape == (6, 3, 16, 16)
        assert own.min() >= 0
        assert own.max() <= 255
        again = forecast(run, episode, tmp_path / "b.npz", actions=spelled)
        np.testing.assert_array_equal(own, again)
        other = forecast(run, episode, tmp_path / "c.npz", actions="left*")
        assert np.abs(own - other).max() > 0

    def test_members_follow_from_the_seed(self, run, episode, tmp_path):
        def members(name, count, seed=0):
            from framecast.forecast.members import Variation

            order = EnsembleOrder(members=count, variation=Variation(seed))
            return forecast(run, episode, tmp_path / name, ensemble=order).swapaxes(0, 1)

        three = members("a.npz", 3)
        assert three.shape[0] == 3
        np.testing.assert_array_equal(members("b.npz", 2), three[:2])
        np.testing.assert_array_equal(members("c.npz", 3), three)
        assert np.abs(three[0] - three[1]).max() > 0
        assert np.abs(members("d.npz", 1, seed=5)[0] - three[0]).max() > 0

    def test_the_context_is_that_of_the_training_or_as_asked_for(self, run, episode, tmp_path):
        frames = {n: forecast(run, episode, tmp_path / f"{n}.npz", context=n) for n in (4, 8)}
        np.testing.assert_array_equal(frames[4], forecast(run, episode, tmp_path / "own.npz"))
        assert np.abs(frames[4] - frames[8]).max() > 0
        with pytest.raises(UserError, match="8 past frames, but 9 are to be read"):
            forecast(run, episode, tmp_path / "no.npz", context=9)

    @pytest.mark.parametrize("name", ["walk.mp4", "walk.gif", "walk.nc"])
    def test_it_is_shown_beside_the_truth(self, run, episode, tmp_path, name):
        out = str(tmp_path / name)
        command = ["forecast", str(run), str(episode), "--start", "7", "--steps", "6", "--out", out]
        assert main(command) == 0
        assert (tmp_path / name).stat().st_size > 1000

    def test_several_members_are_said_to_be_several(self, run, episode, tmp_path, capsys):
        command = f"forecast {run} {episode} --start 7 --steps 2 --out {tmp_path}/f.nc"
        assert main([*command.split(), "--members", "2"]) == 0
        said = capsys.readouterr().out
        assert "2 members" in said
        assert "one member" not in said

    def test_the_episode_is_no_truth_where_other_things_are_done(self, run, episode, tmp_path):
        def width(name, **options):
            forecast_file(run, episode, 3, tmp_path / name, starts=["7"], **options)
            with av.open(tmp_path / name) as film:
                return film.streams.video[0].width

        assert width("own.gif") > 100
        assert width("hidden.gif", actions="none") > 100
        assert width("other.gif", actions="left*") == 16
        with pytest.raises(UserError, match="give one --start, not 2"):
            forecast(run, episode, tmp_path / "a.npz", starts=["5", "7"], actions="left*")

    def test_it_goes_on_beyond_the_end_where_actions_are_named(self, run, episode, tmp_path):
        with pytest.raises(
            UserError, match=r"known for 3 steps after frame 17, but --steps 6 .*left\*"
        ):
            forecast(run, episode, tmp_path / "a.npz", starts=["17"])
        assert len(forecast(run, episode, tmp_path / "b.npz", starts=["-1"], actions="random")) == 6

    def test_a_model_without_actions_needs_none(self, episode, tmp_path):
        own = save(tmp_path / "run", actions=0)
        assert len(forecast(own, episode, tmp_path / "a.npz", starts=["-1"], steps=9)) == 9
        with pytest.raises(UserError, match="trained without actions"):
            forecast(own, episode, tmp_path / "b.npz", actions="left*")

    def test_other_frames_are_refused(self, run, tmp_path):
        file = tmp_path / "0.npz"
        np.savez(
            file,
            video=np.zeros((9, 8, 8, 3), np.uint8),
            actions=np.zeros(9, int),
            action_names=np.array(NAMES),
        )
        with pytest.raises(
            UserError, match=r"on 8×8, but the model reads red, green, blue on 16×16"
        ):
            forecast(run, file, tmp_path / "a.npz")

    @pytest.mark.parametrize(("change", "words"), [
        ({"step": "0.2"}, "every 0.1, but the model was trained on one every 0.2"),
        ({"units": "K"}, "red in counts, but the model was trained on K"),
    ])  # fmt: skip
    def test_frames_of_another_step_or_unit_are_refused(self, run, change, words):
        saved = load_saved(run)
        frames = source_of(run).read(write_episode(run.parent / "e" / "0.npz"), Selection())
        spec = saved.frames
        if units := change.pop("units", None):
            named = [replace(c, attributes={"units": units}) for c in spec.channels]
            change = {"channels": tuple(named)}
            own = [replace(c, attributes={"units": "counts"}) for c in frames.channels]
            frames = replace(frames, channels=tuple(own))
        object.__setattr__(saved, "frames", replace(spec, **change))
        with pytest.raises(UserError, match=words):
            Dreamer(saved, "cpu").check(frames)

    def test_hidden_actions_are_hidden_from_the_given_frames_too(self, run, tmp_path):
        files = [write_episode(tmp_path / f"{n}.npz", np.full(20, n)) for n in (0, 1)]
        drawn = [forecast(run, f, f.with_name(f"o{f.name}"), actions="none") for f in files]
        assert np.array_equal(*drawn)

    def test_who_was_always_told_knows_nothing_of_hidden_actions(self, run, episode):
        dreamer = Dreamer(load_saved(run), "cpu")
        dreamer.check_hiding()
        spec = dreamer.world.spec
        dreamer.world.spec = replace(spec, config=replace(spec.config, drop_actions=0.0))
        with pytest.raises(UserError, match="always told what is done"):
            dreamer.check_hiding()

    def test_of_a_checkpoint_alone_the_run_is_asked_for(self, run, episode, tmp_path):
        with pytest.raises(UserError, match="name the run folder"):
            forecast(run / "best.safetensors", episode, tmp_path / "a.npz")

    def test_an_episode_that_ended_before_the_start_is_named(self, run, tmp_path):
        for number, length in enumerate((20, 14)):
            write_episode(tmp_path / "two" / f"{number}.npz", length=length)
        with pytest.raises(UserError, match="sequence 1 has 14 frames, and none at 19"):
            forecast(run, tmp_path / "two", tmp_path / "a.npz", starts=["-1"], actions="left*")

    def test_what_is_for_forecasters_alone_is_refused(self, run, episode, tmp_path):
        with pytest.raises(UserError, match="are not for world models"):
            forecast(run, episode, tmp_path / "a.npz", forcings=str(episode))


class TestDreamer:
    def test_a_forecast_may_be_taken_up_from_its_memory(self, run, episode):
        dreamer = Dreamer(load_saved(run), "cpu")
        with np.load(episode) as stored:
            frames = torch.from_numpy(stored["video"][:8]).permute(0, 3, 1, 2).float()
        memory = dreamer.observe(frames, torch.eye(3)[[0] * 7])
        actions = list(torch.eye(3)[[0, 1, 2, 2, 1]])
        random = torch.Generator().manual_seed(1)
        whole = list(dreamer.imagine(memory, actions, random))
        random = torch.Generator().manual_seed(1)
        first = list(dreamer.imagine(memory, actions[:2], random))
        rest = list(dreamer.imagine(first[-1].memory, actions[2:], random))
        for one, other in zip(whole, first + rest, strict=True):
            assert torch.equal(one.frame, other.frame)

    def test_what_is_remembered_does_not_grow(self, run):
        dreamer = Dreamer(load_saved(run), "cpu")
        memory = dreamer.observe(torch.rand(4, 3, 16, 16) * 255, torch.eye(3)[[0] * 3])
        sizes = {size_of(i.memory) for i in dreamer.imagine(memory, list(torch.eye(3)[[1] * 30]))}
        assert sizes == {size_of(memory)}

    def test_other_models_are_refused(self, run):
        saved = load_saved(run)
        with pytest.raises(UserError, match="a tokeniser is no world model"):
            Dreamer(replace(saved, model=saved.model.tokeniser), "cpu")
