"""Arrays without labels, GeoTIFF and ODIM stay in their files until they are asked for."""

import gc
import itertools
import os
import pickle
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from foreign import geotiff, radar
from framecast.base import limits
from framecast.base.errors import UserError
from framecast.forecast.files import forecast_file
from framecast.frames.lazy import LazyValues
from framecast.readers import arrays, stored
from framecast.readers import geotiff as geotiff_reader
from framecast.readers.open import read_frames
from framecast.readers.opened import OPEN
from framecast.runs.checkpoint import load_checkpoint
from framecast.train import train
from small import experiment, travelling_wave

LAYOUTS = [
    "".join(axes)
    for kept in ("thw", "tchw", "nthw", "ntchw")
    for axes in itertools.permutations(kept)
]


def as_frames(array, layout):
    """What an array of a layout holds as [N,T,C,H,W], float32."""
    full = array
    for axis in "ntchw":
        if axis not in layout:
            full, layout = full[..., None], layout + axis
    return np.einsum(f"{layout}->ntchw", full).astype(np.float32)


def hdf5(folder, named, chunks):
    path = folder / "x.h5"
    with h5py.File(path, "w") as file:
        for name, array in named.items():
            file.create_dataset(name, data=array, chunks=chunks)
    return path


def mat73(folder, named, chunks):
    """MATLAB stores the first axis last."""
    path = folder / "x.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in named.items():
            file.create_dataset(name, data=array.T, chunks=chunks and chunks[::-1])
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    return path


def zarr_store(folder, named, chunks):
    path = folder / "x.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    for name, array in named.items():
        group.create_array(name, data=array, chunks=chunks or array.shape)
    return path


def safetensors(folder, named, chunks):
    save_file({n: np.ascontiguousarray(a) for n, a in named.items()}, folder / "x.safetensors")
    return folder / "x.safetensors"


def tensors(folder, named, chunks):
    torch.save({name: torch.from_numpy(a) for name, a in named.items()}, folder / "x.pt")
    return folder / "x.pt"


WRITERS = {
    "hdf5": hdf5,
    "mat73": mat73,
    "zarr": zarr_store,
    "safetensors": safetensors,
    "torch": tensors,
}


@st.composite
def stored_arrays(draw):
    """A layout, an array of it with gaps, chunks or none, and a stretch of one sequence."""
    layout = draw(st.sampled_from(LAYOUTS))
    sizes = {axis: draw(st.integers(1, 5)) for axis in layout}
    sizes["t"] = draw(st.integers(1, 11))
    shape = tuple(sizes[axis] for axis in layout)
    chunks = draw(st.none() | st.tuples(*(st.integers(1, size) for size in shape)))
    kind = draw(st.sampled_from(["f4", "f8", "i2", "u1"]))
    array = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 90, shape).astype(kind)
    sequence = draw(st.integers(0, sizes.get("n", 1) - 1))
    ends = sorted(draw(st.tuples(*(st.integers(0, sizes["t"]),) * 2)))
    return layout, array, chunks, sequence, ends


@pytest.mark.parametrize("kind", WRITERS)
@given(stored_arrays())
@settings(max_examples=15)
def test_stretches_are_those_of_the_array_in_any_layout_and_chunks(tmp_path_factory, kind, case):
    layout, array, chunks, sequence, (start, stop) = case
    path = WRITERS[kind](tmp_path_factory.mktemp("x"), {"frames": array}, chunks)
    how = {"layout": layout, "missing": [7.0]}
    expected = as_frames(array, layout)
    expected = torch.from_numpy(np.where(expected == 7, np.nan, expected)).nan_to_num(-1)
    lazy, held = read_frames(path, lazy=True, **how), read_frames(path, **how)
    assert isinstance(lazy.values, LazyValues)
    assert torch.equal(held.values.nan_to_num(-1), expected)
    part = lazy.values[sequence, start:stop].nan_to_num(-1)
    assert torch.equal(part, expected[sequence, start:stop])
    again = pickle.loads(pickle.dumps(lazy.values))
    assert torch.equal(again[sequence, start:stop].nan_to_num(-1), part)
    assert lazy.dims == held.dims
    assert lazy.names == held.names


def places(size):
    """Numbers and slices that ascend, some of them counted from the end, or empty."""
    end = st.none() | st.integers(-size - 1, size + 1)
    return st.integers(-size, size - 1) | st.builds(slice, end, end, st.none() | st.integers(1, 3))


@given(st.tuples(places(5), places(3), places(4)))
def test_a_stored_array_is_cut_as_arrays_are_by_stretches_of_it(place):
    array = np.arange(60).reshape(5, 3, 4)

    def read(part):
        assert all(0 <= s.start <= s.stop and s.step is None for s in part)
        return array.T[part]

    whole = stored.StoredArray((4, 3, 5), array.dtype, read, (4, 3, 1)).turned()
    assert (whole.shape, whole.chunks) == ((5, 3, 4), (1, 3, 4))
    np.testing.assert_array_equal(whole[place], array[place])
    np.testing.assert_array_equal(whole[place[:1]], array[place[:1]])
    assert whole.at_a_time().shape == (1, 5, 3, 4)
    np.testing.assert_array_equal(whole.at_a_time()[:, 1], array[None][:, 1])


@pytest.mark.parametrize("kind", WRITERS)
def test_named_arrays_are_channels(tmp_path, kind):
    random = np.random.default_rng(0)
    named = {name: random.normal(size=(9, 4, 5)) for name in ("a", "b", "c")}
    named |= {"still": random.normal(size=(4, 5)), "pushed": random.normal(size=9)}
    path = WRITERS[kind](tmp_path, named, None)
    roles = {"diagnostic": ["b"], "static": ["still"]}
    if kind in ("safetensors", "torch"):  # the others know of arrays of two axes and more
        roles["actions"] = "pushed"
    for lazy in (False, True):
        frames = read_frames(path, ["c"], lazy=lazy, **roles)
        expected = np.stack([named["c"], named["b"]], 1).astype(np.float32)
        np.testing.assert_array_equal(frames.values[0, 2:7].numpy(), expected[2:7])
        np.testing.assert_array_equal(
            frames.static.values[0].numpy(), named["still"].astype(np.float32)
        )
        if "actions" in roles:
            pushed = frames.actions[0, :, 0].numpy()
            np.testing.assert_array_equal(pushed, named["pushed"].astype(np.float32))


@pytest.fixture
def read(monkeypatch):
    """The shapes of what is read of files, whatever asks for it."""
    shapes, cut = [], stored.StoredArray.__getitem__

    def spy(array, place):
        part = cut(array, place)
        shapes.append(part.shape)
        return part

    monkeypatch.setattr(stored.StoredArray, "__getitem__", spy)
    return shapes


@pytest.mark.parametrize("kind", WRITERS)
def test_no_more_is_read_than_is_asked_for(tmp_path, kind, read):
    array = np.random.default_rng(0).normal(size=(30, 2, 6, 7)).astype(np.float32)
    path = WRITERS[kind](tmp_path, {"frames": array}, (1, 2, 6, 7))
    frames = read_frames(path, lazy=True, layout="tchw", region={"row": [1, 3], "column": [2, 5]})
    assert read == []
    got = frames.values[0, 10:14]
    assert torch.equal(got, torch.from_numpy(array[10:14, :, 1:4, 2:6]))
    assert read == [(4, 2, 3, 4)]


@pytest.mark.parametrize("kind", ["hdf5", "mat73", "zarr"])
def test_a_chunk_is_read_once_for_all_windows_in_it(tmp_path, kind, read):
    array = np.random.default_rng(0).normal(size=(2, 30, 6, 7)).astype(np.float32)
    path = WRITERS[kind](tmp_path, {"frames": array}, (2, 10, 3, 7))
    values = read_frames(path, lazy=True, layout="nthw").values
    assert values.chunks.starts.tolist() == [0, 10, 20]
    assert values.chunks.groups.tolist() == [0, 0]
    for start, sequence in itertools.product(range(26), (0, 1)):
        got = values[sequence, start : start + 5][:, 0]
        assert torch.equal(got, torch.from_numpy(array[sequence, start : start + 5]))
    assert read == [(2, 10, 6, 7)] * 3


@pytest.mark.parametrize("kind", WRITERS)
def test_files_are_closed_when_nothing_is_read_of_them(tmp_path, kind):
    path = WRITERS[kind](tmp_path, {"frames": np.ones((4, 5, 6))}, None)

    def is_open():
        gc.collect()
        links = (f"/proc/self/fd/{place}" for place in os.listdir("/proc/self/fd"))
        return str(path) in {os.readlink(link) for link in links if os.path.islink(link)}

    read_frames(path)
    assert not is_open()
    frames = read_frames(path, lazy=True)
    frames.values[0, 1:3]
    del frames
    assert not is_open()


def test_an_array_larger_than_memory_is_read_a_window_at_a_time(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:  # 20 GB, of which nothing is written
        huge = file.create_dataset("frames", (80_000, 256, 256), "f4", chunks=(1, 256, 256))
        huge[70_000:70_002] = 3
    monkeypatch.setattr(limits, "available_memory", lambda: 1 << 28)
    frames = read_frames(tmp_path / "x.h5")
    assert frames.values[0, 69_998:70_003][:, 0, 0, 0].tolist() == [0, 0, 3, 3, 0]


def test_a_chunk_that_does_not_fit_into_memory_is_named(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("frames", (4000, 256, 256), "f4", chunks=(4000, 64, 64))
    monkeypatch.setattr(limits, "available_memory", lambda: 1 << 20)
    with pytest.raises(UserError, match=r"one chunk \[4000, 64, 64\] of frames .*smaller chunks"):
        read_frames(tmp_path / "x.h5")


def write_geotiffs(folder, count):
    """Files of two bands, five minutes apart, written in any order."""
    random = np.random.default_rng(0)
    values = random.normal(size=(count, 2, 6, 7)).astype(np.float32)
    for place in random.permutation(count):
        time = np.datetime64("2020-01-01T00:00") + 5 * int(place)
        geotiff(folder / f"r_{str(time).translate({45: None, 58: None})}.tif", values[place])
    return values


def write_radars(folder, count):
    values = np.full((count, 1, 4, 5), np.nan, np.float32)
    for minute in range(count):
        path = radar(folder / f"{count - minute}.h5")
        with h5py.File(path, "r+") as file:
            file["what"].attrs["time"] = np.bytes_(f"{minute // 60:02}{minute % 60:02}00")
            file["dataset1/data1/data"][1:] = minute % 200
        values[minute] = 0.5 * (minute % 200) - 32
        values[minute, 0, 0, 1:] = -32
        values[minute, 0, 0, 0] = np.nan
    return values


@pytest.mark.parametrize("write", [write_geotiffs, write_radars])
@pytest.mark.filterwarnings("ignore:.*the times are those in the names")
def test_a_long_series_of_files_is_read_where_it_is_asked_for(tmp_path, read, write):
    expected = write(tmp_path, 50)
    frames = read_frames(tmp_path, lazy=True)
    assert frames.length == 50
    assert read == []
    window = frames.values[0, 20:32]
    np.testing.assert_array_equal(window.numpy(), expected[20:32])
    bands, *grid = expected.shape[1:]
    assert read == [(1, *grid)] * (12 * bands)
    files = frames.values.reader.parts[0].reader.opened.files
    assert len(files) == OPEN
    assert all(isinstance(other.values, LazyValues) for other in files.values())


def test_of_a_geotiff_the_region_alone_is_read(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(3, 40, 50)).astype(np.float32)
    path = geotiff(tmp_path / "x.tif", values)
    seen, window = [], geotiff_reader._window
    monkeypatch.setattr(
        geotiff_reader, "_window", lambda *asked: seen.append(asked[2]) or window(*asked)
    )
    frames = read_frames(path, region={"row": [3, 8], "column": [10, 19]}, lazy=True)
    np.testing.assert_array_equal(frames.values[0, :][0].numpy(), values[:, 3:9, 10:20])
    assert seen == [(slice(3, 9), slice(10, 20))] * 3


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Training on an array in chunks of a file of HDF5, which is read lazily however small."""
    monkeypatch.setattr(arrays, "HELD", 0)
    hdf5(tmp_path, {"frames": travelling_wave()[:, :, 0]}, (1, 5, 8, 8))

    def plan_for(workers):
        plan = experiment(tmp_path, {"layout": "nthw", "workers": workers}, epochs=1)
        return replace(plan, data=replace(plan.data, path=str(tmp_path / "x.h5")))

    return plan_for


@pytest.mark.slow
def test_a_run_is_the_same_for_any_number_of_workers_and_forecasts(tmp_path, plan):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chunks of which few are mixed
        for workers in (0, 2):
            train(plan(workers), tmp_path / str(workers))
    runs = [(tmp_path / str(n) / "last.safetensors").read_bytes() for n in (0, 2)]
    assert runs[0] == runs[1]
    assert load_checkpoint(tmp_path / "0").frames.layout == "nthw"
    labels = forecast_file(tmp_path / "0", tmp_path / "x.h5", 2, tmp_path / "x.npz", progress=False)
    assert labels.shape_of(labels.outputs[0])[-2:] == (8, 8)


def test_what_stays_in_a_file_is_checked_for_infinity_when_it_is_read(tmp_path):
    array = np.ones((6, 4, 5), np.float32)
    array[4, 2, 2] = np.inf
    path = hdf5(tmp_path, {"frames": array}, None)
    frames = read_frames(path, lazy=True)
    frames.values[0, :4]
    with pytest.raises(UserError, match=r"x\.h5: sequence 0 has infinite values in frames 3 to 5"):
        frames.values[0, 3:6]


def test_a_file_that_is_damaged_where_it_is_read_is_named(tmp_path, monkeypatch):
    path = hdf5(tmp_path, {"frames": np.ones((6, 4, 5))}, (1, 4, 5))
    frames = read_frames(path, lazy=True)

    def fail(*_):
        raise OSError("wrong checksum")

    monkeypatch.setattr(stored.StoredArray, "__getitem__", fail)
    with pytest.raises(UserError, match=r"x\.h5 opens, but frames .*cannot be read .*checksum"):
        frames.values[0, :3]
