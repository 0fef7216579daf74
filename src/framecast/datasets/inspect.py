"""What a path holds, in words, before anything is trained on it."""

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.datasets import kth
from framecast.datasets.config import DataConfig
from framecast.datasets.files import Files
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Values
from framecast.frames.places import area_weights, find_axis
from framecast.frames.times import readable
from framecast.readers import arrays, decoding
from framecast.readers.folder import is_folder, part_file
from framecast.readers.guard import check_file
from framecast.readers.open import open_frames
from framecast.readers.video import read_videos

EXAMINED = 20
"""Sequences, and frames of each, whose values are examined where they are not held in memory."""
PIXELS = 1 << 26
"""Values of one sequence that are examined at most; one frame at least."""
LARGEST_SIDE = 128
"""Points beyond which a smaller size is proposed for video."""


def inspect(
    path: PathLike, context: int, horizon: int, data: DataConfig | None = None
) -> dict[str, str]:
    """Describe a file or a folder of frames, and name the command to train on it.

    Args:
        path: a video, a NetCDF, Zarr or NumPy file, a folder of videos, a folder with files named
            train, validation and test, or the folder of the KTH actions.
        context: frames of a window that are given, at least 1.
        horizon: frames of a window that are forecast, at least 1.
        data: how it is read; its path is not looked at, and its source only if it is not files.

    Returns:
        Descriptions by their titles, in the order in which they are to be read.

    Raises:
        UserError: if it cannot be read.
    """
    for name, value in (("context", context), ("horizon", horizon)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    path, data = Path(path), data or DataConfig()
    check_file(path)
    source = _source_of(path) if data.source == "files" else data.source
    data = replace(data, source=source, path=str(path))
    parts = _parts(path, data)
    rows = {"kind": _kind(path, source)}
    for name, frames in parts.items():
        described = _describe(frames, context, horizon)
        rows |= {f"{name} {title}".strip(): text for title, text in described.items()}
    if "" in parts and (fitting := _fitting(parts[""], context, horizon)) != (context, horizon):
        context, horizon = fitting
        rows["windows"] += f"; {context} + {horizon} fit where validation and test take their parts"
    return rows | {"next": _command(data, next(iter(parts.values())), context, horizon)}


def _source_of(path: Path) -> str:
    if (path / kth.LIST).exists():
        return "kth"
    if is_folder(path) and part_file(path, "train") is None and decoding.find_videos(path):
        return "videos"
    return "files"


def _parts(path: Path, data: DataConfig) -> Mapping[str, Frames]:
    """The parts of a data set; all that there is, without a name, where nothing says which is what.

    They are what the source would read with the defaults.
    """
    if not is_folder(path) and data.source == "files":
        return {"": open_frames(path, data.selection)}
    if data.source == "videos" and not (path / "train").is_dir():
        return {"": read_videos(decoding.find_videos(path), source=str(path))}
    splits = data.open().splits()
    return {name: frames for name, frames in splits._asdict().items() if frames is not None}


def _kind(path: Path, source: str) -> str:
    if source == "kth":
        return "KTH actions"
    if is_folder(path):
        return "folder of videos" if source == "videos" else "folder of train, validation, test"
    if path.suffix.lower() in decoding.SUFFIXES:
        return "video"
    if path.suffix in arrays.SUFFIXES:
        return "NumPy file"
    return "Zarr store" if path.is_dir() else "NetCDF file"


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
        **_dimensions(frames),
        "step": _step(frames),
        "values": _values(frames),
        **_gaps(frames),
        **_areas(frames),
        "windows": windows + (f"; too short for one: {short}" if short else ""),
    }


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _dimensions(frames: Frames) -> dict[str, str]:
    """Say what the dimensions of a labelled file were read as, and why; nothing of others."""
    said = "; ".join(f"{dim}: {why}" for dim, why in frames.evidence.items())
    return {"dimensions": said} if said else {}


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


def _command(data: DataConfig, frames: Frames, context: int, horizon: int) -> str:
    """The command that trains on what was inspected, read in the same way."""
    given = {f.name: getattr(data, f.name) for f in fields(DataConfig)}
    default = {name: getattr(DataConfig(), name) for name in given}
    if set(frames.names) <= {*decoding.GREY, *decoding.COLOUR} and max(frames.grid) > LARGEST_SIDE:
        smaller = [max(8, round(side * LARGEST_SIDE / max(frames.grid))) for side in frames.grid]
        given |= {"source": "videos", "options": {"size": smaller} | data.options}
    changed = {name: value for name, value in given.items() if value != default[name]}
    options = [text for name, value in changed.items() for text in _options(name, value)]
    options += [f"--training.context {context}", f"--training.horizon {horizon}"]
    run = shlex.quote(f"runs/{Path(data.path or '').stem}")
    return f"framecast train starter {' '.join(options)} --out {run}"


def _options(name: str, value: Any) -> list[str]:
    """A key of the data as the command line takes it; one option for each name within it."""
    if isinstance(value, dict) and all(re.fullmatch(r"[\w-]+", key) for key in value):
        return [f"--data.{name}.{key} {shlex.quote(_as_text(v))}" for key, v in value.items()]
    return [f"--data.{name} {shlex.quote(_as_text(value))}"]


def _as_text(value: Any) -> str:
    """A value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)
