"""What a path holds, in words, before anything is trained on it."""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.datasets import kth
from framecast.datasets.config import DataConfig
from framecast.datasets.files import Files
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Values
from framecast.frames.places import area_weights, find_axis
from framecast.frames.times import readable
from framecast.readers import decoding
from framecast.readers.folder import has_parts, is_folder, part_file
from framecast.readers.kinds import Kind, kind_of
from framecast.readers.open import read_frames
from framecast.readers.paths import Paths, files_in, find_paths
from framecast.readers.video import read_videos

EXAMINED = 20
"""Sequences, and frames of each, whose values are examined where they are not held in memory."""
PIXELS = 1 << 26
"""Values of one sequence that are examined at most; one frame at least."""
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
}
LARGEST_SIDE = 128
"""Points beyond which a smaller size is proposed for video."""


def inspect(
    place: Paths, context: int, horizon: int, missing: Sequence[float] = ()
) -> dict[str, str]:
    """Describe a file or a folder of frames, and name the command to train on it.

    Args:
        place: a file; a folder, a pattern or a list of files; a folder with files named train,
            validation and test; or the folder of the KTH actions.
        context: frames of a window that are given, at least 1.
        horizon: frames of a window that are forecast, at least 1.
        missing: values that stand for a missing one, in files that are not videos.

    Returns:
        Descriptions by their titles, in the order in which they are to be read.

    Raises:
        UserError: if it cannot be read.
    """
    for name, value in (("context", context), ("horizon", horizon)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    find_paths(place)  # says what is not there
    source = _source_of(place)
    parts = _parts(place, source, missing)
    rows = {"kind": _kind(place, source)}
    for name, frames in parts.items():
        described = _describe(frames, context, horizon)
        rows |= {f"{name} {title}".strip(): text for title, text in described.items()}
    if "" in parts and (fitting := _fitting(parts[""], context, horizon)) != (context, horizon):
        context, horizon = fitting
        rows["windows"] += f"; {context} + {horizon} fit where validation and test take their parts"
    command = _command(place, source, next(iter(parts.values())), context, horizon)
    if missing:
        command += f" --data.missing '{[float(f'{number:g}') for number in missing]}'"
    return rows | {"next": command}


def _source_of(place: Paths) -> str:
    folder = _folder(place)
    if folder and (folder / kth.LIST).exists():
        return "kth"
    if folder and part_file(folder, "train") is None and decoding.find_videos(folder):
        return "videos"
    return "files"


def _folder(place: Paths) -> Path | None:
    """The folder of files that a place is, if it is one."""
    if isinstance(place, str | Path) and is_folder(Path(place)):
        return Path(place)
    return None


def _parts(place: Paths, source: str, missing: Sequence[float]) -> Mapping[str, Frames]:
    """The parts of a data set; all that there is, without a name, where nothing says which is what.

    They are what the source would read with the defaults.
    """
    folder = _folder(place)
    if source == "videos" and folder and not (folder / "train").is_dir():
        return {"": read_videos(decoding.find_videos(folder), source=str(folder))}
    if folder is None or (source == "files" and not has_parts(folder) and files_in(folder)):
        return {"": read_frames(place, missing=tuple(missing))}
    splits = DataConfig(source, str(folder), missing=list(missing)).open().splits()
    return {name: frames for name, frames in splits._asdict().items() if frames is not None}


def _kind(place: Paths, source: str) -> str:
    """What a place holds, in words."""
    if source == "kth":
        return "KTH actions"
    folder = _folder(place)
    if source == "videos":
        return "folder of videos"
    if folder and has_parts(folder):
        return "folder of train, validation, test"
    files = [f for path in find_paths(place) for f in (files_in(path) if folder else [path])]
    name = KINDS[kind_of(files[0])]
    return name if len(files) == 1 else f"{len(files)} files, each a {name}"


def _describe(frames: Frames, context: int, horizon: int) -> dict[str, str]:
    lengths, window = np.array(frames.lengths), context + horizon
    channels = [f"{c.name} [{c.units}]" if c.units else c.name for c in frames.channels]
    short = int((lengths < window).sum())
    pieces = np.array([len(piece) for piece in frames.pieces])
    windows = f"{(pieces // window).sum()} of {context} + {horizon} frames side by side"
    return {
        "sequences": str(len(lengths)),
        "frames": _span(min(frames.lengths), max(frames.lengths))
        + (f", {lengths.sum()} together" if len(lengths) > 1 else ""),
        "grid": f"{frames.grid[0]} rows × {frames.grid[1]} columns",
        "channels": ", ".join(channels),
        "step": _step(frames),
        "values": _values(frames),
        **_gaps(frames),
        **_areas(frames),
        "windows": windows + (f"; too short for one: {short}" if short else ""),
    }


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _step(frames: Frames) -> str:
    axis = frames.coordinates.get(frames.time_dim)
    if frames.step is None:
        return "none: there is one frame only"
    if axis is None:
        return "none: the frames have no times"
    units = f" {axis.attributes['units']}" if "units" in axis.attributes else ""
    rate = f", {1 / frames.step.difference:g} frames a second" if units == " s" else ""
    return f"{frames.step}{units}{rate}"


def _values(frames: Frames) -> str:
    """The range of the values, and how many are missing, of all or of some that are examined."""
    low, high, missing, count = math.inf, -math.inf, torch.zeros(len(frames.channels)), 0
    for part in _examined(frames.values):
        low = min(low, float(part.nan_to_num(math.inf).min()))
        high = max(high, float(part.nan_to_num(-math.inf).max()))
        missing, count = missing + part.isnan().sum((0, 2, 3)), count + len(part)
    examined = f" (in {count} frames examined)" if isinstance(frames.values, LazyValues) else ""
    shares = (missing / (count * math.prod(frames.grid))).tolist()
    return f"{low:g} to {high:g}, {_missing(frames, shares)}{examined}"


def _examined(values: Values) -> Iterator[Float[Tensor, "T C H W"]]:
    """All sequences that are held in memory; of others some, and fewer frames of large ones."""
    if isinstance(values, Tensor):
        yield from values
        return
    frames = max(1, min(EXAMINED, PIXELS // math.prod(values.shape[2:])))
    for place in np.linspace(0, len(values) - 1, min(EXAMINED, len(values))).astype(int).tolist():
        yield values[place, :frames]


def _missing(frames: Frames, shares: Sequence[float]) -> str:
    """Say which share of each channel is missing."""
    named = zip(frames.names, shares, strict=True)
    gaps = [f"{name} {100 * share:.2g} %" for name, share in named if share > 0]
    return f"missing: {', '.join(gaps)}" if gaps else "all known"


def _gaps(frames: Frames) -> dict[str, str]:
    """Say where the time axis is cut; nothing where it is whole."""
    cuts = [piece.start for piece in frames.pieces if piece.sequence == 0 and piece.start > 0]
    if not cuts:
        return {}
    where = ", ".join(readable(frames.times[cut]) for cut in cuts[:5])
    more = f" and {len(cuts) - 5} more" if len(cuts) > 5 else ""
    return {"gaps": f"frames are missing before {where}{more}: no window crosses these"}


def _areas(frames: Frames) -> dict[str, str]:
    """Propose area weights where latitudes make cells differ; nothing elsewhere."""
    if find_axis(frames, "latitude") is None:
        return {}
    weights = area_weights(frames)
    largest, smallest = float(weights.max()), float(weights.min())
    if largest < 1.1 * smallest:
        return {}
    return {
        "areas": f"the smallest cell has {100 * smallest / largest:.0f} % of the area of the "
        "largest: --training.area_weights true weighs the loss by area"
    }


def _fitting(frames: Frames, context: int, horizon: int) -> tuple[int, int]:
    """The window, or a shorter one where a series would be parted into stretches too short for it.

    The stretches are those of the default fractions; shorter than two frames, nothing fits.
    """
    if len(frames.values) > 1:
        return context, horizon
    shares = Files.validation_fraction, Files.test_fraction
    shortest = min(round(frames.length * share) for share in (*shares, 1 - sum(shares)))
    if not 2 <= shortest < context + horizon:
        return context, horizon
    fewer = min(max(1, round(shortest * horizon / (context + horizon))), shortest - 1)
    return shortest - fewer, fewer


def _command(place: Paths, source: str, frames: Frames, context: int, horizon: int) -> str:
    path = str(place) if isinstance(place, str | Path) else f"[{', '.join(map(str, place))}]"
    options = [f"--data.path {shlex.quote(path)}"]
    if set(frames.names) <= {*decoding.GREY, *decoding.COLOUR} and max(frames.grid) > LARGEST_SIDE:
        smaller = [max(8, round(side * LARGEST_SIDE / max(frames.grid))) for side in frames.grid]
        source, options = "videos", [*options, f"--data.options.size '{smaller}'"]
    if source != "files":
        options.insert(0, f"--data.source {source}")
    options += [f"--training.context {context}", f"--training.horizon {horizon}"]
    stem = re.sub(r"[^\w.+-]+", "_", find_paths(place)[0].stem) or "frames"
    return f"framecast train starter {' '.join(options)} --out runs/{stem}"
