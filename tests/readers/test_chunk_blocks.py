"""Chunks of several frames are decoded once where windows in them follow one another."""

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.frames.lazy import load
from framecast.readers import blocks, gridded
from framecast.readers.open import read_frames


@pytest.fixture
def decoded(monkeypatch):
    """The shapes of what is read of files."""
    shapes, values_of = [], gridded.values_of
    monkeypatch.setattr(
        gridded, "values_of", lambda v, source: shapes.append(v.shape) or values_of(v, source)
    )
    return shapes


def write(path, chunks, shape=(6, 50, 8, 9)):
    """Members of a series, some of whose values are missing, in chunks."""
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values[2, 4:7, 3] = np.nan
    dataset = xr.Dataset(
        {
            "t": (("member", "time", "y", "x"), values),
            "u": (("member", "time", "y", "x"), -values),
        },
        {"time": np.datetime64("2020-01-01", "ns") + np.arange(50) * np.timedelta64(1, "h")},
    )
    if path.suffix == ".zarr":
        encoding = {name: {"chunks": chunks} for name in "tu"}
        dataset.to_zarr(path, encoding=encoding, consolidated=False)
    else:
        encoding = {name: {"chunksizes": chunks} for name in "tu"}
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


@pytest.mark.parametrize("name", ["x.zarr", "x.nc"])
@pytest.mark.parametrize(
    "chunks", [(1, 1, 8, 9), (1, 7, 8, 9), (1, 50, 4, 3), (4, 7, 8, 9), (6, 50, 8, 9)]
)
def test_windows_are_the_same_in_any_chunks(tmp_path, name, chunks):
    path = write(tmp_path / name, chunks)
    held, lazy = read_frames(path).values, read_frames(path, lazy=True).values
    random = np.random.default_rng(1)
    for _ in range(40):
        sequence, (start, stop) = random.integers(6), sorted(random.integers(0, 51, 2))
        got = lazy[int(sequence), int(start) : int(stop)]
        assert torch.equal(got.nan_to_num(7), held[sequence, start:stop].nan_to_num(7))
    assert torch.equal(load(lazy[2:5, 10:40]).nan_to_num(7), held[2:5, 10:40].nan_to_num(7))


@pytest.mark.parametrize(("chunks", "reads"), [((1, 10, 8, 9), 5), ((3, 10, 8, 9), 5)])
def test_windows_of_one_chunk_decode_it_once(tmp_path, decoded, chunks, reads):
    values = read_frames(write(tmp_path / "x.zarr", chunks), lazy=True).values
    decoded.clear()
    for start in range(46):
        for sequence in range(chunks[0]):
            values[sequence, start : start + 5]
    assert len(decoded) == 2 * reads  # of two variables


def test_no_more_is_kept_than_allowed(tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(blocks, "_kept", type(blocks._kept)())
    monkeypatch.setattr(blocks, "KEPT", 4 * 4 * 10 * 2 * 8 * 9)  # four chunks
    values = [
        read_frames(write(tmp_path / f"{n}.zarr", (1, 10, 8, 9)), lazy=True).values
        for n in range(2)
    ]
    for start in range(0, 50, 10):
        for one in values:
            one[0, start : start + 10]
    assert len(blocks._kept) == 4
    monkeypatch.setattr(blocks, "KEPT", 1)
    values[1][3, 0:10]
    assert len(blocks._kept) == blocks.LEAST
    del values, one
    assert len(blocks._kept) == 0


def test_of_chunks_that_are_too_large_parts_are_read(tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(gridded, "LARGEST", 4 * 2 * 10 * 8 * 9 - 1)
    values = read_frames(write(tmp_path / "x.zarr", (1, 10, 8, 9)), lazy=True).values
    decoded.clear()
    values[0, 2:5]
    assert decoded == [(1, 3, 8, 9)] * 2
    assert values.chunks is None


def test_a_series_of_files_knows_the_chunks_of_all(tmp_path):
    for month in range(3):
        days = np.datetime64("2020-01-01", "ns") + np.arange(30) * np.timedelta64(1, "D")
        data = np.random.default_rng(month).normal(size=(30, 4, 5))
        xr.Dataset(
            {"t": (("time", "y", "x"), data)}, {"time": days + month * np.timedelta64(30, "D")}
        ).to_netcdf(
            tmp_path / f"{month}.nc", engine="h5netcdf", encoding={"t": {"chunksizes": (20, 4, 5)}}
        )
    values = read_frames(tmp_path, lazy=True).values
    assert values.chunks.starts.tolist() == [0, 20, 30, 50, 60, 80]
    assert values[:, 25:70].chunks.starts.tolist() == [0, 5, 25, 35]
