"""Values that are read a window at a time give what values in memory give."""

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base import limits
from framecast.base.errors import UserError
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.lazy import LazyValues, load
from framecast.frames.statistics import Statistics
from framecast.frames.windows import CropSampler, Windows, side_by_side
from framecast.readers import arrays, gridded
from framecast.readers.open import read_frames
from small import windows_of

SHAPE = (5, 70, 2, 3, 4)


class Recorded:
    """A reader of values in memory that remembers what was asked for."""

    source = "memory"

    def __init__(self, values):
        self.values, self.asked = values, []

    @property
    def shape(self):
        return tuple(self.values.shape)

    def read(self, sequence, start, stop):
        self.asked.append((sequence, start, stop))
        return self.values[sequence, start:stop]

    def fingerprint(self):
        return "recorded"


def frames_of(values):
    names = (Channel("a"), Channel("b"))
    action = Coordinate(("sequence",), np.array(["walk", "run", "walk", "box", "run"]))
    dims = ("sequence", "time", "y", "x")
    return Frames(values, names, dims, {"action": action}, source="test")


@pytest.fixture
def reader():
    offset = torch.tensor([1000.0, -3.0])[:, None, None]
    return Recorded(offset + torch.randn(SHAPE))


@pytest.fixture
def lazy(reader):
    return frames_of(LazyValues.of(reader))


def test_a_part_is_chosen_without_reading_and_is_the_part_of_the_whole(reader, lazy):
    held = frames_of(reader.values)
    for frames in (held, lazy):
        frames = frames.select(slice(1, 5), slice(10, None)).select(slice(1, 3), slice(5, 20))
        assert tuple(frames.values.shape) == (2, 15, 2, 3, 4)
        assert frames.coordinates["action"].values.tolist() == ["walk", "box"]
    assert reader.asked == []
    assert torch.equal(load(frames.values), reader.values[2:4, 15:30])
    assert torch.equal(frames.load().values, reader.values[2:4, 15:30])
    assert reader.asked[:2] == [(2, 15, 30), (3, 15, 30)]


def test_windows_are_the_same_and_no_more_is_read(reader, lazy):
    positions = side_by_side(lazy, 30)
    assert positions == side_by_side(frames_of(reader.values), 30)
    held = windows_of(frames_of(reader.values), 30)
    ours = Windows(lazy, held.scaling, 30)
    assert all(torch.equal(ours[p].frames, held[p].frames) for p in positions)
    assert reader.asked == [(n, start, start + 30) for n, start in positions]


LENGTHS = (70, 9, 40, 1, 23)


@pytest.fixture
def ragged(reader):
    return frames_of(LazyValues.of(reader, LENGTHS))


def test_sequences_may_differ_in_length(reader, ragged):
    assert ragged.lengths == [70, 9, 40, 1, 23]
    assert torch.equal(ragged.values[2, 30:50], reader.values[2, 30:40])
    part = ragged.select(slice(1, 4), slice(5, None))
    assert part.lengths == [4, 35, 0]
    assert part.length == 35  # of the longest that is left
    assert len(part.times) == 35
    assert torch.equal(part.values[1, 10:], reader.values[2, 15:40])
    assert torch.equal(ragged.select(slice(2, 3)).load().values, reader.values[2:3, :40])


def test_windows_end_with_their_sequence(ragged):
    assert side_by_side(ragged, 20) == [(0, 0), (0, 20), (0, 40), (2, 0), (2, 20), (4, 0)]
    for per_sequence, from_each in ((None, [7, 0, 4, 0, 2]), (3, [3, 0, 3, 0, 3])):
        crops = list(CropSampler(ragged.pieces, 10, per_sequence, seed=0))
        assert np.bincount([n for n, _ in crops], minlength=5).tolist() == from_each
        assert all(len(ragged.values[n, start : start + 10]) == 10 for n, start in crops)


@pytest.mark.parametrize("values_at_once", [1, 24 * 10, 1 << 24])
def test_statistics_count_every_frame_once(reader, ragged, monkeypatch, values_at_once):
    monkeypatch.setattr("framecast.frames.statistics.PIXELS", values_at_once)
    frames = torch.cat([reader.values[n, :end] for n, end in enumerate(LENGTHS)]).double()
    statistics = Statistics.of(ragged)
    torch.testing.assert_close(statistics.offset, frames.mean((0, 2, 3)).float())
    torch.testing.assert_close(statistics.scale, frames.std((0, 2, 3), correction=0).float())
    torch.testing.assert_close(statistics.climatology, frames.mean(0).float())
    assert max(stop - start for _, start, stop in reader.asked) <= max(1, values_at_once // 24)


def test_statistics_are_the_same(reader, lazy):
    ours, held = Statistics.of(lazy), Statistics.of(frames_of(reader.values))
    pixels = reader.values.double().transpose(0, 2).flatten(1)
    for statistics in (ours, held):
        torch.testing.assert_close(statistics.offset, pixels.mean(1).float())
        torch.testing.assert_close(statistics.scale, pixels.std(1, correction=0).float())
        mean = reader.values.double().mean((0, 1)).float()
        torch.testing.assert_close(statistics.climatology, mean)


def test_statistics_of_many_frames_examine_some_sequences_spread_evenly():
    reader = Recorded(torch.randn(1, 1, 1, 1, 1).expand(900, 70, 1, 1, 1))
    Statistics.of(Frames(LazyValues.of(reader), (Channel("a"),), ("n", "time", "y", "x")))
    sequences = sorted({sequence for sequence, _, _ in reader.asked})
    assert sequences == list(range(0, 900, 4))
    assert len(sequences) * 70 <= 20_000


def test_infinite_values_are_named_when_they_are_read_and_missing_ones_are_not(reader, lazy):
    reader.values[3, 40, 1, 2, 2] = torch.inf
    assert lazy.values[3, 41:60].isfinite().all()
    with pytest.raises(UserError, match=r"memory: sequence 3 .* infinite values in frames 30 to"):
        lazy.values[3, 30:50]
    reader.values[3, 40, 1, 2, 2] = torch.nan
    assert lazy.values[3, 30:50].isnan().sum() == 1


def test_all_sequences_together_may_not_fit_though_each_does(reader, ragged, monkeypatch):
    monkeypatch.setattr(limits, "UNASKED", 0)
    monkeypatch.setattr(limits, "available_memory", lambda: 8 * 70 * 2 * 3 * 4)
    assert ragged.values[0, :].shape == (70, 2, 3, 4)
    monkeypatch.setattr(limits, "available_memory", lambda: 8 * (70 + 9) * 2 * 3 * 4)
    with pytest.raises(UserError, match="memory: reading 143 frames of 2 × 3 × 4 values"):
        load(ragged.values)


def test_stretches_leave_no_frame_out(lazy):
    with pytest.raises(ValueError, match="in stretches"):
        lazy.values[0, ::2]


def test_the_fingerprint_tells_parts_apart(lazy):
    assert lazy.fingerprint() == frames_of(lazy.values).fingerprint()
    assert lazy.fingerprint() != lazy.select(sequences=slice(1)).fingerprint()
    assert lazy.fingerprint() != lazy.select(times=slice(1, 70)).fingerprint()


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("suffix", [".npy", ".nc", ".zarr"])
def test_large_files_are_read_a_window_at_a_time(tmp_path, monkeypatch, suffix, sequences):
    path = tmp_path / f"large{suffix}"
    values = np.random.default_rng(0).normal(size=(sequences, 9, 2, 3, 4))
    if suffix == ".npy":
        np.save(path, values)
    else:
        dims = ("member", "time", "y", "x")
        both = {name: (dims, values[:, :, c]) for c, name in enumerate("ab")}
        data = xr.Dataset(both, coords={"time": np.arange(9)})
        data.to_netcdf(path) if suffix == ".nc" else data.to_zarr(path, consolidated=False)
    held = read_frames(path)
    for module in (arrays, gridded):
        monkeypatch.setattr(module, "HELD", 4 * values.size - 1)
    lazy = read_frames(path)
    assert isinstance(held.values, torch.Tensor)
    assert isinstance(lazy.values, LazyValues)
    assert torch.equal(load(lazy.values), held.values)
    assert torch.equal(lazy.values[sequences - 1, 2:7], held.values[sequences - 1, 2:7])
    assert lazy.fingerprint() == read_frames(path).fingerprint()
    assert (lazy.channels, lazy.dims) == (held.channels, held.dims)
