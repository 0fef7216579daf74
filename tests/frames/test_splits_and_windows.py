"""Splits without leaks, windows that never cross them, statistics of the training part only."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.frames.frames import Channel, Frames, Piece
from framecast.frames.splits import split
from framecast.frames.statistics import Statistics
from framecast.frames.windows import CropSampler, side_by_side
from small import windows_of


def numbered(sequences, length):
    """Frames whose every value says which frame it is: 1000·sequence + time."""
    number = 1000 * torch.arange(sequences)[:, None] + torch.arange(length)
    values = number[..., None, None, None].expand(-1, -1, 1, 2, 2).float()
    dims = ("time", "y", "x") if sequences == 1 else ("sequence", "time", "y", "x")
    return Frames(values, (Channel("number"),), dims)


def pieces(lengths):
    return [Piece(sequence, 0, length) for sequence, length in enumerate(lengths)]


def numbers(frames):
    return set(frames.values[..., 0, 0, 0].flatten().tolist()) if frames else set()


@given(
    sequences=st.sampled_from([1, 7, 20]),
    validation=st.sampled_from([0.0, 0.2, 0.4]),
    test=st.sampled_from([0.0, 0.2, 0.3]),
)
def test_parts_share_no_frame_and_lose_none(sequences, validation, test):
    frames = numbered(sequences, 20)
    parts = split(frames, validation, test)
    found = [numbers(part) for part in parts]
    assert sum(map(len, found)) == len(set().union(*found)) == len(numbers(frames))
    assert bool(found[1]) == (validation > 0)
    if sequences == 1 and found[2]:
        assert max(found[0]) < min(found[2])


def test_the_test_part_comes_last():
    parts = split(numbered(1, 20), 0.25, 0.25)
    assert [part.length for part in parts] == [10, 5, 5]
    assert max(numbers(parts.train)) < min(numbers(parts.validation))
    assert max(numbers(parts.validation)) < min(numbers(parts.test))


def test_a_share_that_leaves_nothing_is_an_error():
    with pytest.raises(UserError, match=r"test_fraction 0.01 of 20 leaves nothing"):
        split(numbered(1, 20), 0.2, 0.01)


def test_a_folder_holds_the_parts_as_files(tmp_path):
    np.save(tmp_path / "train.npy", np.zeros((8, 3, 3)))
    np.save(tmp_path / "test.npy", np.ones((5, 3, 3)))
    parts = DataConfig(path=str(tmp_path)).open().splits()
    assert (parts.train.length, parts.validation, parts.test.length) == (8, None, 5)
    (tmp_path / "train.npy").unlink()
    with pytest.raises(UserError, match="without a file named train"):
        DataConfig(path=str(tmp_path)).open().splits()


def test_crops_lie_within_one_sequence_and_are_consecutive():
    frames = numbered(5, 12)
    windows = windows_of(frames, length=7)
    sampler = CropSampler(pieces([12] * 5), 7, per_sequence=3, seed=0)
    assert len(sampler) == 15
    for place in sampler:
        found = windows.scaling.denormalise(windows[place].frames)[0, :, 0, 0, 0]
        torch.testing.assert_close(found.diff(), torch.ones(6), rtol=0, atol=1e-2)
        assert found[0].item() == pytest.approx(1000 * place.sequence + place.start, abs=1e-2)


def test_crops_follow_from_seed_and_epoch_alone():
    def crops(seed, epoch):
        sampler = CropSampler(pieces([12] * 5), 7, per_sequence=3, seed=seed)
        sampler.begin_epoch(epoch)
        return list(sampler)

    assert crops(0, 1) == crops(0, 1)
    assert crops(0, 1) != crops(0, 2)
    assert crops(0, 1) != crops(1, 1)


def test_every_start_is_drawn():
    sampler = CropSampler(pieces([10]), 8, per_sequence=60, seed=0)
    assert {start for _, start in sampler} == {0, 1, 2}


def test_windows_side_by_side_do_not_overlap():
    assert side_by_side(numbered(2, 11), 5) == [(0, 0), (0, 5), (1, 0), (1, 5)]
    with pytest.raises(UserError, match="sequences of 11 frames, too short for a window of 12"):
        side_by_side(numbered(2, 11), 12)


def test_normalisation_removes_mean_and_deviation_and_is_undone():
    values = 5 + 3 * torch.randn(2, 6, 3, 4, 5)
    values[:, :, 2] = 7.0  # a channel that never changes
    frames = Frames(values, tuple(map(Channel, "abc")), ("sequence", "time", "y", "x"))
    statistics = Statistics.of(frames)
    normalised = statistics.normalise(values)
    torch.testing.assert_close(normalised.mean((0, 1, 3, 4)), torch.zeros(3), atol=1e-5, rtol=0)
    flat = normalised[:, :, :2].transpose(0, 2).flatten(1)
    torch.testing.assert_close(flat.std(1, correction=0), torch.ones(2))
    assert normalised[:, :, 2].eq(0).all()
    torch.testing.assert_close(statistics.denormalise(normalised), values)
    torch.testing.assert_close(statistics.climatology, values.mean((0, 1)))


def test_frames_are_checked_once():
    values = torch.zeros(2, 3, 1, 2, 2)
    with pytest.raises(UserError, match="1 channels, 2 names"):
        Frames(values, (Channel("a"), Channel("b")), ("n", "time", "y", "x"))
    with pytest.raises(UserError, match="do not fit 2 sequences"):
        Frames(values, (Channel("a"),))
    with pytest.raises(UserError, match="not empty"):
        Frames(values[:, :0], (Channel("a"),), ("n", "time", "y", "x"))


def test_the_fingerprint_tells_data_apart():
    frames = numbered(1, 5)
    other = frames.values.clone()
    other[0, 3, 0, 1, 1] += 1
    assert frames.fingerprint() == numbered(1, 5).fingerprint()
    assert frames.fingerprint() != Frames(other, frames.channels).fingerprint()


def ranged(**attributes):
    values = torch.tensor([10.0, 15.0, 30.0]).view(1, 3, 1, 1, 1)
    return Frames(values, (Channel("light", attributes),))


@pytest.mark.parametrize(
    "attributes", [{"valid_range": [10, 30]}, {"valid_min": 10.0, "valid_max": 30.0}]
)
def test_the_declared_range_becomes_zero_to_one_or_minus_one_to_one(attributes):
    frames = ranged(**attributes)
    for normalise, expected in (("unit", [0.0, 0.25, 1.0]), ("symmetric", [-1.0, -0.5, 1.0])):
        statistics = Statistics.of(frames, normalise)
        normalised = statistics.normalise(frames.values)
        assert normalised.flatten().tolist() == expected
        assert torch.equal(statistics.denormalise(normalised), frames.values)


def test_a_range_that_is_not_declared_is_asked_for():
    for attributes in ({}, {"valid_min": 0.0}, {"valid_range": [5, 5]}):
        with pytest.raises(UserError, match=r"needs the range of light.*valid_range"):
            Statistics.of(ranged(**attributes), "unit")


def test_a_source_says_what_it_reads():
    with pytest.raises(UserError, match=r"unknown data.source 'flies' \(did you mean files\?\)"):
        DataConfig(source="flies")
    for name in ("speed", "path"):
        with pytest.raises(ValueError, match=f"source files: no option '{name}'"):
            DataConfig(options={name: "x.npy"})


def test_an_epoch_may_be_some_of_all_windows_and_the_next_has_others():
    sampler = CropSampler(pieces([12] * 500), 7, per_sequence=1, seed=0, most=100)
    epochs = []
    for epoch in (0, 1):
        sampler.begin_epoch(epoch)
        epochs.append({sequence for sequence, _ in sampler})
    assert [len(sampler), *map(len, epochs)] == [100, 100, 100]
    assert 0 < len(epochs[0] & epochs[1]) < 50
