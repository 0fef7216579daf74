"""Damaged files, made from small whole ones: for the tests of reading, and for `make fuzz`.

`SEEDS[kind](folder)` writes a whole file or store of a kind and returns it; `damage(path, seed)`
damages it, or one file of a store, in place. The same seed makes the same damage.
"""

import gzip
import random
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import torch
import xarray as xr
from PIL import Image
from safetensors.torch import save_file

from foreign import geotiff, radar
from framecast.base.errors import UserError
from framecast.readers.open import read_frames
from videos import noise, write_video

FRAMES = 6


def mutate(data: bytes, seed: int) -> bytes:
    """Return bytes with one to four kinds of damage; never what was given."""
    chance, changed = random.Random(seed), data
    for _ in range(chance.choice((1, 1, 2, 4))):
        changed = chance.choice(_MUTATIONS)(changed, chance)
    return changed if changed != data else data[:-1]


def damage(path: Path, seed: int) -> None:
    """Damage a file, or one of the files of a store, in place."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    file = random.Random(-1 - seed).choice(files)
    file.write_bytes(mutate(file.read_bytes(), seed))


def read_all(path: Path) -> str:
    """Read a file as users would: all that is there, and a window of it.

    Returns:
        'frames' if it gave frames, else what the UserError said.

    Raises:
        Exception: any other, which is a defect.
    """
    try:
        frames = read_frames(path)
        window = frames.values[0, :3]
        assert window.shape[1:] == frames.values.shape[2:]
        frames.fingerprint()
        assert len(frames.pieces) > 0
    except UserError as error:
        return str(error)
    return "frames"


def _flip_bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 32)) if changed else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _extreme_bytes(data: bytes, chance: random.Random) -> bytes:
    """A number of the header becomes the least, the greatest, or nearly so."""
    place = chance.randrange(min(len(data), 2048) or 1)
    number = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * chance.choice((1, 2, 4, 8))
    return data[:place] + number + data[place + len(number) :]


def _digits(data: bytes, chance: random.Random) -> bytes:
    """A digit of a text, such as a size in JSON or in NumPy's header, becomes several."""
    places = [place for place, byte in enumerate(data[:4096]) if chr(byte).isdigit()]
    if not places:
        return _extreme_bytes(data, chance)
    place = chance.choice(places)
    number = str(chance.choice((0, 7, -3, 10**5, 10**12, 10**19, 0.5))).encode()
    return data[:place] + number + data[place + 1 :]


def _truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _zero(data: bytes, chance: random.Random) -> bytes:
    start, stop = _block(data, chance)
    return data[:start] + bytes(stop - start) + data[stop:]


def _double(data: bytes, chance: random.Random) -> bytes:
    start, stop = _block(data, chance)
    return data[:stop] + data[start:]


def _remove(data: bytes, chance: random.Random) -> bytes:
    start, stop = _block(data, chance)
    return data[:start] + data[stop:]


def _swap(data: bytes, chance: random.Random) -> bytes:
    """Two blocks of one length change places, mostly of the header."""
    length = chance.choice((4, 8, 16, 64))
    last = max(1, min(len(data), chance.choice((256, 2048, len(data)))) - length)
    first, second = sorted((chance.randrange(last), chance.randrange(last)))
    second = max(second, first + length)
    a, b = data[first : first + length], data[second : second + length]
    return data[:first] + b + data[first + length : second] + a + data[second + length :]


def _foreign_header(data: bytes, chance: random.Random) -> bytes:
    """The first bytes are those of another kind of file."""
    header = chance.choice(_HEADERS)
    return header + data[len(header) :]


def _block(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) or 1)
    return start, min(len(data), start + chance.choice((1, 4, 16, 64, 512)))


_MUTATIONS = (
    *(_flip_bits, _flip_bits, _extreme_bytes, _extreme_bytes, _digits, _digits),
    *(_truncate, _zero, _double, _remove, _swap, _foreign_header),
)
_HEADERS = (
    *(b"CDF\1", b"CDF\2", b"CDF\5", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY\1\0", b"\x93NUMPY\3\0"),
    *(b"PK\3\4", b"GIF89a", b"RIFF\0\0\0\0AVI ", b"\0\0\0\x18ftypisom", b"{}", b""),
)


def _data() -> xr.Dataset:
    """Values packed into integers, masked, with dates, and a coordinate of texts."""
    shape = (FRAMES, 4, 5)
    values = np.random.default_rng(0).normal(280, 5, shape)
    values[2, 1, 1] = np.nan
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -9999}
    return xr.Dataset(
        {
            "t": (
                ("time", "lat", "lon"),
                values,
                {"units": "K", "valid_range": [200, 330]},
                packing,
            ),
            "u": (("time", "lat", "lon"), values.astype(np.float32), {}),
        },
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(FRAMES) * np.timedelta64(6, "h"),
            "lat": ("lat", np.linspace(60, 30, 4), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0, 40, 5), {"units": "degrees_east"}),
            "place": ("lat", np.array(["a", "bc", "d", "e"])),
        },
        {"title": "made to be damaged"},
    )


def _netcdf3(folder: Path) -> Path:
    _data().to_netcdf(folder / "x.nc", engine="scipy", unlimited_dims=["time"])
    return folder / "x.nc"


def _netcdf4(folder: Path) -> Path:
    chunked = {"u": {"zlib": True, "shuffle": True, "chunksizes": (2, 4, 5)}}
    _data().to_netcdf(folder / "x.nc", engine="h5netcdf", encoding=chunked)
    return folder / "x.nc"


def _hdf5(folder: Path) -> Path:
    """The earliest form, as the C library of NetCDF writes it: its metadata have no checksums."""
    data = _data()
    with h5py.File(folder / "x.nc", "w", libver="earliest") as file:
        for name in ("time", "lat", "lon"):
            file[name] = np.arange(data.sizes[name], dtype=np.float64)
            file[name].make_scale(name)
        file["time"].attrs["units"] = "hours since 2020-01-01"
        for name, chunks in (("t", None), ("u", (2, 4, 5))):
            values = data[name].to_numpy()
            file.create_dataset(name, data=values, chunks=chunks, shuffle=chunks and True)
            file[name].attrs["units"] = "K"
            for place, dim in enumerate(data[name].dims):
                file[name].dims[place].attach_scale(file[dim])
    return folder / "x.nc"


def _zarr(version: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        data = _data().drop_vars("place")  # texts are not part of version 3 yet
        chunks = {name: {"chunks": (2, 4, 5)} for name in ("t", "u")}
        data.to_zarr(folder / "x.zarr", zarr_format=version, consolidated=False, encoding=chunks)
        return folder / "x.zarr"

    return write


def _npy(folder: Path) -> Path:
    np.save(folder / "x.npy", _data()["u"].to_numpy())
    return folder / "x.npy"


def _npz(folder: Path) -> Path:
    np.savez_compressed(folder / "x.npz", frames=_data()["t"].to_numpy(), other=np.arange(3))
    return folder / "x.npz"


def _zip(folder: Path) -> Path:
    _zarr(2)(folder / "whole")
    shutil.make_archive(str(folder / "x.zarr"), "zip", folder / "whole" / "x.zarr")
    shutil.rmtree(folder / "whole")
    return folder / "x.zarr.zip"


def _gzip(folder: Path) -> Path:
    data = _netcdf3(folder).read_bytes()
    (folder / "x.nc").unlink()
    (folder / "x.nc.gz").write_bytes(gzip.compress(data, mtime=0))
    return folder / "x.nc.gz"


def _group(folder: Path) -> Path:
    _data().to_netcdf(folder / "x.nc", group="Grid", engine="h5netcdf")
    return folder / "x.nc"


def _arrays(folder: Path) -> Path:
    with h5py.File(folder / "x.h5", "w") as file:
        file["frames"] = _data()["u"].to_numpy()
    return folder / "x.h5"


def _mat(version: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path, frames = folder / "x.mat", _data()["u"].to_numpy()
        if version == "5":
            scipy.io.savemat(path, {"frames": frames}, do_compression=True)
            return path
        with h5py.File(path, "w", userblock_size=512) as file:
            file["frames"] = frames.T
            file["frames"].attrs["MATLAB_class"] = np.bytes_("single")
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, made to be damaged".ljust(124) + b"\0\2IM")
        return path

    return write


def _torch(folder: Path) -> Path:
    torch.save({"frames": torch.from_numpy(_data()["u"].to_numpy())}, folder / "x.pt")
    return folder / "x.pt"


def _safetensors(folder: Path) -> Path:
    save_file({"frames": torch.from_numpy(_data()["u"].to_numpy())}, folder / "x.safetensors")
    return folder / "x.safetensors"


def _picture(name: str, dtype: str, **settings: Any) -> Callable[[Path], Path]:
    """A picture of noise, or several of them: pages of a TIFF, frames of a WebP."""

    def write(folder: Path) -> Path:
        random = np.random.default_rng(0)
        pages = [
            Image.fromarray(random.integers(0, np.iinfo(dtype).max, (16, 24)).astype(dtype))
            for _ in range(FRAMES)
        ]
        several = {"save_all": True, "append_images": pages[1:]} if "save_all" in settings else {}
        pages[0].save(folder / name, **settings | several)
        return folder / name

    return write


def _video(suffix: str, codec: str, form: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        return write_video(folder / f"x{suffix}", noise(FRAMES, 16, 32), 10, codec, form)

    return write


SEEDS: dict[str, Callable[[Path], Path]] = {
    "netcdf3": _netcdf3,
    "netcdf4": _netcdf4,
    "hdf5": _hdf5,
    "zarr2": _zarr(2),
    "zarr3": _zarr(3),
    "npy": _npy,
    "npz": _npz,
    "zipped zarr": _zip,
    "nc.gz": _gzip,
    "group": _group,
    "arrays": _arrays,
    "mat5": _mat("5"),
    "mat7.3": _mat("7.3"),
    "pt": _torch,
    "safetensors": _safetensors,
    "odim": lambda folder: radar(folder / "x.h5"),
    "png": _picture("x.png", "uint16"),
    "jpeg": _picture("x.jpg", "uint8"),
    "tiff": _picture("x.tif", "uint16", save_all=True, compression="tiff_lzw"),
    "webp": _picture("x.webp", "uint8", save_all=True, duration=40, lossless=True),
    "mpg": _video(".mpg", "mpeg2video", "yuv420p"),
    "ts": _video(".ts", "mpeg2video", "yuv420p"),
    "gif": _video(".gif", "gif", "rgb8"),
    "mp4": _video(".mp4", "h264", "yuv420p"),
    "avi": _video(".avi", "mpeg4", "yuv420p"),
    "ffv1": _video(".avi", "ffv1", "bgr0"),
}
"""Whole files by kind: each writes one into a folder."""
if find_spec("rasterio"):  # GRIB is left out: eccodes ends the process on some damaged messages
    SEEDS["geotiff"] = lambda folder: geotiff(folder / "x.tif", _data()["u"].to_numpy())

ENDLESS = {("netcdf4", 69), ("hdf5", 195), ("hdf5", 252), ("hdf5", 683)}
"""Kinds and seeds for which the C library of HDF5 never returns from reading DIMENSION_LIST, whose
heap is damaged. No Python code can end this; `make fuzz` leaves them out."""
