"""Frames that are gathered: files are the same however many leads there are, or are not there."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from test_panels import frames_of

from framecast.forecast.writers import ForecastLabels, gathered, open_writer
from framecast.forecast.writers.outputs import Summary

NUMBERS = (".nc", ".zarr", ".npz")
LEAD = 4 * 3 * 5
"""Bytes of a lead of one sequence and start."""


def labels_of(steps, sequences=1, starts=(2,), members=None, summary=None):
    frames = frames_of(torch.rand(sequences, 4, 1, 3, 5))
    times = np.stack([frames.times_from(0, start, steps + 1)[1:] for start in starts])
    return ForecastLabels(
        frames, np.array(starts), times, frames.channels, members=members, summary=summary
    )


def written(path, labels, leads):
    with open_writer(path, labels) as write:
        for lead in leads:
            write(lead)
    if path.suffix == ".npz":
        return np.load(path)["frames"]
    engine = "h5netcdf" if path.suffix == ".nc" else "zarr"
    with xr.open_dataset(path, engine=engine, decode_timedelta=False) as dataset:
        return dataset.load()


@pytest.mark.parametrize("suffix", NUMBERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8])
def test_any_count_of_leads_is_written_whole(tmp_path, monkeypatch, suffix, steps):
    monkeypatch.setattr(gathered, "BLOCK", 3 * LEAD)
    leads = torch.rand(steps, 1, 1, 1, 1, 3, 5)
    found = written(tmp_path / f"f{suffix}", labels_of(steps), leads)
    values = found[:, 0] if suffix == ".npz" else found["t"]
    np.testing.assert_array_equal(values, leads.reshape(steps, 3, 5))


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("block", [1, 2 * 4 * LEAD, 1 << 20])
def test_sequences_starts_and_members_keep_their_places(tmp_path, monkeypatch, suffix, block):
    monkeypatch.setattr(gathered, "BLOCK", block)
    monkeypatch.setattr(gathered, "LARGEST", 2 * LEAD)
    leads = torch.rand(5, 3, 2, 2, 1, 3, 5)  # [K,M,N,S,C,H,W]
    summary = Summary(members=True, mean=True)
    labels = labels_of(5, 2, (1, 2), members=3, summary=summary)
    found = written(tmp_path / f"f{suffix}", labels, leads)
    expected = leads[:, :, :, :, 0].permute(1, 2, 3, 0, 4, 5)
    np.testing.assert_array_equal(found["t"], expected)
    np.testing.assert_allclose(found["t_mean"], expected.mean(0), rtol=1e-6)


def test_chunks_hold_leads_enough_and_not_too_many(tmp_path, monkeypatch):
    def chunks(steps, members=None):
        labels = labels_of(steps, members=members)
        return gathered.chunks_of(labels, labels.outputs[0])

    monkeypatch.setattr(gathered, "BLOCK", 4 * LEAD)
    assert chunks(3) == (3, 3, 5)
    assert chunks(8) == (4, 3, 5)
    assert chunks(9) == (3, 3, 5)  # three blocks alike, not two and a rest
    assert chunks(8, members=2) == (2, 2, 3, 5)
    assert chunks(8, members=20) == (20, 1, 3, 5)
    monkeypatch.setattr(gathered, "LARGEST", 7 * LEAD)
    assert chunks(8, members=20) == (7, 1, 3, 5)
    monkeypatch.setattr(gathered, "LARGEST", 1)
    assert chunks(8, members=20) == (1, 1, 3, 5)
    monkeypatch.setattr(gathered, "GATHERED", 2 * LEAD)
    assert chunks(8) == (2, 3, 5)


def test_layout_on_disk(tmp_path):
    leads = torch.rand(8, 1, 1, 1, 1, 3, 5)
    written(tmp_path / "f.nc", labels_of(8), leads)
    written(tmp_path / "f.zarr", labels_of(8), leads)
    with h5py.File(tmp_path / "f.nc") as file:
        assert file["t"].chunks is None
    assert zarr.open_group(tmp_path / "f.zarr")["t"].chunks == (8, 3, 5)


@pytest.mark.parametrize("suffix", NUMBERS)
@pytest.mark.parametrize("taken", [0, 2, 5])
def test_a_forecast_that_ends_early_leaves_nothing(tmp_path, suffix, taken):
    def stopped():
        with open_writer(tmp_path / f"f{suffix}", labels_of(6)) as write:
            for _ in range(taken):
                write(torch.zeros(1, 1, 1, 1, 3, 5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with pytest.raises(ValueError, match=f"{taken} frames are written of the 6"):
        written(tmp_path / f"f{suffix}", labels_of(6), torch.zeros(taken, 1, 1, 1, 1, 3, 5))
    with pytest.raises(ValueError, match="more frames are written than the 6"):
        written(tmp_path / f"f{suffix}", labels_of(6), torch.zeros(7, 1, 1, 1, 1, 3, 5))
    assert list(Path(tmp_path).iterdir()) == []
