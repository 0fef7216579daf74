"""Moving digits: where they are, how they bounce, and that a video is its seed, part and place."""

import gzip
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.datasets.mnist import SAMPLE, read_digits, read_idx
from framecast.datasets.moving_mnist import (
    DrawnVideos,
    Motion,
    MovingMnist,
    draw,
    draw_motion,
    positions,
    read_published,
)
from framecast.datasets.simulate.digits import simulate
from framecast.evaluate import evaluate
from framecast.frames.lazy import load
from framecast.models import ForecasterConfig
from framecast.readers.folder import read_parts
from framecast.readers.open import read_frames
from framecast.readers.selection import EVERYTHING
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train

SMALL = MovingMnist(digits="sample", frames=12, canvas=40)
DIGITS = read_digits("sample")


def videos(part="train", number=3, seed=0, **changes):
    config = MovingMnist(**{"digits": "sample", "frames": 12} | changes)
    return DrawnVideos(config, getattr(DIGITS, part), part, number, seed)


def walk(start, velocity, steps):
    """Go step by step, and turn round at each edge that is met on the way."""
    place, ahead, places = start, velocity > 0, []
    for _ in range(steps):
        places.append(place)
        left = abs(velocity)
        while left > 0:
            way = min(left, 1 - place if ahead else place)
            place, left = (place + way if ahead else place - way), left - way
            if left > 0:
                place, ahead = (1.0 if ahead else 0.0), not ahead
    return places


class TestMotion:
    @given(
        start=st.floats(0, 1),
        velocity=st.floats(-2.5, 2.5).filter(lambda v: v == 0 or abs(v) > 1e-6),
    )
    def test_digits_reflect_exactly_and_stay_inside(self, start, velocity):
        motion = Motion(np.zeros(1, np.int64), np.array([[start, 0]]), np.array([[velocity, 0]]))
        places = positions(motion, 0, 40)[:, 0, 0]
        assert ((places >= 0) & (places <= 1)).all()
        np.testing.assert_allclose(places, walk(start, velocity, 40), atol=1e-9)

    @given(seed=st.integers(0, 2**64 - 1), speed=st.floats(0, 0.5))
    def test_the_speed_is_the_way_from_frame_to_frame(self, seed, speed):
        motion = draw_motion(MovingMnist(speed=speed, count=3), seed, 7)
        np.testing.assert_allclose(np.linalg.norm(motion.velocity, axis=1), speed, atol=1e-12)
        assert ((motion.chosen >= 0) & (motion.chosen < 7)).all()
        assert ((motion.start >= 0) & (motion.start < 1)).all()

    def test_starts_and_directions_are_uniform(self):
        motions = [draw_motion(MovingMnist(speed=1.0), seed, 10) for seed in range(2000)]
        starts = np.concatenate([m.start for m in motions])
        moments = starts.mean(), starts.var()
        np.testing.assert_allclose(moments, (1 / 2, 1 / 12), rtol=0.02)
        ways = np.concatenate([m.velocity for m in motions])
        np.testing.assert_allclose(ways.mean(0), 0, atol=0.03)
        np.testing.assert_allclose(ways.T @ ways / len(ways), np.eye(2) / 2, atol=0.03)


class TestDrawing:
    @given(
        height=st.integers(1, 5),
        width=st.integers(1, 5),
        places=st.lists(
            st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=3),
            min_size=1,
            max_size=4,
        ),
    )
    def test_each_digit_is_at_the_nearest_pixel_and_the_brighter_one_shows(
        self, height, width, places
    ):
        images = np.random.default_rng(0).integers(1, 256, (3, height, width), dtype=np.uint8)
        canvas = 9
        expected = np.zeros((len(places), canvas, canvas), np.uint8)
        for frame, at in zip(expected, places, strict=True):
            for image, (y, x) in zip(images, at, strict=True):
                top, left = round(y * (canvas - height)), round(x * (canvas - width))
                part = frame[top : top + height, left : left + width]
                part[:] = np.maximum(part, image)
        assert np.array_equal(draw(images, np.array(places), canvas), expected)

    def test_a_digit_of_the_canvas_size_fills_it(self):
        still = videos(canvas=28, count=1).levels(0, 0, 3)
        assert (still == still[0]).all()
        assert still.any()
        with pytest.raises(UserError, match="canvas=27: too small for digits of 28×28"):
            videos(canvas=27)


class TestVideos:
    def test_the_same_for_ever(self):
        bytes_ = videos("test", speed=0.15).levels(2, 0, 12).tobytes()
        assert hashlib.sha256(bytes_).hexdigest()[:16] == "55edb35e7d0edb11"

    @given(start=st.integers(0, 1300), length=st.integers(1, 6))
    def test_any_stretch_of_a_long_video_is_the_same_as_of_a_longer_one(self, start, length):
        stop = start + length
        long, longer = videos(frames=1306, speed=0.15), videos(frames=2000, speed=0.15)
        stretch = long.levels(1, start, stop)
        assert np.array_equal(stretch, longer.levels(1, start, stop))
        single = [long.levels(1, frame, frame + 1)[0] for frame in range(start, stop)]
        assert np.array_equal(stretch, single)

    def test_a_video_does_not_depend_on_how_many_there_are(self):
        few, many = videos(number=3), videos(number=50)
        assert np.array_equal(few.levels(2, 0, 12), many.levels(2, 0, 12))

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 1},
            {"part": "validation"},
            {"count": 3},
            {"speed": 0.2},
            {"canvas": 70},
        ],
    )
    def test_every_setting_changes_it(self, change):
        assert videos().levels(0, 0, 12).tobytes() != videos(**change).levels(0, 0, 12).tobytes()
        assert videos().fingerprint() != videos(**change).fingerprint()

    def test_brightness_is_a_share(self):
        reader = videos()
        levels = torch.from_numpy(reader.levels(1, 3, 9))
        shares = reader.read(1, 3, 9)
        assert shares.shape == (6, 1, 64, 64)
        assert shares.dtype == torch.float32
        assert shares[levels[:, None] == 255].eq(1).all()
        torch.testing.assert_close(shares[:, 0], levels / 255)


class TestDigits:
    def test_parts_share_no_image(self):
        sets = [{image.tobytes() for image in part} for part in DIGITS]
        assert [len(part) for part in sets] == [667, 133, 200]
        assert len(set().union(*sets)) == 1000

    def test_files_may_be_packed_or_plain(self, tmp_path):
        for name in ("train", "t10k"):
            packed = SAMPLE / f"{name}-images-idx3-ubyte.gz"
            (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
        ours = read_digits(str(tmp_path))
        assert all(np.array_equal(a, b) for a, b in zip(ours, DIGITS, strict=True))

    def test_what_is_no_idx_file_of_images_is_refused(self, tmp_path):
        whole = (SAMPLE / "t10k-images-idx3-ubyte.gz").read_bytes()
        plain = gzip.decompress(whole)
        for name, content, message in [
            ("cut.gz", whole[:5000], "cannot be read"),
            ("foreign.gz", b"text", "cannot be read"),
            ("short", plain[:9], "not an IDX file of images"),
            ("labels", b"\0\0\x08\x01" + plain[4:], "not an IDX file of images"),
            ("cut", plain[:-1], "should hold 200 images of 28×28"),
            ("long", plain + b"\0", "should hold 200 images of 28×28"),
        ]:
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UserError, match=message):
                read_idx(tmp_path / name)

    def test_what_is_missing_is_named_with_its_remedies(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path))
        with pytest.raises(UserError, match=r"framecast fetch mnist.*folder.*digits to sample"):
            read_digits("mnist")
        with pytest.raises(UserError, match="has no train-images-idx3-ubyte, nor"):
            read_digits(str(tmp_path))


class TestFiles:
    def test_files_hold_what_the_source_draws(self, tmp_path):
        simulate(tmp_path, SMALL, {"train": 5, "test": 3}, seed=4, batch=2, progress=False)
        options = {"digits": "sample", "frames": 12, "canvas": 40, "seed": 4}
        source = DataConfig(source="moving_mnist", options=options).open().splits()
        for part, drawn in (("train", source.train), ("test", source.test)):
            written = read_frames(tmp_path / f"{part}.zarr")
            drawn = drawn.select(slice(len(written.values)))
            assert torch.equal(written.values, load(drawn.values))
            assert written.names == drawn.names
            assert written.channels[0].valid_range == drawn.channels[0].valid_range == (0, 1)
            assert written.channels[0].units == drawn.channels[0].units
            assert str(written.step) == str(drawn.step)

    def test_a_set_goes_on_where_it_was_stopped(self, tmp_path, monkeypatch):
        simulate(tmp_path / "whole", SMALL, {"train": 5}, batch=5, progress=False)
        levels, left = DrawnVideos.levels, iter(range(3))

        def die(self, sequence, start, stop):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return levels(self, sequence, start, stop)

        with monkeypatch.context() as patch:
            patch.setattr(DrawnVideos, "levels", die)
            with pytest.raises(KeyboardInterrupt):
                simulate(tmp_path / "cut", SMALL, {"train": 5}, batch=2, progress=False)
        with pytest.raises(UserError, match="was begun and not finished"):
            read_parts(tmp_path / "cut")
        with monkeypatch.context() as patch:
            left = iter(range(3))  # two of five were written
            patch.setattr(DrawnVideos, "levels", die)
            simulate(tmp_path / "cut", SMALL, {"train": 5}, batch=2, progress=False)
        whole, cut = (read_frames(tmp_path / n / "train.zarr").values for n in ("whole", "cut"))
        assert torch.equal(whole, cut)

    def test_the_published_set_is_the_test_part_that_is_named(self, tmp_path):
        levels = np.random.default_rng(0).integers(0, 256, (20, 7, 8, 8), dtype=np.uint8)
        np.save(tmp_path / "other.npy", levels)
        options = {"digits": "sample", "test_file": str(tmp_path / "other.npy")}
        named = DataConfig(source="moving_mnist", options=options).open()
        read = named.read(tmp_path / "other.npy", EVERYTHING)
        for frames in (read, named.test(), named.splits().test):
            assert tuple(frames.values.shape) == (7, 20, 1, 8, 8)
            assert frames.channels[0].valid_range == (0, 1)
            stretch = torch.from_numpy(levels[4:9, 3]) / 255
            torch.testing.assert_close(frames.values[3, 4:9][:, 0], stretch)
        np.save(tmp_path / "float.npy", levels / 255)
        with pytest.raises(
            UserError, match=r"published Moving-MNIST is uint8 \[20, 10000, 64, 64\]"
        ):
            read_published(tmp_path / "float.npy")


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"speed": -0.1}, "speed=-0.1: must be 0 or more"),
            ({"count": 0}, "count=0: must be at least 1"),
            ({"train_videos": 0}, "train_videos=0: must be at least 1"),
            ({"test_frames": 0}, "test_frames=0: must be at least 1"),
            ({"digts": "sample"}, "did you mean digits"),
            ({"count": "two"}, "count"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            DataConfig(source="moving_mnist", options=options)

    @pytest.mark.parametrize("key", [{"path": "x"}, {"variables": ["u"]}, {"test_fraction": 0.5}])
    def test_keys_that_are_not_read_are_refused(self, key):
        (name,) = key
        with pytest.raises(ValueError, match=f"data.{name} is not read by data.source"):
            DataConfig(source="moving_mnist", **key)

    def test_test_videos_may_be_longer_and_begin_the_same(self):
        options = {"digits": "sample", "frames": 12}
        short = DataConfig(source="moving_mnist", options=options).open().test()
        options["test_frames"] = 30
        longer = DataConfig(source="moving_mnist", options=options).open()
        assert [part.length for part in longer.splits()] == [12, 12, 30]
        assert torch.equal(longer.test().values[4, :12], short.values[4, :])

    def test_parts_may_be_left_out(self):
        options = {"digits": "sample", "validation_videos": 0, "test_videos": 0}
        source = DataConfig(source="moving_mnist", options=options).open()
        assert source.splits()[1:] == (None, None)
        assert source.test() is None


class TestShrunkDigits:
    def test_a_pixel_is_the_mean_of_its_block(self):
        small = read_digits("sample", shrink=2).test
        assert small.shape[1:] == (14, 14)
        block = DIGITS.test[:, 8:10, 12:14].mean((1, 2))
        assert np.array_equal(small[:, 4, 6], np.rint(block))

    def test_they_move_over_a_canvas_as_much_smaller_in_the_same_way(self):
        options = {"digits": "sample", "shrink": 2, "canvas": 32, "frames": 12}
        frames = DataConfig(source="moving_mnist", options=options).open().splits().train
        assert frames.grid == (32, 32)
        large = videos(canvas=64).read(0, 0, 12).flatten(1).sum(1)
        assert (frames.values[0, 0:12].flatten(1).sum(1) * 4 / large - 1).abs().max() < 0.3

    def test_a_factor_that_does_not_divide_is_named(self):
        with pytest.raises(UserError, match=r"shrink=3: .* images of 28×28"):
            read_digits("sample", shrink=3)


def test_a_network_learns_from_videos_that_are_drawn_and_is_evaluated_far_ahead(tmp_path):
    options = {"digits": "sample", "canvas": 28, "count": 1, "frames": 6, "test_frames": 25}
    options |= {"train_videos": 10**5, "validation_videos": 2, "test_videos": 2}
    data = DataConfig(
        source="moving_mnist", options=options, normalise="symmetric", windows_per_epoch=4
    )
    model = ForecasterConfig(depth=1, hidden=2, output="tanh")
    config = TrainingConfig(context=3, horizon=2, epochs=1, batch_size=2, precision=32)
    run = train(Experiment(data, model, config), tmp_path / "run")
    statistics = load_checkpoint(run).statistics
    assert (statistics.offset.item(), statistics.scale.item()) == (0.5, 0.5)
    evaluation = evaluate([run], steps=20)
    assert (evaluation.steps, evaluation.windows) == (20, 2)
    example = evaluation.models[0].example
    assert ((example >= 0) & (example <= 1)).all()
    assert train(Experiment(data, model, config), run, resume=True) == run
