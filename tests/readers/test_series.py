"""Many files that are one series."""

import gc

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.frames import lazy
from framecast.frames.lazy import LazyValues
from framecast.readers import hdf5
from framecast.readers import opened as opening
from framecast.readers.open import read_frames

HOUR = np.timedelta64(1, "h")


def piece(first, hours, names=("t",), units="K", rows=4, value=0.0, step=6):
    """A data set with one value an hour, so that every frame says which one it is."""
    time = np.datetime64("2020-01-01", "ns") + (first + np.arange(0, hours, step)) * HOUR
    values = (first + np.arange(0, hours, step) + value)[:, None, None]
    grid = np.ones((rows, 5), np.float32)
    return xr.Dataset(
        {
            n: (("time", "lat", "lon"), values * grid + i, {"units": units})
            for i, n in enumerate(names)
        },
        coords={
            "time": time,
            "lat": ("lat", np.linspace(60, 30, rows), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0, 40, 5), {"units": "degrees_east"}),
        },
        attrs={"title": "one of many"},
    )


def write(folder, name, *arguments, **further):
    folder.mkdir(exist_ok=True)
    piece(*arguments, **further).to_netcdf(folder / name, engine="h5netcdf")
    return folder / name


def days(folder, count=5, **further):
    """Files of a day of four frames each, whose names are not in the order of their times."""
    return [write(folder, f"{'zyxwv'[day]}.nc", 24 * day, 24, **further) for day in range(count)]


def hours(frames):
    return frames.values[0, :, 0, 0, 0].tolist()


@pytest.mark.parametrize("given", ["folder", "pattern", "list"])
def test_files_are_one_series_in_the_order_of_their_times(tmp_path, given):
    files = days(tmp_path)
    place = {"folder": tmp_path, "pattern": f"{tmp_path}/*.nc", "list": files[::2] + files[1::2]}
    frames = read_frames(place[given])
    assert frames.values.shape == (1, 20, 1, 4, 5)
    assert hours(frames) == list(range(0, 120, 6))
    assert str(frames.step) == "6 h"
    assert len(frames.pieces) == 1
    assert frames.channels[0].units == "K"
    assert frames.attributes["title"] == "one of many"
    assert set(frames.coordinates) == {"time", "lat", "lon"}


def test_folders_within_and_stores_of_zarr_are_read_and_other_files_are_not(tmp_path):
    for day in range(3):
        folder = tmp_path / f"2020-{day}"
        folder.mkdir()
        piece(24 * day, 24).to_zarr(folder / "store", consolidated=False)
    (tmp_path / "README").write_text("not a file of frames")
    (tmp_path / ".hidden.nc").write_text("nor is this")
    assert hours(read_frames(tmp_path)) == list(range(0, 72, 6))


def test_a_series_is_read_where_it_is_asked_for_with_few_files_open(tmp_path, monkeypatch):
    days(tmp_path)
    monkeypatch.setattr(lazy, "HELD", 0)
    monkeypatch.setattr(opening, "OPEN", 2)
    opened = []
    usual = opening.open_file
    monkeypatch.setattr(opening, "open_file", lambda p, s: opened.append(p.stem) or usual(p, s))
    frames = read_frames(tmp_path)
    assert sorted(opened) == sorted("zyxwv")
    assert isinstance(frames.values, LazyValues)
    opened.clear()
    assert frames.values[0, 14:18][:, 0, 0, 0].tolist() == [84, 90, 96, 102]  # of two files
    assert frames.values[0, 15:17][:, 0, 0, 0].tolist() == [90, 96]
    assert opened == []  # what is in them is known
    part = frames.select(times=slice(3, 9))
    assert part.values[0, :][:, 0, 0, 0].tolist() == [18, 24, 30, 36, 42, 48]
    assert len(frames.values.reader.parts[0].reader.opened.files) <= 2


def test_few_files_of_a_series_are_open_at_once_and_none_once_it_is_gone(tmp_path, monkeypatch):
    days(tmp_path)
    monkeypatch.setattr(lazy, "HELD", 0)
    frames = read_frames(tmp_path)
    frames.values[0, :]
    assert len([p for p in hdf5._open if p.parent == tmp_path]) == 5
    monkeypatch.setattr(hdf5, "OPEN", 2)
    for start in (0, 8, 4, 12):
        frames.values[0, start : start + 4]
        assert len(hdf5._open) <= 2
    assert hdf5._open
    del frames
    gc.collect()
    assert not [p for p in hdf5._open if p.parent == tmp_path]


def test_lazy_and_held_values_are_the_same(tmp_path, monkeypatch):
    days(tmp_path, names=("t", "u"))
    held = read_frames(tmp_path)
    monkeypatch.setattr(lazy, "HELD", 0)
    read = read_frames(tmp_path)
    assert torch.equal(read.load().values, held.values)
    assert read.fingerprint() == read_frames(tmp_path).fingerprint()


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, monkeypatch):
    files = days(tmp_path)
    monkeypatch.setattr(lazy, "HELD", 0)
    monkeypatch.setattr(opening, "OPEN", 1)
    frames = read_frames(tmp_path)
    write(tmp_path, "x.nc", 48, 12)
    with pytest.raises(UserError, match=r"x\.nc has changed since it was first read: .* 4 frames"):
        frames.values[0, :]
    assert files[2].name == "x.nc"


def test_a_file_that_is_written_anew_with_other_values_is_read_anew(tmp_path, monkeypatch):
    days(tmp_path)
    monkeypatch.setattr(lazy, "HELD", 0)
    frames = read_frames(tmp_path)
    assert frames.values[0, 8:9][0, 0, 0, 0] == 48
    doubled = piece(48, 24).assign(t=lambda d: 2 * d["t"])
    doubled.to_netcdf(tmp_path / "new", engine="h5netcdf")
    (tmp_path / "new").replace(tmp_path / "x.nc")
    assert frames.values[0, 8:9][0, 0, 0, 0] == 96


def test_an_overlap_is_refused_with_the_files_and_times(tmp_path):
    days(tmp_path, 3)
    write(tmp_path, "b.nc", 66, 24)
    said = (
        r"x\.nc and .*b\.nc overlap in time: one holds 2020-01-03 to 2020-01-03T18:00, and "
        r"one holds 2020-01-03T18:00 to 2020-01-04T12:00\. Cut what is there .* data\.join seq"
    )
    with pytest.raises(UserError, match=said):
        read_frames(tmp_path)


def test_a_gap_cuts_the_series_and_is_named(tmp_path):
    files = days(tmp_path)
    files[2].unlink()
    said = (
        r"times are missing between .*y\.nc, which ends at 2020-01-02T18:00, and .*w\.nc, which "
        "begins at 2020-01-04: no window crosses"
    )
    with pytest.warns(UserWarning, match=said):
        frames = read_frames(tmp_path)
    assert [len(p) for p in frames.pieces] == [8, 8]


DIFFERENT = {
    "grid": ({"rows": 3}, "its grid has 3×5 rows and columns, not 4×5"),
    "units": ({"units": "degC"}, "t is in degC, not in K"),
    "variables": ({"names": ("t", "u")}, r"v\.nc has no u, which .*zz\.nc has"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_the_first_file_that_differs_is_named(tmp_path, what):
    further, said = DIFFERENT[what]
    days(tmp_path)
    write(tmp_path, "zz.nc", 120, 24, **further)
    with pytest.raises(UserError, match=said) as caught:
        read_frames(tmp_path)
    assert f"{tmp_path}/zz.nc" in str(caught.value)


def test_other_latitudes_are_another_grid(tmp_path):
    days(tmp_path, 2)
    moved = piece(48, 24).assign_coords(lat=np.linspace(61, 31, 4))
    moved.to_netcdf(tmp_path / "zz.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=r"zz\.nc does not fit .*y\.nc: its lat is 61 to 31"):
        read_frames(tmp_path)


def test_coordinates_that_are_rounded_otherwise_are_the_same(tmp_path):
    days(tmp_path, 2)
    rounded = piece(48, 24)
    rounded["lat"] = rounded["lat"].astype(np.float32) * np.float32(1 + 1e-7)
    rounded.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    assert read_frames(tmp_path).length == 12


def test_each_file_may_be_a_sequence(tmp_path):
    write(tmp_path, "storm_a.nc", 0, 48)
    write(tmp_path, "storm_b.nc", 24, 24)  # at the same time, and shorter
    frames = read_frames(tmp_path, join="sequences")
    assert frames.dims == ("sequence", "time", "lat", "lon")
    assert frames.lengths == [8, 4]
    assert frames.coordinates["sequence"].values.tolist() == ["storm_a", "storm_b"]
    assert frames.times.tolist() == [3600 * hour for hour in range(0, 48, 6)]
    assert frames.coordinates["time"].attributes["units"] == "s"
    assert frames.values[1, 1:3][:, 0, 0, 0].tolist() == [30, 36]


def test_sequences_with_the_same_times_keep_them(tmp_path):
    for name in "ab":
        write(tmp_path, f"member_{name}.nc", 0, 24)
    frames = read_frames(tmp_path, join="sequences")
    assert frames.times[0] == np.datetime64("2020-01-01")
    assert frames.values.shape == (2, 4, 1, 4, 5)


def test_sequences_with_other_steps_are_refused(tmp_path):
    write(tmp_path, "a.nc", 0, 48)
    write(tmp_path, "b.nc", 48, 48, step=12)
    with pytest.raises(UserError, match=r"a\.nc has a step of 6 h, but .*b\.nc of 12 h"):
        read_frames(tmp_path, join="sequences")


def spread(folder):
    """Variables one a file, over two days a file; wind has one name at two heights."""
    write(folder, "p_1.nc", 0, 48, ("p",), units="Pa")
    write(folder, "p_2.nc", 48, 48, ("p",), units="Pa")
    write(folder, "t.nc", 24, 72, ("t",), value=100)
    write(folder, "wind.nc", 0, 96, ("u",), units="m s-1", value=200)
    write(folder, "wind500.nc", 0, 96, ("u",), units="m s-1", value=300)
    return folder


def test_variables_in_several_files_become_channels_at_the_common_times(tmp_path):
    with pytest.warns(UserWarning, match=r"12 times are in all .* \(4 of .*p_1\.nc, 4 of .*wind"):
        frames = read_frames(spread(tmp_path))
    assert frames.names == ("p", "t", "u_wind", "u_wind500")
    assert [c.units for c in frames.channels] == ["Pa", "K", "m s-1", "m s-1"]
    assert frames.times[0] == np.datetime64("2020-01-02")
    assert frames.values[0, 5, :, 0, 0].tolist() == [54, 154, 254, 354]


def test_variables_in_several_files_are_chosen_with_their_roles(tmp_path):
    spread(tmp_path)
    frames = read_frames(tmp_path, variables=["u_wind500"], diagnostic=("p",), forcings=("u_wind",))
    assert [(c.name, c.role) for c in frames.channels] == [
        ("u_wind500", "prognostic"),
        ("p", "diagnostic"),
        ("u_wind", "forcing"),
    ]
    assert frames.length == 16  # t, which begins later, is not asked for
    assert frames.values[0, 9, :, 0, 0].tolist() == [354, 54, 254]


def test_a_variable_that_no_file_has_is_named(tmp_path):
    spread(tmp_path)
    with pytest.raises(UserError, match="has no variable q"):
        read_frames(tmp_path, variables=["p", "q"])


def test_files_without_times_are_asked_about(tmp_path):
    for place in (2, 10, 1):
        np.save(tmp_path / f"part_{place}.npy", np.full((3, 4, 5), place, np.float32))
    with pytest.raises(UserError, match=r"have no times.*data\.times_from.*data\.join time"):
        read_frames(tmp_path)
    assert hours(read_frames(tmp_path, join="time")) == [1, 1, 1, 2, 2, 2, 10, 10, 10]
    assert read_frames(tmp_path, join="sequences").values.shape == (3, 3, 1, 4, 5)


def radar(folder, names):
    folder.mkdir(exist_ok=True)
    for place, name in enumerate(names):
        np.save(folder / name, np.full((1, 4, 5), place, np.float32))
    return folder


NAMES = {
    "%Y%m%d%H%M": ["r_201912312355.npy", "r_202001010000.npy", "r_202001010005.npy"],
    "%Y%m%d_%H%M": ["b20191231_2355.npy", "a20200101_0000.npy", "a20200101_0005.npy"],
    "%Y-%m-%d": ["2019-12-31.npy", "2020-01-01.npy", "2020-01-02.npy"],
    "%d-%m-%Y": ["31-12-2019.npy", "01-01-2020.npy", "02-01-2020.npy"],
    "%m_%d_%Y": ["12_31_2019.npy", "01_01_2020.npy", "01_02_2020.npy"],
    "%d.%m.%Y %H%M": ["31.12.2019 2300.npy", "01.01.2020 0000.npy", "01.01.2020 0100.npy"],
}


@pytest.mark.parametrize("pattern", NAMES)
def test_times_in_names_are_guessed_where_they_are_clear_and_it_is_said(tmp_path, pattern):
    radar(tmp_path, NAMES[pattern])
    with pytest.warns(UserWarning, match=f"in the names of the files, read as {pattern}: 2019"):
        frames = read_frames(tmp_path)
    assert hours(frames) == [0, 1, 2]
    assert frames.times[1] == np.datetime64("2020-01-01")


def test_times_in_names_are_read_by_a_pattern_without_a_word(tmp_path):
    radar(tmp_path, ["2_01022020-06.npy", "1_02022020-06.npy", "0_31012020-06.npy"])
    frames = read_frames(tmp_path, times_from="_%d%m%Y-%H")
    assert hours(frames) == [2, 0, 1]
    assert str(frames.step) == "24 h"


def test_dates_with_the_day_or_the_month_first_are_not_guessed(tmp_path):
    for day in range(1, 5):
        picture = np.full((6, 7), 40 * day, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{day:02d}022020.png")
    with pytest.warns(UserWarning, match="set data.times_from to %d%m%Y or %m%d%Y"):
        counted = read_frames(tmp_path)
    assert counted.times.tolist() == [0, 1, 2, 3]
    assert str(read_frames(tmp_path, times_from="%d%m%Y").times[2])[:10] == "2020-02-03"


def test_names_that_are_not_clear_give_no_times(tmp_path):
    radar(tmp_path, ["20200101_20200102.npy", "20200102_20200103.npy"])
    with pytest.raises(UserError, match="have no times"):
        read_frames(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("%Y%m%d_%H", "its name holds no time as"), ("%H%M", "must name the year"), ("%Y%Q", "%Q")],
)
def test_patterns_that_do_not_fit_are_refused(tmp_path, pattern, said):
    radar(tmp_path, NAMES["%Y-%m-%d"])
    with pytest.raises(UserError, match=said):
        read_frames(tmp_path, times_from=pattern)


def test_files_of_several_kinds_are_no_series(tmp_path):
    days(tmp_path, 2)
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5)))
    with pytest.raises(UserError, match=r"several kinds: .*a\.npy \(numpy\) and .*\.nc \(netcdf\)"):
        read_frames(tmp_path)


def test_a_pattern_without_a_match_and_an_empty_list_are_said(tmp_path):
    with pytest.raises(UserError, match="no file matches this pattern"):
        read_frames(tmp_path / "*.nc")
    with pytest.raises(UserError, match="no file is named"):
        read_frames([])


def test_folders_named_train_and_test_are_parts_of_many_files(tmp_path):
    days(tmp_path / "train", 3)
    days(tmp_path / "test", 2)
    splits = DataConfig(path=str(tmp_path)).open().splits()
    assert (splits.train.length, splits.validation, splits.test.length) == (12, None, 8)
    assert DataConfig(path=str(tmp_path)).open().test().length == 8


@pytest.mark.parametrize("name", ["validation_fraction", "test_fraction"])
def test_no_share_is_kept_of_what_names_its_parts(tmp_path, name):
    days(tmp_path / "train", 3)
    days(tmp_path / "test", 2)
    with pytest.warns(UserWarning, match=rf"names its parts.*data\.{name} 0\.3 changes nothing"):
        DataConfig(path=str(tmp_path), **{name: 0.3}).open().splits()
    assert DataConfig(path=str(tmp_path), **{name: 0.0}).open().splits().train.length == 12


def test_the_configuration_takes_a_list(tmp_path):
    files = [str(file) for file in days(tmp_path)]
    splits = DataConfig(path=files, validation_fraction=0.2, test_fraction=0.2).open().splits()
    assert [part.length for part in splits] == [12, 4, 4]
    with pytest.raises(ValueError, match=r"data\.source kth reads one path"):
        DataConfig("kth", path=files)
    with pytest.raises(UserError, match=r"no\.nc does not exist"):
        DataConfig(path=[*files, "no.nc"]).open().splits()


def test_settings_hold_where_other_files_are_read_later(tmp_path):
    """What puts the files of the training together does so in forecasts and evaluations."""
    for name in "ab":
        write(tmp_path, f"{name}.nc", 0, 24)
    source = DataConfig(path=str(tmp_path), join="sequences").open()
    from framecast.readers.selection import EVERYTHING

    assert len(source.read(str(tmp_path), EVERYTHING).values) == 2


@pytest.mark.parametrize("name", ["validation", "val", "valid", "dev"])
def test_the_part_for_validation_has_several_names(tmp_path, name):
    for part, count in (("train", 9), (name, 4)):
        np.save(tmp_path / f"{part}.npy", np.random.default_rng(0).random((count, 3, 4)))
    parts = DataConfig(path=str(tmp_path)).open().splits()
    assert parts.validation is not None
    assert (parts.train.length, parts.validation.length, parts.test) == (9, 4, None)


def test_two_names_of_one_part_are_refused(tmp_path):
    for part in ("train", "val", "dev"):
        np.save(tmp_path / f"{part}.npy", np.random.default_rng(0).random((9, 3, 4)))
    with pytest.raises(UserError, match=r"val.npy and dev.npy, which both mean the part for val"):
        DataConfig(path=str(tmp_path)).open().splits()
