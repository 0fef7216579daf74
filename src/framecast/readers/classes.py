"""Labels of labelled files: the class of each sequence, or of each frame, and what it is called."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from framecast.base.errors import UserError, nearest
from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames
from framecast.frames.labels import Labels
from framecast.readers.coordinates import read_coordinate
from framecast.readers.dates import is_text
from framecast.readers.recognise import Roles

MISSING = ""
"""The name of a class that is missing."""
ORDER = "class_names"
"""Attribute of a coordinate of labels: the names of the classes, in the order of their numbers."""


def label_coordinate(
    dataset: xr.Dataset, name: str | None, roles: Roles, path: Path
) -> dict[str, Coordinate]:
    """Return the names of the classes of a file as a coordinate; none where none is asked for.

    A class is a text; or a whole number, whose name is its meaning where the variable declares
    some (flag_values and flag_meanings, as in CF), else the number itself.

    Args:
        dataset: of the file.
        name: of the variable, coordinate or attribute of the file that holds the classes.
        roles: what the dimensions of the file mean.
        path: of the file.

    Raises:
        UserError: if there is none of that name, it varies over the grid, or it holds neither
            texts nor whole numbers.
    """
    if name is None:
        return {}
    if name not in dataset.variables:
        if name not in dataset.attrs:
            raise UserError(_absent(dataset, name, path))
        return {name: Coordinate((), np.array(str(dataset.attrs[name])))}
    variable = dataset[name]
    over = (*roles.sequences, roles.time)
    if odd := [str(dim) for dim in variable.dims if dim not in over]:
        raise UserError(
            f"{path}: data.label {name} varies over {', '.join(odd)}, but a label is of a whole "
            f"sequence, or of a frame: it can have the dimensions {', '.join(over)}"
        )
    read = read_coordinate(variable, dataset, roles, path)
    names, order = _names(read.values, variable, f"{path}: data.label {name}")
    return {name: replace(read, values=names, attributes={ORDER: order}, encoding={})}


def with_labels(frames: Frames, name: str) -> Frames:
    """Return frames with the labels that a coordinate of theirs holds.

    Args:
        frames: as they are read, put together and cut.
        name: of the coordinate.

    Raises:
        UserError: if the frames have no such coordinate, or the class of something is missing.
    """
    if name not in frames.coordinates:
        raise UserError(
            f"{frames.source}: data.label {name} cannot be read. It is read of labelled files "
            "(NetCDF, Zarr); of several files that follow one another (data.join time) where it "
            "has the dimension of time, and of several sequences (data.join sequences) where each "
            "file has one label"
        )
    coordinate = frames.coordinates[name]
    there = set(map(str, coordinate.values.flatten().tolist()))
    if MISSING in there:
        raise UserError(_missing(frames.source, name, coordinate.values.flatten() == MISSING))
    order = [one for one in coordinate.attributes.get(ORDER, ()) if one in there]
    order += sorted(there - set(order))
    number = {one: place for place, one in enumerate(order)}
    numbers = np.vectorize(number.__getitem__, otypes=[np.int64])(coordinate.values)
    labels = Labels(torch.from_numpy(_arranged(numbers, coordinate, frames)), tuple(order))
    return replace(frames, labels=labels)


def _arranged(
    numbers: NDArray[np.int64], coordinate: Coordinate, frames: Frames
) -> NDArray[np.int64]:
    """Numbers over any dimensions as those of sequences [N], or of their frames [N,T]."""
    count, time = len(frames.values), frames.time_dim
    dims = [*frames.dims[:-3], time] if time in coordinate.dims else [*frames.dims[:-3]]
    sizes = {time: frames.length} | ({frames.dims[0]: count} if len(frames.dims) == 4 else {})
    own = [dim for dim in dims if dim in coordinate.dims]
    numbers = numbers.transpose([coordinate.dims.index(dim) for dim in own])
    numbers = numbers[tuple(slice(None) if dim in own else None for dim in dims)]
    full = np.broadcast_to(numbers, [sizes[dim] for dim in dims])
    shape = (count, frames.length) if time in coordinate.dims else (count,)
    return full.reshape(shape).copy()


def _names(
    values: NDArray[Any], variable: xr.DataArray, what: str
) -> tuple[NDArray[Any], list[str]]:
    """The name of each class, and all names in the order of their numbers."""
    if is_text(variable) or values.dtype.kind in "USO":
        texts = np.array([_text(value) for value in values.flatten().tolist()], dtype=str)
        return texts.reshape(values.shape), sorted(set(texts.tolist()))
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    known = values[~missing]
    if values.dtype.kind not in "iubf" or (known != np.round(known)).any():
        raise UserError(f"{what} holds {values.dtype} that are no whole numbers, and no texts")
    meanings = _meanings(variable, what)
    there = sorted(set(known.astype(np.int64).tolist()))
    if meanings and (odd := [number for number in there if number not in meanings]):
        raise UserError(f"{what} holds {odd[0]}, which is none of its flag_values {list(meanings)}")
    named = {number: meanings.get(number, str(number)) for number in there}
    texts = np.full(values.shape, MISSING, dtype=object)
    texts[~missing] = [named[int(value)] for value in known.tolist()]
    return texts.astype(str), list(named.values())


def _meanings(variable: xr.DataArray, what: str) -> Mapping[int, str]:
    """What numbers mean, as CF writes it; nothing where it is not said."""
    numbers, words = (variable.attrs.get(key) for key in ("flag_values", "flag_meanings"))
    if numbers is None or words is None:
        return {}
    names = str(words).split()
    values = np.atleast_1d(np.asarray(numbers)).astype(np.int64).tolist()
    if len(names) != len(values) or len(set(names)) < len(names):
        raise UserError(
            f"{what} declares {len(values)} flag_values and the flag_meanings {' '.join(names)}: "
            "needed is a name for each, and each once"
        )
    return dict(zip(values, names, strict=True))


def _text(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _missing(source: str, name: str, missing: NDArray[np.bool_]) -> str:
    return (
        f"{source}: data.label {name} is missing {int(missing.sum())} times, first at place "
        f"{int(missing.argmax())}: "
        "give these a class of their own, or leave them out (data.select, data.period)"
    )


def _absent(dataset: xr.Dataset, name: str, path: Path) -> str:
    known = [str(n) for n in dataset.variables if n not in dataset.dims]
    return (
        f"{path} has no variable, coordinate or attribute {name}, which data.label names"
        f"{nearest(name, known)}; it has {', '.join(known)}"
    )
