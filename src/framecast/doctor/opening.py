"""From a path to the data set that reads it, and to its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from framecast.datasets import kth
from framecast.datasets.config import DataConfig
from framecast.frames.frames import Frames
from framecast.readers import decoding
from framecast.readers.folder import has_parts, is_folder, part_file
from framecast.readers.kinds import LABELLED, Kind, kind_of
from framecast.readers.open import open_frames
from framecast.readers.paths import Paths, files_in, find_paths
from framecast.readers.series import MANY

KINDS: dict[Kind, str] = {
    "netcdf": "NetCDF file",
    "zarr": "Zarr store",
    "numpy": "NumPy file",
    "video": "video",
    "picture": "picture",
    "gzip": "file packed by gzip",
    "matlab": "MATLAB file",
    "torch": "PyTorch file",
    "safetensors": "safetensors file",
    "grib": "GRIB file",
    "geotiff": "GeoTIFF",
}


def with_source(data: DataConfig) -> DataConfig:
    """Return the data with the source that suits their path, where none was chosen."""
    if data.source != "files" or data.path is None:
        return data
    folder = folder_of(data.path)
    if folder and (folder / kth.LIST).exists():
        return replace(data, source="kth", normalise="unit")
    if folder and part_file(folder, "train") is None and decoding.find_videos(folder):
        return replace(data, source="videos")
    return data


def open_parts(data: DataConfig) -> Mapping[str, Frames]:
    """Read the parts of a data set; all of it, under no name, where nothing says which is what.

    Raises:
        UserError: if it cannot be read.
    """
    place = data.path
    folder = None if place is None else folder_of(place)
    named = folder is not None and (has_parts(folder) or (folder / "train").is_dir())
    if data.source == "files" and place is not None and not named:
        return {"": open_frames(place, data.selection)}
    if data.source == "videos" and not named:
        whole = replace(data, validation_fraction=0.0, test_fraction=0.0)
        return {"": whole.open().splits().train}
    parts = data.open().splits()._asdict()
    return {name: frames for name, frames in parts.items() if frames is not None}


def find_static(data: DataConfig, still: Sequence[str]) -> tuple[str, ...]:
    """Name the static fields that all files of a data set hold.

    Args:
        data: how they are read.
        still: channels that seem not to change in time; of one file, they may be static too.

    Raises:
        UserError: if a file cannot be read.
    """
    if data.source != "files" or data.path is None:
        return ()
    place: Paths = data.path
    if (folder := folder_of(place)) and (train := part_file(folder, "train")):
        folder, place = folder_of(train), train
    files = [f for path in find_paths(place) for f in (files_in(path) if folder else [path])]
    if len(files) > MANY or any(kind_of(file) not in LABELLED for file in files):
        return ()
    from framecast.readers.statics import static_names  # of labelled files: xarray takes a while

    if len(files) == 1:
        return static_names(files[0], data.selection, still)
    first, *others = (static_names(file, data.selection) for file in files)
    return tuple(name for name in first if all(name in other for other in others))


def describe_kind(data: DataConfig) -> str:
    """Say in words what a path holds."""
    place = data.path
    if data.source == "kth":
        return "KTH actions"
    if place is None or data.source not in ("files", "videos"):
        return f"data set {data.source}"
    folder = folder_of(place)
    if folder and has_parts(folder):
        return "folder of train, validation, test"
    if data.source == "videos" and folder:
        return "folder of videos"
    files = [f for path in find_paths(place) for f in (files_in(path) if folder else [path])]
    name = KINDS.get(kind_of(files[0]), "file")
    return name if len(files) == 1 else f"{len(files)} files, each a {name}"


def folder_of(place: Paths) -> Path | None:
    """Return the folder of files that a place is; None if it is something else."""
    if isinstance(place, str | Path) and is_folder(Path(place)):
        return Path(place)
    return None
