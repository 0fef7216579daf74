"""Lazy values of every kind of file go to another process, small, and are read there."""

import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from foreign import grib
from framecast.base.workers import Workers
from framecast.datasets.mnist import read_digits
from framecast.datasets.moving_mnist import DrawnVideos, MovingMnist, read_published
from framecast.frames.lazy import LazyValues
from framecast.readers.open import read_frames
from mutations import SEEDS
from processes import first_frames
from videos import noise, write_video

MOST = 8192
"""Bytes of pickled values, whatever the file holds."""


@pytest.fixture(scope="module")
def worker():
    with Workers(1, first_frames, "data.workers") as workers:
        yield workers


def check(values, worker):
    assert isinstance(values, LazyValues)
    assert len(pickle.dumps(values)) < MOST
    expected = first_frames(values)
    got = worker.ask(values).result()
    assert torch.equal(got.nan_to_num(-7), expected.nan_to_num(-7))
    assert pickle.loads(pickle.dumps(values)).fingerprint() == values.fingerprint()


@pytest.mark.parametrize("kind", SEEDS)
def test_a_file_of_any_kind(tmp_path, kind, worker):
    check(read_frames(SEEDS[kind](tmp_path), lazy=True).values, worker)


@pytest.mark.skipif(find_spec("cfgrib") is None, reason="framecast[grib] is not installed")
def test_grib(tmp_path, worker):
    check(read_frames(grib(tmp_path / "x.grib"), lazy=True).values, worker)


@pytest.mark.parametrize("join", ["time", "sequences"])
def test_a_series_of_files(tmp_path, worker, join):
    for place in range(3):
        np.save(tmp_path / f"{place}.npy", np.random.default_rng(place).normal(size=(4, 5, 6)))
    frames = read_frames(tmp_path, join=join, lazy=True)
    first_frames(frames.values)  # files that are open stay here
    check(frames.values, worker)


def test_a_part_of_several_videos(tmp_path, worker):
    paths = [write_video(tmp_path / f"{n}.avi", noise(9, 16, 32)) for n in range(2)]
    check(read_frames(paths).select(slice(1, None), slice(4, None)).values, worker)


def test_the_published_digits_are_mapped_anew(tmp_path, worker):
    array = np.random.default_rng(0).integers(0, 255, (20, 40, 64, 64), np.uint8)
    np.save(tmp_path / "published.npy", array)
    check(read_published(tmp_path / "published.npy").values, worker)


def test_drawn_digits(worker):
    config = MovingMnist(digits="sample", frames=12)
    values = LazyValues.of(DrawnVideos(config, read_digits("sample").train, "train", 3, 0))
    assert torch.equal(worker.ask(values).result(), first_frames(values))
