"""Nothing that framecast did not write is replaced by a forecast, and nothing is lost."""

import gc
import os
import shutil
import zipfile

import av
import numpy as np
import pytest
import xarray as xr
import zarr

from conftest import DATA, held_by_another, largest_file
from framecast.base.errors import UserError
from framecast.base.hidden import former_of
from framecast.cli import main
from framecast.forecast.files import forecast_file
from framecast.forecast.writers.destination import KINDS
from small import run_on

AIR = DATA / "air_temperature_small.nc"


def contents(path):
    """All files below a path, with what they hold."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {file: file.read_bytes() for file in files if file.is_file()}


def foreign(path):
    """Write a file of the kind of its suffix, as another program would."""
    frames = np.zeros((3, 4, 4), np.uint8)
    if path.suffix == ".nc":
        xr.Dataset({"mine": (("y", "x"), frames[0])}).to_netcdf(path, engine="h5netcdf")
    elif path.suffix == ".npz":
        np.savez(path, mine=frames)
    else:
        with av.open(path, "w") as file:
            stream = file.add_stream("gif" if path.suffix == ".gif" else "h264", rate=5)
            stream.width = stream.height = 16
            stream.pix_fmt = "rgb8" if path.suffix == ".gif" else "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
            file.mux(stream.encode(picture))
            file.mux(stream.encode())


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_folder_is_never_replaced(tmp_path, suffix, overwrite):
    run_on(AIR, tmp_path)
    out = tmp_path / f"mine{suffix}"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is a folder"):
        forecast_file(tmp_path, AIR, 2, out, overwrite=overwrite)
    assert (out / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_of_another_program_is_never_replaced(tmp_path, overwrite):
    run_on(AIR, tmp_path)
    out = tmp_path / "mine.zarr"
    zarr.create_group(out, attributes={"created_by": "someone"})
    before = contents(out)
    with pytest.raises(UserError, match="did not write"):
        forecast_file(tmp_path, AIR, 2, out, overwrite=overwrite)
    assert contents(out) == before


@pytest.mark.parametrize("suffix", sorted(set(KINDS) - {".zarr"}))
def test_a_file_of_another_program_is_replaced_only_when_asked(tmp_path, suffix):
    run_on(AIR, tmp_path)
    out = tmp_path / f"mine{suffix}"
    foreign(out)
    before = contents(out)
    with pytest.raises(UserError, match="--overwrite"):
        forecast_file(tmp_path, AIR, 2, out)
    assert contents(out) == before
    forecast_file(tmp_path, AIR, 2, out, overwrite=True)
    assert contents(out) != before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_file_of_another_kind_is_never_replaced(tmp_path, suffix, overwrite):
    run_on(AIR, tmp_path)
    out = tmp_path / f"mine{suffix}"
    out.write_text("a thesis\n")
    with pytest.raises(UserError, match="is never replaced"):
        forecast_file(tmp_path, AIR, 2, out, overwrite=overwrite)
    assert out.read_text() == "a thesis\n"


@pytest.mark.parametrize("suffix", KINDS)
def test_an_earlier_forecast_is_replaced(tmp_path, suffix):
    run_on(AIR, tmp_path)
    out = tmp_path / f"forecast{suffix}"
    forecast_file(tmp_path, AIR, 2, out)
    before, names = contents(out), os.listdir(tmp_path)
    forecast_file(tmp_path, AIR, 3, out)
    assert contents(out) != before
    assert os.listdir(tmp_path) == names


def test_marked_files_are_as_others_read_them(tmp_path):
    run_on(AIR, tmp_path)
    for suffix in KINDS:
        forecast_file(tmp_path, AIR, 3, tmp_path / f"f{suffix}")
    with zipfile.ZipFile(tmp_path / "f.npz") as archive:
        assert archive.testzip() is None
    for suffix in (".gif", ".mp4"):
        with av.open(tmp_path / f"f{suffix}") as file:
            assert sum(1 for _ in file.decode(video=0)) == 3


def other_names(path, folder):
    """The path spelled differently, through a link, and as a second name of the same file."""
    names = [path.parent / ".." / path.parent.name / path.name]
    link = folder / f"link{path.suffix}"
    link.symlink_to(path)
    names.append(link)
    if path.is_file():
        os.link(path, folder / f"hard{path.suffix}")
        names.append(folder / f"hard{path.suffix}")
    return names


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_the_input_is_never_replaced(tmp_path, suffix):
    run_on(AIR, tmp_path)
    source = tmp_path / f"in{suffix}"
    forecast_file(tmp_path, AIR, 10, source)  # its mark would allow it
    before = contents(source)
    for out in [source, *other_names(source, tmp_path)]:
        with pytest.raises(UserError, match="would replace"):
            forecast_file(tmp_path, source, 2, out, overwrite=True)
        assert contents(source) == before


def test_neither_what_holds_the_input_nor_what_it_holds(tmp_path):
    run_on(AIR, tmp_path)
    outer = tmp_path / "outer.zarr"
    outer.mkdir()
    shutil.copy(AIR, outer / "in.nc")
    with pytest.raises(UserError, match="would replace"):
        forecast_file(tmp_path, outer / "in.nc", 2, outer)
    forecast_file(tmp_path, AIR, 10, tmp_path / "in.zarr")
    with pytest.raises(UserError, match="would replace"):
        forecast_file(tmp_path, tmp_path / "in.zarr", 2, tmp_path / "in.zarr" / "air.nc")


def test_nothing_is_written_into_a_folder_of_frames_that_is_read(tmp_path):
    run_on(AIR, tmp_path / "run")
    (tmp_path / "frames" / "more").mkdir(parents=True)
    shutil.copy(AIR, tmp_path / "frames")
    (tmp_path / "link").symlink_to(tmp_path / "frames")
    for out in ("frames/f.nc", "frames/more/f.zarr", "link/f.nc"):
        with pytest.raises(UserError, match=r"lies in .*frames, all files of which are read"):
            forecast_file(tmp_path / "run", tmp_path / "frames", 2, tmp_path / out)
    forecast_file(tmp_path / "run", tmp_path / "frames", 2, tmp_path / "f.nc")
    forecast_file(tmp_path / "run", tmp_path / "frames" / AIR.name, 2, tmp_path / "frames/f.nc")


def test_a_link_to_another_kind_of_name_is_refused(tmp_path):
    run_on(AIR, tmp_path)
    (tmp_path / "latest.nc").symlink_to(tmp_path / "forecast.npz")
    with pytest.raises(UserError, match="is not called"):
        forecast_file(tmp_path, AIR, 2, tmp_path / "latest.nc")


def test_an_output_in_use_is_refused_before_any_work(tmp_path):
    out = tmp_path / "f.nc"
    with (
        held_by_another(out) as process,
        pytest.raises(UserError, match=f"is in use by process {process.pid} on "),
    ):
        forecast_file(tmp_path / "no run", AIR, 2, out)


def test_a_store_whose_replacement_was_cut_off_is_there_on_the_next_start(tmp_path):
    run_on(AIR, tmp_path)
    out = tmp_path / "f.zarr"
    forecast_file(tmp_path, AIR, 10, out)
    before = contents(out)
    out.rename(former_of(out))  # as a process killed between the two renamings leaves it
    assert (
        main(["forecast", str(tmp_path), str(out), "--steps", "2", "--out", f"{tmp_path}/g.nc"])
        == 0
    )
    assert contents(out) == before


@pytest.mark.parametrize("size", [1000, 12_000])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_full_disk_is_one_message(tmp_path, capfd, suffix, size):
    if (suffix, size) == (".zarr", 12_000):
        size = 2000  # a chunk is smaller than a file
    run_on(AIR, tmp_path)
    out = tmp_path / f"f{suffix}"
    forecast_file(tmp_path, AIR, 2, out)
    before, names = contents(out), os.listdir(tmp_path)
    command = ["forecast", str(tmp_path), str(AIR), "--steps", "20", "--out", str(out)]
    with largest_file(size):
        assert main(command) == 2
    gc.collect()  # what is left of a writer may speak when it is destroyed
    said = capfd.readouterr().err
    assert said.startswith(f"framecast forecast: {out} could not be written: its disk is full")
    assert said.count("\n") == 1
    assert contents(out) == before
    assert os.listdir(tmp_path) == names
