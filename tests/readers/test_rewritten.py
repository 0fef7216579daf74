"""What is read from the cache is, to the bit, what is read from the source."""

import os
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import xarray as xr

from foreign import grib
from framecast.base import limits
from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.frames.lazy import load
from framecast.readers import rewritten
from framecast.readers.open import read_frames
from framecast.train import train
from mutations import SEEDS
from small import experiment


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def written(monkeypatch):
    """The entries that were written."""
    entries, write = [], rewritten._write
    monkeypatch.setattr(
        rewritten, "_write", lambda *arguments: entries.append(arguments[1]) or write(*arguments)
    )
    return entries


def bits(values):
    return load(values).numpy().view(np.int32)


def check(path, **selection):
    source, cached = (
        read_frames(path, lazy=True, cache=cache, **selection) for cache in (False, True)
    )
    assert isinstance(cached.values.reader, rewritten.RewrittenReader)
    assert cached.lengths == source.lengths
    for sequence in range(len(source.values)):
        got, expected = (f.values[sequence, :].numpy() for f in (cached, source))
        np.testing.assert_array_equal(got.view(np.int32), expected.view(np.int32))
    assert cached.fingerprint() == source.fingerprint()
    assert cached.names == source.names
    assert cached.dims == source.dims
    assert cached.source == source.source
    assert repr(cached.attributes) == repr(source.attributes)
    assert set(cached.coordinates) == set(source.coordinates)
    for name, coordinate in cached.coordinates.items():
        np.testing.assert_array_equal(coordinate.values, source.coordinates[name].values)
        assert repr(coordinate.attributes) == repr(source.coordinates[name].attributes)
    assert [repr(c) for c in cached.channels] == [repr(c) for c in source.channels]
    assert cached.pieces == source.pieces


@pytest.mark.parametrize("kind", SEEDS)
def test_a_file_of_any_kind(tmp_path, kind):
    check(SEEDS[kind](tmp_path))


@pytest.mark.skipif(find_spec("cfgrib") is None, reason="framecast[grib] is not installed")
def test_grib(tmp_path):
    check(grib(tmp_path / "x.grib"))


def series(folder, days=3):
    for day in range(days):
        data = np.random.default_rng(day).normal(size=(4, 5, 6)).astype(np.float32)
        data[1, 2] = np.nan
        data[2] = -0.0
        hours = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(6, "h")
        dataset = xr.Dataset(
            {"t": (("time", "y", "x"), data, {"units": "K"}), "h": (("y", "x"), np.eye(5, 6))},
            {"time": hours + np.timedelta64(day, "D")},
            {"title": "days"},
        )
        dataset.to_netcdf(folder / f"{day}.nc", engine="h5netcdf")
    return folder


@pytest.mark.parametrize("join", ["time", "sequences"])
def test_a_series_of_files(tmp_path, join):
    (tmp_path / "days").mkdir()
    check(series(tmp_path / "days"), join=join, static=("h",))


def test_sequences_of_unequal_length(tmp_path):
    (tmp_path / "days").mkdir()
    for day, length in enumerate((4, 9, 6)):
        np.save(tmp_path / "days" / f"{day}.npy", np.full((length, 5, 6), day, np.float32))
    check(tmp_path / "days", join="sequences")


def test_it_is_written_once_and_anew_where_anything_changes(tmp_path, written):
    (tmp_path / "days").mkdir()
    folder = series(tmp_path / "days")
    for _ in range(2):
        read_frames(folder, cache=True)
        assert len(written) == 1
    read_frames(folder, variables=["t"], missing=[-9.0], cache=True)
    assert len(written) == 2
    file = folder / "1.nc"
    os.utime(file, ns=(1, 1))
    read_frames(folder, cache=True)
    assert len(written) == 3
    file.unlink()
    read_frames(folder, join="sequences", cache=True)
    assert len(written) == 4


def test_values_come_from_the_cache_and_few_are_held(tmp_path):
    (tmp_path / "days").mkdir()
    folder = series(tmp_path / "days")
    first = read_frames(folder, cache=True)
    assert isinstance(first.values, torch.Tensor)
    np.testing.assert_array_equal(bits(first.values), bits(read_frames(folder).values))
    shutil.rmtree(next(cache_folder("frames").iterdir()) / "values.zarr")
    with pytest.raises(UserError, match=r"the cache of .*days\) cannot be read .*remove"):
        read_frames(folder, cache=True)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((3, 50, 1, 64, 64), (1, 8, 1, 64, 64)),
        ((3, 50, 1, 256, 256), (1, 4, 1, 256, 256)),
        ((1, 5, 2, 721, 1440), (1, 1, 2, 721, 1440)),
        ((1, 5, 10, 721, 1440), (1, 1, 2, 721, 1440)),
        ((1, 5, 1, 4000, 4000), (1, 1, 1, 4000, 4000)),
        ((1, 3, 1, 2, 2), (1, 3, 1, 2, 2)),
    ],
)
def test_chunks_hold_a_frame_or_a_few(shape, chunks):
    assert rewritten._chunks(shape) == chunks


def test_a_disk_that_is_too_small_is_said_before(tmp_path, monkeypatch, written):
    (tmp_path / "days").mkdir()
    folder = series(tmp_path / "days")
    monkeypatch.setattr(limits, "available_disk", lambda path: 100)
    with pytest.raises(UserError, match=r"its cache, .* 100 bytes are free .*FRAMECAST_CACHE"):
        read_frames(folder, cache=True)
    assert not list(cache_folder("frames").glob("*"))


def test_training_is_the_same_with_and_without(tmp_path):
    plain = experiment(tmp_path, epochs=1)
    train(plain, tmp_path / "plain")
    cached = experiment(tmp_path, {"cache": True}, epochs=1)
    train(cached, tmp_path / "cached")
    assert list(cache_folder("frames").iterdir())
    weights = [(tmp_path / run / "last.safetensors").read_bytes() for run in ("plain", "cached")]
    assert weights[0] == weights[1]
    data = [(tmp_path / run / "data.json").read_text() for run in ("plain", "cached")]
    assert data[0] == data[1]


def test_sources_that_have_a_cache_of_their_own_say_so(tmp_path):
    with pytest.raises(ValueError, match=r"data\.cache is not read by data\.source videos"):
        type(experiment(tmp_path).data)(source="videos", cache=True)
