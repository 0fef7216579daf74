"""Frames without labels: NumPy files, and arrays in those of other programs."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float
from numpy.lib.npyio import NpzFile
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.frames.frames import Channel, Frames, StaticFields
from framecast.frames.lazy import HELD, LazyValues, Reader
from framecast.readers.actions import make_actions
from framecast.readers.guard import check_file, guarded
from framecast.readers.layout import arranged, fitting, layout_of
from framecast.readers.mapped import ArrayReader
from framecast.readers.selection import EVERYTHING, Selection
from framecast.readers.stored import Array, StoredArray

SUFFIXES = (".npy", ".npz")

WRITTEN = ["frames", "channels", "times", "starts"]
"""Arrays of a forecast in a `.npz` file, whose frames are [T,C,H,W]."""

_SHAPES = "[T,H,W], [T,C,H,W] or [N,T,C,H,W]"


class _WholeReader(Reader, Protocol):
    """A reader that gives all that there is, too."""

    def everything(self) -> Float[Tensor, "N T C H W"]:
        """Return all values, float32, in physical units."""


def read_arrays(path: Path, selection: Selection = EVERYTHING) -> Frames:
    """Read frames from a `.npy` or `.npz` file.

    Args:
        path: an array [T,H,W], [T,C,H,W] or [N,T,C,H,W] of numbers, or of the layout that is
            selected; in a `.npz` file the array named `frames`, or the only one.
        selection: names of arrays [T,H,W] in a `.npz` file that become channels, in this
            order, of static arrays [H,W], and of actions [T], [T,A] or [N,T,A]. For a single
            array, names of its channels; none numbers them.

    Raises:
        UserError: if the file cannot be read, the shape is none of these, or could be two.
    """
    content = _load(path)
    if isinstance(content, np.ndarray):
        if selection.static or selection.actions:
            raise UserError(
                f"{path} holds a single array, and neither static fields nor actions: put them "
                "beside it into a .npz file, under names of their own"
            )
        return _frames([content], path, selection)
    with content:
        return _read(content, path, selection)


def read_contents(path: Path, selection: Selection = EVERYTHING) -> Frames:
    """Read frames from arrays without labels in a file of another program than NumPy.

    Args:
        path: as `open_contents` takes it.
        selection: as for `read_arrays`.

    Raises:
        UserError: if the file cannot be read, or shapes do not fit.
    """
    from framecast.readers.contents import open_contents  # for them alone: xarray takes a while

    with ExitStack() as stack:
        content = stack.enter_context(open_contents(path, selection.group))
        frames = _read(content, path, selection)
        if isinstance(frames.values, LazyValues):
            stack.pop_all()  # the file stays open as long as the reader is there
        return frames
    raise AssertionError("closing a file lets no error pass in silence")


def _read(content: Any, path: Path, selection: Selection) -> Frames:
    arrays, layout = _main_arrays(content, path, selection)
    frames = _frames(arrays, path, replace(selection, layout=layout or selection.layout))
    return replace(
        frames,
        static=_static(content, path, selection),
        actions=_actions(content, path, selection, frames),
    )


def _main_arrays(content: Any, path: Path, selection: Selection) -> tuple[list[Array], str | None]:
    """What holds all channels that change in time, one after the other, and its layout if known."""
    for name in selection.others:
        if name not in content:
            raise UserError(f"{path} has no array {name}; it has {', '.join(content.files)}")
    named = (*(selection.variables or ()), *selection.diagnostic, *selection.forcings)
    if named and all(v in content for v in named):
        return _alike(content, path, named), selection.layout or "thw"
    if not content.files:
        raise UserError(f"{path} holds no array")
    others = [name for name in content.files if name not in selection.others]
    if "frames" not in others and len(others) != 1:
        raise UserError(
            f"{path} holds several arrays ({', '.join(content.files)}) and none is named "
            "frames: name the channels with --data.variables"
        )
    array = _members(content, path, ["frames" if "frames" in others else others[0]])[0]
    return [array], "tchw" if array.ndim == 4 and content.files == WRITTEN else None


def _static(content: Any, path: Path, selection: Selection) -> StaticFields | None:
    if not selection.static:
        return None
    fields = _in_memory(content, path, selection.static)
    shapes = {n: f.shape for n, f in zip(selection.static, fields, strict=True)}
    if any(len(shape) != 2 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        raise UserError(f"{path}: static fields must all be [H,W] and alike: {shapes}")
    channels = tuple(Channel(n, {}, "static") for n in selection.static)
    return StaticFields(selection.numbers(np.stack(fields)), channels)


def _actions(
    content: Any, path: Path, selection: Selection, frames: Frames
) -> Float[Tensor, "N T A"] | None:
    if selection.actions is None:
        return None
    array, several = _in_memory(content, path, [selection.actions])[0], len(frames.dims) == 4
    array = array if several else array[None]
    array = array[..., None] if array.ndim == 2 else array
    return make_actions(array, selection, str(path))


def open_array(path: Path) -> np.ndarray:
    """Map a `.npy` file into memory, of any shape and type.

    Raises:
        UserError: if it is not there, or is no array.
    """
    array = _load(path)
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} is not a single array in NumPy's format (.npy)")
    return array


def _load(path: Path) -> Any:
    """The content of a `.npz` file, or an array that is mapped into memory."""
    check_file(path)
    hint = "it may be truncated, or hold Python objects, which are never loaded"
    with guarded(path, "cannot be read as a NumPy file", hint):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _members(content: Any, path: Path, names: Sequence[str]) -> list[Array]:
    """Arrays of a file: those that do not stay in it are in memory at once."""
    hint = "it may be damaged, encrypted, or hold Python objects, which are never loaded"
    with guarded(path, f"opens, but {', '.join(names)} cannot be read", hint):
        sizes = _sizes(content)
        check_memory(
            2 * sum(sizes[name.removesuffix(".npy")] for name in names),
            f"{path}: {', '.join(names)}",
            "Save them as .npy files, which are read a window at a time",
        )
        arrays = [content[name] for name in names]
    for name, array in zip(names, arrays, strict=True):
        if not isinstance(array, Array):
            raise UserError(f"{path}: {name} is not an array")
    return arrays


def _in_memory(content: Any, path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of a file, read whole."""
    arrays = _members(content, path, names)
    with guarded(path, f"opens, but {', '.join(names)} cannot be read", "it may be damaged"):
        check_memory(sum(a.nbytes for a in arrays), f"{path}: {', '.join(names)}", "Cut it first")
        return [array[(slice(None),) * array.ndim] for array in arrays]
    raise AssertionError("guarded lets no error pass in silence")


def _sizes(content: Any) -> Mapping[str, int]:
    """The bytes that each array of a file takes in memory when it is asked for."""
    if isinstance(content, NpzFile):
        packed: Any = content.zip
        return {info.filename.removesuffix(".npy"): info.file_size for info in packed.filelist}
    return content.sizes if content.whole else dict.fromkeys(content.files, 0)


def _alike(content: Any, path: Path, names: Sequence[str]) -> list[Array]:
    """Arrays [T,H,W], or of another layout of these three axes, each of which is a channel."""
    arrays = _members(content, path, names)
    shapes = {name: array.shape for name, array in zip(names, arrays, strict=True)}
    if any(len(s) != 3 for s in shapes.values()) or len(set(shapes.values())) > 1:
        raise UserError(f"{path}: as channels these must all be [T,H,W] and alike: {shapes}")
    return arrays


def _frames(arrays: Sequence[Array], path: Path, selection: Selection) -> Frames:
    for array in arrays:
        if array.ndim not in (3, 4, 5) or array.dtype.kind not in "fiub":
            raise UserError(
                f"{path} holds {array.dtype} {list(array.shape)}; needed are numbers {_SHAPES}"
            )
    layout = selection.layout or _layout_of(arrays[0], path, selection)
    several = "n" in fitting(layout, arrays[0].shape, str(path))
    reader = _reader(arrays, layout, str(path), selection)
    channels = reader.shape[2]
    names = _names(selection, channels)
    if len(names) != channels:
        raise UserError(
            f"{path} has {channels} channels, but {len(names)} names were given: {', '.join(names)}"
        )
    lazy = selection.lazy or 4 * math.prod(reader.shape) > HELD
    return Frames(
        values=LazyValues.of(reader) if lazy else reader.everything(),
        channels=tuple(selection.channel(name, {}) for name in names),
        dims=("sequence", "time", "y", "x") if several else ("time", "y", "x"),
        source=str(path),
    )


def _layout_of(array: Array, path: Path, selection: Selection) -> str:
    with guarded(path, "opens, but its frames cannot be read", "the file may be damaged"):
        return layout_of(array, str(path), selection.count)
    raise AssertionError("guarded lets no error pass in silence")


def _reader(
    arrays: Sequence[Array], layout: str, source: str, selection: Selection
) -> _WholeReader:
    """What reads arrays of one layout, whose channels follow one another."""
    stored = [array for array in arrays if isinstance(array, StoredArray)]
    if stored:
        from framecast.readers.unlabelled import stored_reader  # of other files than NumPy's

        return stored_reader(stored, layout, source, selection)
    loaded = [arranged(a, layout, source)[0] for a in arrays if isinstance(a, np.ndarray)]
    whole = loaded[0] if len(loaded) == 1 else np.concatenate(loaded, axis=2)
    return ArrayReader(whole, source, selection=selection)


def _names(selection: Selection, channels: int) -> list[str]:
    """Names of the channels of an array: prognostic, diagnostic and forcing ones in this order."""
    others = [*selection.diagnostic, *selection.forcings]
    first = selection.variables or [f"channel_{c}" for c in range(channels - len(others))]
    return [*first, *others]
