"""What kind of file a path is: by its content, and by its name where content does not say."""

import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

Kind = Literal[
    "folder", "netcdf", "zarr", "numpy", "video", "picture", "gzip", "matlab", "torch",
    "safetensors", "grib", "geotiff", "unknown",
]  # fmt: skip
"""A folder of files; labelled grids (NetCDF or other HDF5; Zarr, zipped or not; GRIB; GeoTIFF);
arrays without labels (NumPy, MATLAB, PyTorch, safetensors); videos and pictures; a packed file."""

LABELLED: tuple[Kind, ...] = ("netcdf", "zarr", "grib", "geotiff")
"""Kinds whose variables have names, and mostly coordinates."""

GROUPED: tuple[Kind, ...] = ("netcdf", "zarr", "grib")
"""Kinds whose variables lie in groups, or in kinds of levels."""

ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
"""A folder with one of these is a Zarr store, whatever its name."""

SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5", ".hdf", ".he5"), "netcdf"),
    **dict.fromkeys((".zarr", ".zarr.zip"), "zarr"),
    **dict.fromkeys((".npy", ".npz"), "numpy"),
    **dict.fromkeys((".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm"), "video"),
    **dict.fromkeys((".mpg", ".mpeg", ".ts", ".m4v"), "video"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"), "picture"),
    **dict.fromkeys((".grib", ".grb", ".grib2", ".grb2"), "grib"),
    **dict.fromkeys((".pt", ".pth"), "torch"),
    ".mat": "matlab",
    ".safetensors": "safetensors",
    ".gz": "gzip",
}
"""Suffixes, in small letters, that say what is read where the first bytes do not."""

_GEO_KEYS = 34735
"""The tag of a TIFF that holds the keys of its coordinates."""
_MOST_TAGS = 1000
"""Tags that are looked at; a damaged file may claim to hold any number."""

_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"CDF\x01", "netcdf"),
    (b"CDF\x02", "netcdf"),
    (b"CDF\x05", "netcdf"),
    (b"\x89HDF\r\n\x1a\n", "netcdf"),
    (b"\x93NUMPY", "numpy"),
    (b"MATLAB 5.0 MAT-file", "matlab"),
    (b"MATLAB 7.3 MAT-file", "matlab"),
    (b"GRIB", "grib"),
    (b"\x1f\x8b", "gzip"),
    (b"GIF8", "video"),
    (b"\x89PNG\r\n\x1a\n", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"II*\0", "picture"),
    (b"MM\0*", "picture"),
    (b"II+\0", "picture"),
    (b"MM\0+", "picture"),
)


def kind_of(path: Path) -> Kind:
    """Return what a file or folder is.

    The first bytes decide, then the suffix in capitals or not; a folder is a Zarr store by what it
    holds. A file that is damaged at its beginning is therefore what its name says.
    """
    if path.is_dir():
        return "zarr" if _is_store(path) else "folder"
    return _by_content(path) or suffix_kind(path)


def suffix_kind(path: Path) -> Kind:
    """Return the kind that a name stands for, whether a file is there or not."""
    name = path.name.lower()
    suffix = ".zarr.zip" if name.endswith(".zarr.zip") else Path(name).suffix
    return SUFFIXES.get(suffix, "unknown")


def _is_store(path: Path) -> bool:
    return path.suffix.lower() == ".zarr" or any((path / name).is_file() for name in ZARR_FILES)


def _by_content(path: Path) -> Kind | None:
    try:
        if not path.is_file():
            return None  # a pipe or a device, whose reading may never end
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return None  # who reads it says why
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "picture"
    if start.startswith(b"PK\x03\x04"):
        return _by_members(path)
    kind = next((kind for bytes_, kind in _STARTS if start.startswith(bytes_)), None)
    tiff = kind == "picture" and start[:2] in (b"II", b"MM")
    return "geotiff" if tiff and _has_coordinates(path) else kind


def _has_coordinates(path: Path) -> bool:
    """Whether a TIFF, of 32 or 64 bits, says where on the earth it lies."""
    with suppress(OSError, OverflowError, struct.error, ValueError), path.open("rb") as file:
        start = file.read(16)
        order = "<" if start[:2] == b"II" else ">"
        wide = start[2:4] in (b"+\0", b"\0+")
        first = ("Q", start[8:]) if wide else ("I", start[4:8])
        (place,) = struct.unpack(order + first[0], first[1])
        file.seek(place)
        (count,) = struct.unpack(f"{order}Q" if wide else f"{order}H", file.read(8 if wide else 2))
        size = 20 if wide else 12
        entries = file.read(size * min(count, _MOST_TAGS))
        tags = [entries[at : at + 2] for at in range(0, len(entries), size)]
        return struct.pack(f"{order}H", _GEO_KEYS) in tags
    return False


def _by_members(path: Path) -> Kind | None:
    """What a ZIP file holds: a Zarr store, a file of PyTorch, or arrays of NumPy."""
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.rpartition("/")[2] for name in file.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if any(name in ZARR_FILES for name in names):
        return "zarr"
    if "data.pkl" in names or "constants.pkl" in names:
        return "torch"
    return "numpy" if any(name.endswith(".npy") for name in names) else None
