"""Files that are damaged, enormous, or no files: refused in words, with nothing else on stderr."""

import os
import re
import socket
import struct
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from scipy.io import netcdf_file

from conftest import DATA
from framecast.base import limits
from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.datasets.mnist import read_idx
from framecast.doctor import examine
from framecast.frames.lazy import LazyValues
from framecast.readers import arrays, gridded
from framecast.readers.folder import read_parts
from framecast.readers.open import read_frames
from videos import write_video

AIR = DATA / "air_temperature_small.nc"
SHAPE = (6, 4, 5)


def grid(**attributes):
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    return xr.Dataset({"t": (("time", "y", "x"), values, attributes)}, {"time": np.arange(6)})


def netcdf(path, data=None, engine="h5netcdf", **further):
    (grid() if data is None else data).to_netcdf(path, engine=engine, **further)
    return path


def npz(path, **named):
    np.savez_compressed(path, **(named or {"frames": np.zeros(SHAPE)}))
    return path


@pytest.fixture
def lazily(monkeypatch):
    """All files are read a window at a time."""
    for module in (arrays, gridded):
        monkeypatch.setattr(module, "HELD", 0)


@pytest.fixture
def little_memory(monkeypatch):
    """A machine with 20 MB available, which is asked whatever is needed."""
    monkeypatch.setattr(limits, "available_memory", lambda: 20_000_000)
    monkeypatch.setattr(limits, "UNASKED", 0)


def refused(path, message, read=read_frames):
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)
    return error.value


# Members of .npz files


def wrong_checksum(path):
    content = bytearray(npz(path).read_bytes())
    with zipfile.ZipFile(path) as file:
        place = file.infolist()[0].header_offset + 14
    content[place : place + 4] = b"\1\2\3\4"
    central = content.index(b"PK\1\2") + 16
    content[central : central + 4] = b"\1\2\3\4"
    path.write_bytes(content)


def encrypted(path):
    content = bytearray(npz(path).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


def of_objects(path):
    np.savez(path, frames=np.array([{"a": 1}], object))


def of_text(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("frames.npy", b"no array")


def larger_than_it_is(path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "frames.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(40)
        )


def damaged_within(path):
    whole = npz(path, frames=np.random.default_rng(0).normal(size=SHAPE)).read_bytes()
    path.write_bytes(whole[:200] + bytes(100) + whole[300:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (wrong_checksum, "frames cannot be read .*CRC"),
        (encrypted, "frames cannot be read .*encrypted"),
        (of_objects, "frames cannot be read .*Python objects, which are never loaded"),
        (of_text, "frames is not an array"),
        (larger_than_it_is, "frames cannot be read .*allocate"),
        (damaged_within, "frames cannot be read"),
    ],
)
@pytest.mark.parametrize("role", ["frames", "channels", "static", "actions"])
def test_a_member_that_cannot_be_read_is_named(tmp_path, make, message, role):
    path = tmp_path / "x.npz"
    make(path)
    if role == "frames":
        refused(path, message)
        return
    with zipfile.ZipFile(path, "a") as file, file.open("other.npy", "w") as member:
        np.save(member, np.zeros(SHAPE, np.float32))
    named = {"channels": {"variables": ["frames"]}, "static": {"static": ["frames"]}}
    asked = named.get(role, {"actions": "frames"})
    refused(path, message, lambda path: read_frames(path, **asked))


def test_a_member_that_inflates_beyond_memory_is_refused_before(tmp_path, little_memory):
    path = npz(tmp_path / "x.npz", frames=np.zeros((50, 250, 250), np.float32))
    assert path.stat().st_size < 100_000
    refused(path, "25 MB of memory, but 20 MB are available. Save them as .npy")


def test_arrays_that_declare_more_than_they_hold_are_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(SHAPE))
    path.write_bytes(path.read_bytes().replace(b"(6, 4, 5)", b"(6, 40000, 5000)"[:9]))
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    refused(path, "cannot be read as a NumPy file .*truncated")


def test_actions_that_count_too_far_are_refused(tmp_path, little_memory):
    path = npz(tmp_path / "x.npz", frames=np.zeros(SHAPE), actions=np.full(6, 10_000_000))
    refused(path, "counted to 10000000", lambda path: read_frames(path, actions="actions"))


# Labelled files


def damaged_zarr(path, chunk="t/c/0/0/0"):
    grid().to_zarr(path, consolidated=False)
    (path / chunk).write_bytes(b"no chunk")


def test_chunks_that_do_not_decode_are_named(tmp_path):
    damaged_zarr(tmp_path / "x.zarr")
    refused(tmp_path / "x.zarr", r"t \[6, 4, 5\] cannot be read .*may be damaged")
    damaged_zarr(tmp_path / "y.zarr", "time/c/0")
    refused(tmp_path / "y.zarr", "cannot be read as Zarr")


def test_windows_that_do_not_decode_are_named(tmp_path, lazily):
    damaged_zarr(tmp_path / "x.zarr")
    values = read_frames(tmp_path / "x.zarr").values
    assert isinstance(values, LazyValues)
    refused(tmp_path / "x.zarr", r"t \[6, 4, 5\] cannot be read", lambda path: values[0, 1:3])
    path = netcdf(tmp_path / "x.nc", encoding={"t": {"zlib": True, "chunksizes": (1, 4, 5)}})
    with h5py.File(path) as file:
        chunk = file["t"].id.get_chunk_info(2)
    whole = bytearray(path.read_bytes())
    whole[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(whole)
    values = read_frames(path).values
    assert values[0, :2].isfinite().all()
    refused(path, r"t \[2, 4, 5\] cannot be read", lambda path: values[0, 1:3])


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
@pytest.mark.parametrize("dated", [False, True])
def test_files_without_records_are_refused(tmp_path, engine, dated):
    data = grid().isel(time=slice(0, 0))
    if dated:
        data["time"] = data["time"].astype("datetime64[ns]")
        data["time"].encoding = {"units": "days since 2000-01-01", "dtype": "int32"}
    path = netcdf(tmp_path / "x.nc", data, engine, unlimited_dims=["time"])
    refused(path, "holds no frames: time has length 0")


def test_cdf_5_is_named_with_the_conversion(tmp_path):
    path = tmp_path / "x.nc"
    path.write_bytes(b"CDF\5" + bytes(100))
    refused(path, re.escape("CDF-5 (64-bit data") + ".*nccopy -k nc4 x.nc x_nc4.nc")


@pytest.mark.parametrize("key", ["scale_factor", "add_offset", "_FillValue", "missing_value"])
@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_texts_that_are_numbers_unpack_values_like_numbers(tmp_path, key, engine):
    for name, value in (("text", "2.0"), ("number", np.float32(2))):
        data = grid()
        data["t"].encoding["_FillValue"] = None
        netcdf(tmp_path / f"{name}.nc", data, engine)
        with_attribute(tmp_path / f"{name}.nc", key, value, engine)
    text, number = (read_frames(tmp_path / f"{n}.nc").values for n in ("text", "number"))
    assert not torch.equal(number, torch.from_numpy(grid()["t"].to_numpy())[None, :, None])
    torch.testing.assert_close(text, number, equal_nan=True, rtol=0, atol=0)


def with_attribute(path, key, value, engine="h5netcdf", variable="t"):
    """Write an attribute as it is, which xarray would not."""
    if engine == "h5netcdf":
        with h5py.File(path, "r+") as file:
            file[variable].attrs[key] = value
        return
    with netcdf_file(path, "a", mmap=False) as file:
        setattr(file.variables[variable], key, value)


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_texts_that_are_no_numbers_are_named(tmp_path, engine):
    data = grid()
    data["t"].encoding["_FillValue"] = None
    path = netcdf(tmp_path / "x.nc", data, engine)
    with_attribute(path, "missing_value", "none", engine)
    with pytest.warns(UserWarning, match="missing_value of t is the text 'none'.*data.missing"):
        assert read_frames(path).complete
    with_attribute(path, "missing_value", np.float32(1), engine)
    with_attribute(path, "scale_factor", "one half", engine)
    refused(path, "scale_factor of t is the text 'one half', and must be a number.*ncatted")


@pytest.mark.parametrize("text", ["1.5", "NaN", "300", "1e99"])
def test_texts_of_numbers_that_no_value_can_be_mark_nothing(tmp_path, text):
    data = grid()
    data["t"] = data["t"].astype(np.uint8)
    path = netcdf(tmp_path / "x.nc", data)
    with_attribute(path, "_FillValue", text)
    with pytest.warns(UserWarning, match=f"_FillValue of t is the text '{text}'"):
        assert read_frames(path).complete


@pytest.mark.parametrize(
    "declared",
    [
        {"valid_range": "0.0, 100.0"},
        {"valid_range": "12"},
        {"valid_range": 5.0},
        {"valid_range": [1.0, 2.0, 3.0]},
        {"valid_min": "low", "valid_max": "high"},
    ],
)
def test_ranges_that_are_no_numbers_are_ignored_with_a_warning(tmp_path, declared):
    path = netcdf(tmp_path / "x.nc", grid(**declared))
    with pytest.warns(UserWarning, match="the range that t declares.* is ignored"):
        frames = read_frames(path)
    assert frames.channels[0].valid_range is None
    assert set(declared) <= set(frames.channels[0].attributes)


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4", "zarr"])
@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["2019-01-01T00:00", "2019-01-01T06:00"], ["2019-01-01T00:00", "2019-01-01T06:00"]),
        (["2019-01-01 00:00:00", "2019-01-02"], ["2019-01-01", "2019-01-02"]),
        (["2019-01-01T00:00Z", "2019-01-01T02:30+01:00"], ["2019-01-01", "2019-01-01T01:30"]),
        (["1019-01", "1019-02"], ["1019-01-01", "1019-02-01"]),
    ],
)
def test_times_as_texts_are_dates(tmp_path, kind, texts, dates):
    data = grid().isel(time=[0, 1]).assign_coords(time=np.array(texts, object))
    data["time"].attrs["long_name"] = "time of the scan"
    path = tmp_path / ("x.zarr" if kind == "zarr" else "x.nc")
    if kind == "zarr":
        data["time"] = data["time"].astype("U")
        data.to_zarr(path, consolidated=False, zarr_format=2)
    else:
        netcdf(path, data, {"netcdf3": "scipy", "netcdf4": "h5netcdf"}[kind])
    frames = read_frames(path)
    assert (frames.times == np.array(dates, "datetime64[us]")).all()
    assert frames.coordinates["time"].attributes == {"long_name": "time of the scan"}
    assert "dtype" not in frames.coordinates["time"].encoding


def test_times_that_are_no_dates_are_refused_and_names_of_members_are_no_times(tmp_path):
    data = grid().assign_coords(time=np.array([f"scan {n}" for n in range(6)], object))
    path = netcdf(tmp_path / "x.nc", data)
    refused(path, "the times time are .* the first 'scan 0'; needed are numbers, or dates")
    data = grid().expand_dims(member=np.array(["a", "b"], object))
    frames = read_frames(netcdf(tmp_path / "y.nc", data))
    assert frames.dims == ("member", "time", "y", "x")


# Enormous ones


def enormous(path, chunks, shape=(1_000_000, 100_000, 100_000), time=None):
    """A file of a few kB that declares 40 PB, of which nothing was written."""
    if path.suffix == ".nc":
        with h5py.File(path, "w") as file:
            file.create_dataset("t", shape, "f4", chunks=chunks)
            for axis, name in enumerate(("time", "y", "x")):
                size = time if name == "time" and time else shape[axis]
                file.create_dataset(name, (size,), "f8", chunks=(min(size, 1000),))
                if name == "time" and size < 100_000:
                    file[name][:] = np.arange(size)
                file[name].make_scale(name)
                file["t"].dims[axis].attach_scale(file[name])
        return path
    group = zarr.open_group(path, mode="w")
    group.create_array(
        "t", shape=shape, dtype="f4", chunks=chunks, dimension_names=["time", "y", "x"]
    )
    if time:
        group.create_array(
            "time", shape=(time,), dtype="f8", chunks=(1000,), dimension_names=["time"]
        )
    return path


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_one_frame_beyond_memory_is_refused(tmp_path, little_memory, suffix):
    path = enormous(tmp_path / f"x{suffix}", (1, 100, 100), (10_000, 5_000, 5_000))
    refused(path, "reading 1 frames of 1 × 5000 × 5000 values at once needs 200 MB of memory")


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_coordinate_beyond_memory_is_refused(tmp_path, suffix):
    path = enormous(tmp_path / f"x{suffix}", (1, 10, 10), (10**12, 10, 10), time=10**12)
    refused(path, r"the coordinate time \[1000000000000\] needs 24 TB of memory")


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_chunk_beyond_memory_is_refused(tmp_path, little_memory, suffix):
    path = enormous(tmp_path / f"x{suffix}", (1000, 100, 100), (1000, 100, 100))
    refused(path, r"one chunk \[1000, 100, 100\] of t needs 40 MB .*smaller chunks")


def test_a_window_beyond_memory_is_refused_and_a_shorter_one_is_read(tmp_path, little_memory):
    path = enormous(tmp_path / "x.zarr", (1, 100, 100), (50_000, 1_000, 100))
    frames = read_frames(path)
    assert frames.values[0, :10].shape == (10, 1, 1000, 100)
    message = "reading 30 frames of 1 × 1000 × 100 values at once needs 24 MB .*training.context"
    refused(path, message, lambda path: frames.values[0, :30])
    refused(path, "reading 50000 frames", lambda path: frames.load())


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_sparse_file_of_20_gb_gives_windows(tmp_path, suffix):
    path = enormous(tmp_path / f"x{suffix}", (1, 250, 250), (20_000, 500, 500))
    frames = read_frames(path)
    assert frames.values.shape == (1, 20_000, 1, 500, 500)
    assert frames.values[0, 19_990:].shape == (10, 1, 500, 500)


def test_digits_that_inflate_beyond_memory_are_refused(tmp_path, little_memory):
    header = b"\0\0\x08\x03" + struct.pack(">3I", 1000, 1000, 1000)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(header + bytes(100))
    refused(path, "1000 images of 1000×1000 needs 1 GB of memory", read_idx)


@pytest.fixture
def large_gif(tmp_path):
    """A file of a few kB that decodes to 12 frames of 200×300."""
    path = write_video(tmp_path / "x.gif", np.zeros((12, 200, 300, 3), np.uint8), 10, "gif", "rgb8")
    assert path.stat().st_size < 10_000
    return path


def test_a_video_whose_frames_do_not_fit_onto_the_disk_is_refused(large_gif, monkeypatch):
    monkeypatch.setattr(limits, "available_disk", lambda path: 12 * 200 * 300 * 3 - 1)
    message = "decoding 12 frames of 200×300 needs 2.16 MB of disk.*data.options.size"
    refused(large_gif, message)
    assert read_frames(large_gif, size=(20, 30)).values.shape == (1, 12, 3, 20, 30)


def test_a_video_whose_frame_does_not_fit_into_memory_is_refused(large_gif, monkeypatch):
    monkeypatch.setattr(limits, "UNASKED", 0)
    monkeypatch.setattr(limits, "available_memory", lambda: 10 * 200 * 300 - 1)
    refused(large_gif, "one frame of 200×300.* needs 600 kB of memory.*smaller first")


# No files


@pytest.mark.parametrize("name", ["x.nc", "x.zarr", "x.npy", "x.npz", "x.gif", "x.txt"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused(tmp_path, name, kind, monkeypatch):
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        monkeypatch.chdir(tmp_path)  # the address of a socket must be short
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(name)
    refused(path, "is no file but a pipe, a socket or a device")
    refused(path, "is no file but a pipe", lambda path: examine(DataConfig(path=str(path))))


@pytest.mark.parametrize("inner", ["t/c/0/0/0", "t/zarr.json", "zarr.json", "time/c/0"])
def test_a_pipe_within_a_store_is_refused(tmp_path, inner):
    grid().to_zarr(tmp_path / "x.zarr", consolidated=False)
    (tmp_path / "x.zarr" / inner).unlink()
    os.mkfifo(tmp_path / "x.zarr" / inner)
    refused(tmp_path / "x.zarr", f"{inner} is no file but a pipe")


def test_a_pipe_within_a_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "train.nc")
    refused(tmp_path / "train.nc", "is no file but a pipe", lambda path: read_parts(path.parent))


@pytest.mark.parametrize("name", ["a\0b.nc", "a\0b.npy", "a\0b.gif", "a\0b"])
def test_names_with_a_zero_byte_do_not_exist(name):
    with pytest.raises(UserError, match=r"'a\\x00b.*' does not exist"):
        read_frames(name)
    with pytest.raises(UserError, match=r"'a\\x00b.*' does not exist"):
        examine(DataConfig(path=name))


@pytest.mark.parametrize("suffix", ["nc", "npz", "zarr"])
def test_variables_with_a_zero_byte_do_not_exist(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    if suffix == "npz":
        npz(path, a=np.zeros(SHAPE), b=np.zeros(SHAPE))
    elif suffix == "nc":
        netcdf(path)
    else:
        grid().to_zarr(path, consolidated=False)
    with pytest.raises(UserError):
        read_frames(path, ["t\0"])


# What else is said


DAMAGED = {
    "cut": lambda whole: whole[:30_000],
    "begun": lambda whole: whole[:8],
    "zeroed": lambda whole: whole[:1000] + bytes(8000) + whole[9000:],
}

INSPECT_EACH = """
import sys
from framecast.cli import main
assert [main(["inspect", path]) for path in sys.argv[1:]] == [2] * len(sys.argv[1:])
"""


def test_nothing_but_the_message_stands_on_stderr(tmp_path):
    paths = []
    three = netcdf(tmp_path / "three", engine="scipy").read_bytes()
    for name, content in [
        *((f"{name}.nc", damage(AIR.read_bytes())) for name, damage in DAMAGED.items()),
        *((f"three-{end}.nc", three[:end]) for end in (4, 100, len(three) // 2, len(three) - 5)),
    ]:
        (tmp_path / name).write_bytes(content)
        paths.append(tmp_path / name)
    damaged_zarr(tmp_path / "x.zarr")
    paths.append(tmp_path / "x.zarr")
    run = subprocess.run(
        [sys.executable, "-c", INSPECT_EACH, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    lines = run.stderr.splitlines()
    assert run.returncode == 0, run.stderr
    assert len(lines) == len(paths), run.stderr
    for line, path in zip(lines, paths, strict=True):
        assert line.startswith(f"framecast inspect: {path} ")
