"""What a file is follows from its content: kinds of labelled files and of arrays."""

import gzip
import pickle
import shutil

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import xarray as xr
import zarr
from safetensors.torch import save_file

from framecast.base import limits
from framecast.base.errors import UserError
from framecast.readers import packed
from framecast.readers.kinds import kind_of
from framecast.readers.open import read_frames

FRAMES = np.arange(6 * 4 * 5, dtype=np.float32).reshape(6, 4, 5)


def labelled(offset=0.0):
    return xr.Dataset(
        {"t": (("time", "lat", "lon"), FRAMES + offset, {"units": "K"})},
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(6, "h"),
            "lat": np.linspace(60, 30, 4),
            "lon": np.linspace(0, 40, 5),
        },
    )


def netcdf(path, **further):
    labelled().to_netcdf(path, engine="h5netcdf", **further)
    return path


def store(path, version=2, **further):
    labelled().to_zarr(path, zarr_format=version, consolidated=False, **further)
    return path


def is_whole(frames):
    return np.array_equal(frames.values[0, :, 0].numpy(), FRAMES)


@pytest.mark.parametrize("name", ["X.NC", "x.Nc4", "x.dat", "no suffix"])
def test_netcdf_of_any_name(tmp_path, name):
    frames = read_frames(netcdf(tmp_path / "x.nc").rename(tmp_path / name))
    assert is_whole(frames)
    assert frames.times[0] == np.datetime64("2020-01-01")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["x.ZARR", "store", "era5.2020"])
def test_zarr_of_any_version_and_name(tmp_path, version, name):
    assert is_whole(read_frames(store(tmp_path / name, version)))


@pytest.mark.parametrize("inside", ["", "folder"])
@pytest.mark.parametrize("version", [2, 3])
def test_zipped_zarr(tmp_path, version, inside):
    place = store(tmp_path / "whole" / inside / "x.zarr", version)
    root = place.parent if inside else place
    zipped = shutil.make_archive(str(tmp_path / "x.zarr"), "zip", root)
    assert is_whole(read_frames(zipped))


def test_a_file_whose_suffix_lies_is_what_it_holds(tmp_path):
    np.save(tmp_path / "x.npy", FRAMES)
    assert is_whole(read_frames((tmp_path / "x.npy").rename(tmp_path / "x.nc")))
    assert kind_of(netcdf(tmp_path / "x.npy")) == "netcdf"


def test_an_unknown_kind_is_said(tmp_path):
    (tmp_path / "x.csv").write_text("1,2,3")
    with pytest.raises(UserError, match=r"cannot tell its kind from its content or its name"):
        read_frames(tmp_path / "x.csv")


def test_a_group_of_a_file_without_groups_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5), np.float32))
    with pytest.raises(UserError, match=r"has no groups, of which data\.group x names one"):
        read_frames(tmp_path / "a.npy", group="x")


def test_the_only_group_with_variables_is_read(tmp_path):
    assert is_whole(read_frames(netcdf(tmp_path / "x.nc", group="Grid/inner")))
    assert is_whole(read_frames(store(tmp_path / "x.zarr", group="surface")))
    assert is_whole(read_frames(store(tmp_path / "y.zarr", 3, group="surface")))


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_of_several_groups_one_is_chosen(tmp_path, kind):
    path = tmp_path / "x"
    for place, group in enumerate(("low", "high")):
        if kind == "netcdf":
            labelled(place).to_netcdf(path, group=group, engine="h5netcdf", mode="a")
        else:
            labelled(place).to_zarr(path, group=group, mode="a", consolidated=False)
    with pytest.raises(UserError, match=r"several groups: (low, high|high, low)\. Choose .*group"):
        read_frames(path)
    assert is_whole(read_frames(path, group="low"))
    assert not is_whole(read_frames(path, group="/high"))
    with pytest.raises(UserError, match=r"has no group hihg \(did you mean high\?\): it has"):
        read_frames(path, group="hihg")


def test_coordinates_of_a_group_may_stand_around_it(tmp_path):
    data = labelled()
    data[["time", "lat", "lon"]].to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    bare = data.drop_vars(["time", "lat", "lon"])
    bare.to_netcdf(tmp_path / "x.nc", group="Grid", engine="h5netcdf", mode="a")
    frames = read_frames(tmp_path / "x.nc")
    assert set(frames.coordinates) == {"time", "lat", "lon"}
    assert frames.times[1] == np.datetime64("2020-01-01T06")


def test_netcdf_3_has_no_groups(tmp_path):
    labelled().to_netcdf(tmp_path / "x.nc", engine="scipy")
    with pytest.raises(UserError, match="has no group Grid: it has no groups"):
        read_frames(tmp_path / "x.nc", group="Grid")


def packed_file(folder):
    source = netcdf(folder / "x.nc")
    (folder / "x.nc.gz").write_bytes(gzip.compress(source.read_bytes()))
    source.unlink()
    return folder / "x.nc.gz"


def test_a_packed_file_is_unpacked_once(tmp_path, monkeypatch):
    path = packed_file(tmp_path)
    frames = read_frames(path)
    assert is_whole(frames)
    assert frames.source == str(path)
    monkeypatch.setattr(packed, "_write", lambda *_: pytest.fail("unpacked again"))
    assert is_whole(read_frames(path, variables=["t"]))


def test_messages_about_a_packed_file_name_it(tmp_path):
    path = packed_file(tmp_path)
    with pytest.raises(UserError, match=r"^[^ ]*/x\.nc\.gz has no variable q") as caught:
        read_frames(path, variables=["q"])
    assert str(path) in str(caught.value)


def test_a_packed_file_that_does_not_fit_onto_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "available_disk", lambda path: 1000)
    with pytest.raises(UserError, match=r"x\.nc\.gz: unpacking more needs .* 1 kB are free"):
        read_frames(packed_file(tmp_path))


def test_a_packed_file_that_is_cut_off_leaves_nothing_behind(tmp_path):
    path = packed_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    before = sorted(packed.cache_folder("unpacked").glob("*"))
    with pytest.raises(UserError, match="cannot be unpacked"):
        read_frames(path)
    assert sorted(packed.cache_folder("unpacked").glob("*")) == before


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["inner/frames"] = FRAMES
        file["numbers"] = np.arange(3)
    return path


def plain_array(path):
    zarr.open_array(str(path), mode="w", shape=FRAMES.shape, dtype="f4", zarr_format=2)[:] = FRAMES
    return path


def arrays_without_dimensions(path):
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("frames", shape=FRAMES.shape, dtype="f4")[:] = FRAMES
    return path


def mat5(path):
    scipy.io.savemat(path, {"frames": FRAMES, "note": "a text"})
    return path


def mat73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["frames"] = FRAMES.T  # MATLAB stores the first axis last
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    return path


def tensor(path):
    torch.save(torch.from_numpy(FRAMES), path)
    return path


def tensors(path):
    torch.save({"frames": torch.from_numpy(FRAMES).double(), "epoch": 3}, path)
    return path


def safe(path):
    save_file({"frames": torch.from_numpy(FRAMES).bfloat16()}, path)
    return path


UNLABELLED = {
    "x.h5": hdf5,
    "array.zarr": plain_array,
    "nodims": arrays_without_dimensions,
    "five.mat": mat5,
    "seven.mat": mat73,
    "x.pt": tensor,
    "y.pth": tensors,
    "x.safetensors": safe,
}


@pytest.mark.parametrize("name", UNLABELLED)
def test_arrays_of_other_programs_are_read_as_those_of_numpy(tmp_path, name):
    frames = read_frames(UNLABELLED[name](tmp_path / name))
    assert is_whole(frames)
    assert frames.names == ("channel_0",)


def test_arrays_by_name_become_channels_and_static_fields(tmp_path):
    arrays = {"u": FRAMES, "v": -FRAMES, "height": FRAMES[0]}
    torch.save({name: torch.from_numpy(a) for name, a in arrays.items()}, tmp_path / "x.pt")
    scipy.io.savemat(tmp_path / "x.mat", arrays)
    for name in ("x.pt", "x.mat"):
        frames = read_frames(tmp_path / name, variables=["v", "u"], static=("height",))
        assert frames.names == ("v", "u")
        assert torch.equal(frames.values[0, :, 1], torch.from_numpy(FRAMES))
        assert frames.static.values.shape == (1, 4, 5)
        with pytest.raises(UserError, match="several arrays"):
            read_frames(tmp_path / name)


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("code of a file was run",))


def test_code_in_a_file_of_pytorch_is_not_run(tmp_path):
    torch.save({"frames": Harmful()}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt cannot be read \(torch\)"):
        read_frames(tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(UserError, match=r"y\.pt is no file of PyTorch 1\.6 or later"):
        read_frames(tmp_path / "y.pt")


def test_arrays_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch):
    scipy.io.savemat(tmp_path / "x.mat", {"frames": np.zeros((600, 64, 64))}, do_compression=True)
    monkeypatch.setattr(limits, "available_memory", lambda: 1 << 20)
    with pytest.raises(UserError, match=r"frames needs .* of memory"):
        read_frames(tmp_path / "x.mat")


def test_tensors_that_do_not_fit_into_memory_are_read_a_window_at_a_time(tmp_path, monkeypatch):
    huge = torch.arange(64.0).expand(1 << 20, 64, 64)
    torch.save({"frames": huge}, tmp_path / "x.pt")
    monkeypatch.setattr(limits, "available_memory", lambda: 1 << 30)
    assert read_frames(tmp_path / "x.pt").values[0, 5:8].sum() == 3 * 64 * 2016
