"""Kinds that need further libraries, and remote addresses."""

import builtins
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import xarray as xr

from foreign import FRAMES, geotiff, grib, radar
from framecast.base.errors import UserError
from framecast.base.workers import Workers
from framecast.datasets.config import DataConfig
from framecast.readers import remote
from framecast.readers.open import read_frames
from processes import first_frames


def labelled(frames=6):
    return xr.Dataset(
        {"t": (("time", "lat", "lon"), np.resize(FRAMES, (frames, 4, 5)), {"units": "K"})},
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(frames) * np.timedelta64(6, "h"),
            "lat": np.linspace(60, 30, 4),
            "lon": np.linspace(0, 40, 5),
        },
    )


@pytest.fixture
def without(monkeypatch):
    """Make a library as if it were not installed."""

    def hide(name):
        usual = builtins.__import__

        def fail(module, *others, **further):
            if module.partition(".")[0] == name:
                raise ImportError(f"No module named {name!r}")
            return usual(module, *others, **further)

        from framecast.base import extras

        monkeypatch.setattr(extras, "import_module", lambda module: fail(module))

    return hide


def test_composites_of_odim_are_a_series(tmp_path):
    for place, minute in enumerate((10, 0, 5)):
        radar(tmp_path / f"{place}.h5", minute)
    frames = read_frames(tmp_path)
    assert frames.names == ("DBZH",)
    assert str(frames.step) == "300 s"
    assert frames.values[0, :, 0, 1, 1].tolist() == [-32.0, -29.5, -27.0]
    assert frames.values[0, :, 0, 0, 0].isnan().all()
    assert frames.coordinates["y"].values.tolist() == [7000, 5000, 3000, 1000]
    assert frames.coordinates["x"].attributes["units"] == "m"


def test_of_several_sweeps_one_is_chosen(tmp_path):
    path = radar(tmp_path / "x.h5", sweeps=2)
    with pytest.raises(UserError, match=r"such as sweeps: dataset1, dataset2\. Choose"):
        read_frames(path)
    assert read_frames(path, group="dataset2").length == 1
    with pytest.raises(UserError, match="has no group dataset3"):
        read_frames(path, group="dataset3")


def test_geotiff_has_its_coordinates_and_the_times_of_names(tmp_path):
    for day in (3, 1, 2):
        geotiff(tmp_path / f"ndvi_2020-01-0{day}.tif", FRAMES[day], nodata=FRAMES[2, 0, 0])
    frames = read_frames(tmp_path, times_from="%Y-%m-%d")
    assert frames.names == ("band_1",)
    assert frames.dims == ("time", "lat", "lon")
    assert str(frames.step) == "24 h"
    assert frames.coordinates["lat"].values.tolist() == [59.875, 59.625, 59.375, 59.125]
    assert frames.coordinates["lon"].values[0] == 10.25
    expected = FRAMES[1:4].copy()
    expected[1, 0, 0] = np.nan
    np.testing.assert_array_equal(frames.values[0, :, 0].numpy(), expected)


def test_bands_of_a_geotiff_are_channels_in_metres(tmp_path):
    pytest.importorskip("rasterio")
    path = geotiff(tmp_path / "x.tif", FRAMES[:3], crs="EPSG:32633")
    frames = read_frames(path)
    assert frames.names == ("band_1", "band_2", "band_3")
    assert frames.coordinates["y"].attributes["units"] == "m"


def test_the_extra_for_geotiff_is_named(tmp_path, without):
    path = geotiff(tmp_path / "x.tif", FRAMES[0])
    without("rasterio")
    with pytest.raises(UserError, match=r"x\.tif: GeoTIFF need.* 'framecast\[geotiff\]'"):
        read_frames(path)


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("name", ["x.grib", "x.GRB2", "no suffix"])
def test_grib_of_both_editions_and_any_name(tmp_path, edition, name):
    pytest.importorskip("cfgrib")
    frames = read_frames(grib(tmp_path / name, edition))
    assert frames.names == ("sp",)
    assert frames.channels[0].units == "Pa"
    assert str(frames.step) == "6 h"
    np.testing.assert_allclose(frames.values[0, :, 0].numpy(), FRAMES, atol=1e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]  # no index is left beside it


def test_of_several_kinds_of_level_one_is_chosen(tmp_path):
    pytest.importorskip("cfgrib")
    path = grib(tmp_path / "x.grib", levels=("surface", "isobaricInhPa"))
    with pytest.raises(UserError, match=r"several kinds of level: .*surface.*data\.group"):
        read_frames(path)
    assert read_frames(path, group="surface").names == ("sp",)
    with pytest.raises(UserError, match=r"has no level surfce \(did you mean surface\?\)"):
        read_frames(path, group="surfce")


def test_the_extra_for_grib_is_named(tmp_path, without):
    (tmp_path / "era5.grib").write_bytes(b"GRIB\x00\x00\x00\x02")
    without("eccodes")
    with pytest.raises(UserError, match=r"era5\.grib: GRIB need.* 'framecast\[grib\]'"):
        read_frames(tmp_path / "era5.grib")


@pytest.fixture
def served(tmp_path):
    """A folder that an HTTP server on this machine serves, its address, and what was asked for."""
    pytest.importorskip("aiohttp")
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append((self.command, self.path))

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_remote_file_is_fetched_once(served):
    folder, address, asked = served
    labelled().to_netcdf(folder / "x.nc", engine="h5netcdf")
    frames = read_frames(f"{address}/x.nc")
    np.testing.assert_array_equal(frames.values[0, :, 0].numpy(), FRAMES)
    assert frames.source == f"{address}/x.nc"
    asked.clear()
    read_frames(f"{address}/x.nc")
    assert ("GET", "/x.nc") not in asked


def test_a_remote_file_that_has_changed_is_fetched_anew(served):
    folder, address, _ = served
    for count in (6, 8):
        labelled(count).to_netcdf(folder / "x.nc", engine="h5netcdf")
        assert read_frames(f"{address}/x.nc").length == count


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_remote_store_is_fetched_chunk_by_chunk_once(served, version):
    folder, address, asked = served
    encoding = {"t": {"chunks": (2, 4, 5)}}
    labelled().to_zarr(folder / "era5.zarr", zarr_format=version, encoding=encoding)
    frames = read_frames(f"{address}/era5.zarr")
    np.testing.assert_array_equal(frames.values[0, :, 0].numpy(), FRAMES)
    chunks = {path for command, path in asked if command == "GET" and "/t/" in path}
    assert len([path for path in chunks if path[-1].isdecimal()]) == 3
    asked.clear()
    read_frames(f"{address}/era5.zarr")
    again = [path for command, path in asked if command == "GET" and "/t/" in path]
    assert not [path for path in again if path[-1].isdecimal()]


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_chunks_of_a_store_that_has_grown_are_fetched_anew(served):
    folder, address, _ = served
    for count in (5, 6):  # the last chunk of two is half full at first
        encoding = {"t": {"chunks": (2, 4, 5)}}
        labelled(count).to_zarr(folder / "x.zarr", zarr_format=2, encoding=encoding, mode="w")
        frames = read_frames(f"{address}/x.zarr")
        np.testing.assert_array_equal(frames.values[0, :, 0].numpy(), FRAMES[:count])


def test_remote_files_are_one_series(served):
    folder, address, _ = served
    for name, part in (("b", slice(0, 3)), ("a", slice(3, 6))):
        labelled().isel(time=part).to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
    splits = DataConfig(
        path=[f"{address}/a.nc", f"{address}/b.nc"], validation_fraction=0.0, test_fraction=0.5
    )
    train = splits.open().splits().train
    np.testing.assert_array_equal(train.values[0, :, 0].numpy(), FRAMES[:3])


def test_an_address_that_leads_nowhere_is_said(served):
    _, address, _ = served
    with pytest.raises(UserError, match=rf"^{address}/no\.nc cannot be reached .*check"):
        read_frames(f"{address}/no.nc")


def test_messages_about_a_remote_file_name_its_address(served):
    folder, address, _ = served
    (folder / "x.nc").write_bytes(b"CDF\x01" + bytes(40))
    with pytest.raises(UserError, match=rf"^{address}/x\.nc"):
        read_frames(f"{address}/x.nc")


def test_the_library_of_an_address_is_named(without):
    with pytest.raises(UserError, match=r"s3://bucket/era5\.zarr: .*[sS]3fs"):
        read_frames("s3://bucket/era5.zarr")
    with pytest.raises(UserError, match=r"nonsense://x: Protocol not known"):
        read_frames("nonsense://x")
    without("fsspec")
    with pytest.raises(UserError, match=r"pip install 'framecast\[remote\]'"):
        read_frames("https://example.org/x.nc")


def test_only_addresses_are_addresses():
    assert remote.is_address("https://example.org/x.nc")
    assert not any(map(remote.is_address, ("x.nc", "/a/b://c", "C:/x.nc", "a b://c")))


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_what_is_remote_is_read_in_other_processes(served):
    folder, address, _ = served
    labelled().to_netcdf(folder / "x.nc", engine="h5netcdf")
    labelled().to_zarr(folder / "x.zarr")
    with Workers(1, first_frames, "data.workers") as worker:
        for name in ("x.nc", "x.zarr"):
            values = read_frames(f"{address}/{name}", lazy=True).values
            assert len(pickle.dumps(values)) < 4096
            assert torch.equal(worker.ask(values).result(), values[0, :3])
