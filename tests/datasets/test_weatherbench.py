"""WeatherBench: its files and stores are read by years, whatever their layout."""

import shutil

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.frames.lazy import LazyValues
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import load_checkpoint
from weatherbench import (
    LATITUDES,
    LEVELS,
    geopotential,
    hours_of,
    write_constants,
    write_store,
    write_year,
)

GAPS = pytest.mark.filterwarnings("ignore:.*times are missing between")
"""Only a few days of each year are made."""

YEARS = {"train_years": [1999, 2000], "validation_years": [2001, 2001], "test_years": [2002, 2002]}


def opened(path, **keys):
    options = {**YEARS, **keys.pop("options", {})}
    return DataConfig(source="weatherbench", path=str(path), options=options, **keys).open()


def by_area(field):
    """Means of blocks of 2 × 2 cells, which go with the cosine of latitude, [..., 16, 32]."""
    weights = np.cos(np.deg2rad(LATITUDES)).reshape(16, 2)
    blocks = field.astype("f8").reshape(*field.shape[:-2], 16, 2, 32, 2).mean(-1)
    return (blocks * weights[:, :, None]).sum(-2) / weights.sum(1)[:, None]


@pytest.fixture
def folder(tmp_path):
    """Four years, the last days of 1999 and the first ones of the others."""
    write_year(tmp_path / "z", 1999, hours_of(1999)[1])
    for year in (2000, 2001, 2002):
        write_year(tmp_path / "z", year)
    return tmp_path / "z"


def test_parts_are_years_and_series_go_on_across_them(folder):
    train, validation, test = opened(folder).splits()
    times = np.concatenate([hours_of(1999)[1], hours_of(2000)[0]])
    assert np.array_equal(train.times, times)
    assert len(train.pieces) == 1
    assert (train.names, train.channels[0].units) == (("z",), "m**2 s**-2")
    assert np.array_equal(train.values[0, :, 0], geopotential(times))
    for frames, year in ((validation, 2001), (test, 2002)):
        assert np.array_equal(frames.times, hours_of(year)[0])
        assert np.array_equal(frames.values[0, :, 0], geopotential(hours_of(year)[0]))


def test_blocks_are_means_by_area(folder):
    train = opened(folder, coarsen=2).splits().train
    assert train.grid == (16, 32)
    expected = by_area(geopotential(train.times))
    np.testing.assert_allclose(train.values[0, :, 0], expected, rtol=2e-7)
    assert train.coordinates["lat"].values.tolist() == np.linspace(-84.375, 84.375, 16).tolist()


@pytest.mark.parametrize("every", ["6h", 6])
def test_every_n_hours_of_each_part(folder, every):
    train, _, test = opened(folder, every=every).splits()
    assert str(train.step) == "6 h"
    assert train.times[0] == hours_of(1999)[1][0]
    assert np.array_equal(test.times, hours_of(2002)[0][::6])
    assert np.array_equal(test.values[0, :, 0], geopotential(test.times))


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"select": {"level": 500}}, ["z"]),
        ({"select": {"level": [500, 850]}}, ["z_500", "z_850"]),
        ({"variables": ["z_850", "z_500"]}, ["z_850", "z_500"]),
    ],
)
def test_levels_are_chosen(tmp_path, keys, names):
    for year in (1999, 2000):
        write_year(tmp_path, year, hours_of(year)[0][:5], levels=True)
    years = {"train_years": [1999, 1999], "validation_years": None, "test_years": [2000, 2000]}
    train, validation, test = opened(tmp_path, options=years, **keys).splits()
    assert validation is None
    assert train.names == test.names == tuple(names)
    for place, name in enumerate(names):
        level = int(name.partition("_")[2] or 500)
        assert level in LEVELS
        expected = geopotential(train.times, level=level)
        assert np.array_equal(train.values[0, :, place], expected)


def test_a_file_of_one_level_may_be_asked_for_it(folder):
    assert opened(folder, select={"level": 500}).splits().train.names == ("z",)


def test_variables_in_folders_of_their_own_or_side_by_side(folder, tmp_path):
    for path in sorted(folder.iterdir()):
        with xr.open_dataset(path, engine="h5netcdf") as file:
            other = (file / 200).rename(z="t2m").load()
        other["t2m"].attrs["units"] = "K"
        other["lat_bnds"] = (("lat", "edge"), np.stack([LATITUDES - 2.8125, LATITUDES + 2.8125], 1))
        file_with_bounds = xr.load_dataset(path, engine="h5netcdf").assign(
            lat_bnds=other["lat_bnds"]
        )
        file_with_bounds.to_netcdf(path, engine="h5netcdf")
        own = tmp_path / "2m_temperature"
        own.mkdir(exist_ok=True)
        name = path.name.replace("geopotential_500hPa", "2m_temperature")
        other.drop_vars("level").to_netcdf(own / name, engine="h5netcdf")
    shutil.copytree(folder, tmp_path / "flat")
    shutil.copytree(tmp_path / "2m_temperature", tmp_path / "flat", dirs_exist_ok=True)
    for place in (tmp_path / "flat", tmp_path):
        if place == tmp_path:
            shutil.rmtree(tmp_path / "flat")
        train = opened(place, variables=["t2m", "z"]).splits().train
        assert train.names == ("t2m", "z")
        expected = geopotential(train.times)
        np.testing.assert_array_equal(train.values[0, :, 1], expected)
        np.testing.assert_allclose(train.values[0, :, 0], expected / 200, rtol=1e-6)
        assert opened(place, variables=["z"]).splits().train.names == ("z",)
        assert {*opened(place).splits().train.names} == {"t2m", "z"}


@pytest.mark.parametrize("place", ["inside", "beside", "folder"])
def test_constants_are_static_fields(folder, tmp_path, place):
    where = {"inside": folder, "beside": tmp_path, "folder": tmp_path / "constants"}[place]
    height = write_constants(where)
    train = opened(folder, static=["lsm", "orography"], coarsen=2).splits().train
    assert [channel.name for channel in train.static.channels] == ["lsm", "orography"]
    assert {channel.role for channel in train.static.channels} == {"static"}
    np.testing.assert_allclose(train.static.values[1], by_area(height), rtol=1e-5)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("longitude_first", [False, True])
def test_stores_in_every_layout_give_the_same_frames(tmp_path, descending, longitude_first):
    times = np.concatenate([hours_of(1999)[1], hours_of(2000)[0], hours_of(2001)[0]])[::6]
    path = write_store(tmp_path / "era5.zarr", times, descending, longitude_first)
    years = {"train_years": [1999, 2000], "validation_years": None, "test_years": [2001, 2001]}
    keys = {"variables": ["geopotential_500"], "static": ["geopotential_at_surface"]}
    train, _, test = opened(path, options=years, coarsen=2, **keys).splits()
    assert np.array_equal(train.times, times[:12])
    assert train.coordinates["latitude"].values[0] == -84.375
    expected = by_area(geopotential(train.times))
    np.testing.assert_allclose(train.values[0, :, 0], expected, rtol=2e-7)
    surface = by_area(geopotential(times[:1]))
    np.testing.assert_allclose(train.static.values, surface, rtol=2e-7)
    assert np.array_equal(test.times, times[12:])


def test_a_large_store_is_read_by_windows_of_its_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("framecast.frames.lazy.HELD", 1000)
    times = np.concatenate([hours_of(1999)[1], hours_of(2000)[0]])
    path = write_store(tmp_path / "era5.zarr", times, descending=True)
    years = {"train_years": [1999, 2000], "validation_years": None, "test_years": None}
    keys = {"variables": ["geopotential_500"], "coarsen": 2}
    train = opened(path, options=years, **keys).splits().train
    assert isinstance(train.values, LazyValues)
    assert train.values.chunks.starts.tolist() == list(range(0, 72, 10))
    expected = by_area(geopotential(times[20:31]))
    np.testing.assert_allclose(train.values[0, 20:31][:, 0], expected, rtol=2e-7)


def test_a_large_archive_of_files_is_read_by_windows(folder, monkeypatch):
    monkeypatch.setattr("framecast.frames.lazy.HELD", 1000)
    lazy = opened(folder, coarsen=2).splits().train
    monkeypatch.undo()
    held = opened(folder, coarsen=2).splits().train
    assert isinstance(lazy.values, LazyValues)
    assert torch.equal(lazy.values[0, 10:40], held.values[0, 10:40])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "geopotential_500hPa_2000_5.625deg.nc").unlink(),
         r"no file of geopotential_500hPa for 2000, which data.options.train_years \[1999, 2000\]"),
        (lambda f: shutil.copytree(f, f / "copy"), "geopotential_500hPa of 1999 is there twice"),
        (lambda f: shutil.copy(f / "geopotential_500hPa_2000_5.625deg.nc",
                               f / "geopotential_500hPa_1999_2.8125deg.nc"), "on several grids"),
        (lambda f: [p.unlink() for p in f.iterdir()], "no yearly file of WeatherBench, such as"),
        (lambda f: write_year(f, 2000, name="geopotential"),
         "holds z in files of geopotential.* and of geopotential"),
        (lambda f: write_year(f, 2000, hours_of(2005)[0]), "has no frame of 2000, which"),
    ],
)  # fmt: skip
@GAPS
def test_what_is_missing_or_double_is_named(folder, spoil, words):
    spoil(folder)
    with pytest.raises(UserError, match=words):
        opened(folder).splits()


def test_a_store_that_lacks_a_year_is_refused(tmp_path):
    path = write_store(tmp_path / "era5.zarr", hours_of(2000)[0])
    with pytest.raises(
        UserError, match=r"era5.zarr has no frame of 1999, which data.options.train"
    ):
        opened(path, variables=["geopotential_500"]).splits()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_years": []}, r"train_years \[\] must be its first and its last year"),
        ({"test_years": [2003]}, r"test_years \[2003\] must be.*null for no such part"),
        ({"validation_years": [2001, 2000]}, "must be its first and its last year"),
        ({"test_years": [2000, 2003]}, "train_years and test_years share 2000"),
    ],
)
def test_parts_without_years_or_with_common_ones_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        opened("x", options=options)


def test_keys_that_would_change_nothing_are_refused():
    with pytest.raises(ValueError, match=r"does not read data\.period"):
        opened("x", period=[1999, 2000])
    with pytest.raises(ValueError, match="test_fraction is not read by"):
        opened("x", test_fraction=0.2)


def test_a_path_that_is_not_there_names_the_command_that_fetches(tmp_path):
    with pytest.raises(UserError, match="framecast fetch weatherbench-z500"):
        opened(tmp_path / "none").splits()


def test_constants_that_are_not_there(folder):
    with pytest.raises(
        UserError, match=r"data.static names lsm, but neither .* constants_5.625deg"
    ):
        opened(folder, static=["lsm"]).splits()


def test_years_of_a_file_in_words(folder):
    (folder / "geopotential_500hPa_1999_5.625deg.nc").unlink()
    options = {"train_years": [1990, 2000], "validation_years": None, "test_years": None}
    with pytest.raises(UserError, match=r"for 1990-1999, which.*that are there, 2000-2002"):
        opened(folder, options=options).splits()


@GAPS
def test_from_training_to_forecast_and_scores(folder, tmp_path, monkeypatch, capsys):
    """One layout is learned from; the other is forecast from and scored, with one result."""
    monkeypatch.chdir(tmp_path)
    write_constants(tmp_path / "constants")
    keys = "--data.source weatherbench --data.path z --data.coarsen 2 --data.static [orography]"
    keys += " --model.depth 1 --model.hidden 4 --model.padding cylinder --training.epochs 1"
    keys += " --training.context 4 --training.horizon 2"
    for option, years in YEARS.items():
        keys += f" --data.options.{option} {str(years).replace(' ', '')}"
    assert main(["train", "starter", *keys.split(), "--out", "run"]) == 0
    spec = load_checkpoint("run").frames
    assert (spec.grid, spec.coarsen) == ((16, 32), 2)

    assert main(["evaluate", "run", "--out", "own"]) == 0
    assert main(["forecast", "run", "z", "--steps", "2", "--start", "-5", "--out", "f.nc"]) == 0
    last = "z/geopotential_500hPa_2002_5.625deg.nc"
    assert main(["forecast", "run", last, "--steps", "2", "--start", "-5", "--out", "g.nc"]) == 0
    with xr.open_dataset(last, engine="h5netcdf") as file:
        file.isel(lat=slice(None, None, -1)).transpose("time", "lon", "lat").to_netcdf("turned.nc")
    assert (
        main(["forecast", "run", "turned.nc", "--steps", "2", "--start", "-5", "--out", "h.nc"])
        == 0
    )
    made = {name: xr.load_dataset(f"{name}.nc", engine="h5netcdf") for name in "fgh"}
    for name in "gh":
        np.testing.assert_array_equal(made[name]["z"].values, made["f"]["z"].values)
        np.testing.assert_array_equal(made[name]["lat"].values, made["f"]["lat"].values)
    capsys.readouterr()
    tables = []
    for truth in (last, "turned.nc"):
        command = ["score", "f.nc", truth, "--data.coarsen", "2", "--out", "s", "--overwrite"]
        assert main(command) == 0
        tables.append((tmp_path / "s" / "metrics.csv").read_text())
    assert tables[0] == tables[1]


@GAPS
def test_other_frames_are_read_as_those_of_the_training(folder):
    source = opened(folder, coarsen=2)
    frames = source.read(folder, Selection(variables=("z",), coarsen=2))
    assert frames.length == 24 + 3 * 48
    assert frames.grid == (16, 32)
