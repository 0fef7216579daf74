"""NumPy files: frames without labels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.frames.frames import Channel, Frames, StaticFields
from framecast.frames.lazy import HELD, LazyValues, Values
from framecast.readers.actions import make_actions
from framecast.readers.contents import Contents, open_contents
from framecast.readers.guard import check_file, guarded
from framecast.readers.layout import arranged, layout_of
from framecast.readers.selection import EVERYTHING, Selection

SUFFIXES = (".npy", ".npz")

WRITTEN = ["frames", "channels", "times", "starts"]
"""Arrays of a forecast in a `.npz` file, whose frames are [T,C,H,W]."""

_SHAPES = "[T,H,W], [T,C,H,W] or [N,T,C,H,W]"


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
        return _frames(content, path, selection)
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
    return _read(open_contents(path, selection.group), path, selection)


def _read(content: Any, path: Path, selection: Selection) -> Frames:
    array, layout = _main_array(content, path, selection)
    frames = _frames(array, path, replace(selection, layout=layout or selection.layout))
    return replace(
        frames,
        static=_static(content, path, selection),
        actions=_actions(content, path, selection, frames),
    )


def _main_array(content: Any, path: Path, selection: Selection) -> tuple[np.ndarray, str | None]:
    """The values of all channels that change in time, and their layout where that is known."""
    for name in selection.others:
        if name not in content:
            raise UserError(f"{path} has no array {name}; it has {', '.join(content.files)}")
    named = (*(selection.variables or ()), *selection.diagnostic, *selection.forcings)
    if named and all(v in content for v in named):
        return _stack(content, path, named, selection.layout or "thw"), "tchw"
    if not content.files:
        raise UserError(f"{path} holds no array")
    others = [name for name in content.files if name not in selection.others]
    if "frames" not in others and len(others) != 1:
        raise UserError(
            f"{path} holds several arrays ({', '.join(content.files)}) and none is named "
            "frames: name the channels with --data.variables"
        )
    array = _members(content, path, ["frames" if "frames" in others else others[0]])[0]
    return array, "tchw" if array.ndim == 4 and content.files == WRITTEN else None


def _static(content: Any, path: Path, selection: Selection) -> StaticFields | None:
    if not selection.static:
        return None
    fields = _members(content, path, selection.static)
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
    array, several = _members(content, path, [selection.actions])[0], len(frames.dims) == 4
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


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads an array [N,T,C,H,W] of any numbers a window at a time: a `Reader`.

    Where the array is mapped from a file, another process is given the place of it in the file.

    Attributes:
        array: perhaps mapped from a file.
        source: the file.
        scale: what numbers are multiplied by, in float32.
        selection: says which values stand for a missing one.
    """

    array: np.ndarray
    source: str
    scale: float = 1.0
    selection: Selection = EVERYTHING

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, t, c, h, w = self.array.shape
        return n, t, c, h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        values = self.selection.numbers(self.array[sequence, start:stop])
        return values if self.scale == 1 else values * self.scale

    def fingerprint(self) -> str:
        """Return a digest of all values, which are read in the order in which they are stored."""
        digest = hashlib.blake2b(repr((self.shape, self.scale)).encode(), digest_size=12)
        stored = np.argsort(self.array.strides)[::-1]
        for part in self.array.transpose(stored):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        file = _file_of(self.array)
        if file is None:
            return ArrayReader, (self.array, self.source, self.scale, self.selection)
        offset = file.offset + _address(self.array) - _address(file)
        place = (Path(str(file.filename)), offset, self.array.dtype, self.array.shape)
        return _mapped, (*place, self.array.strides, self.source, self.scale, self.selection)


def _mapped(
    path: Path,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *further: Any,
) -> ArrayReader:
    """A reader of an array at a place of a file, which is mapped into memory anew."""
    content = np.memmap(path, np.uint8, "r")
    return ArrayReader(np.ndarray(shape, dtype, content.data, offset, strides), *further)


def _file_of(array: np.ndarray) -> "np.memmap[Any, Any] | None":
    """The mapped file that an array is a view of; None if it is of memory."""
    found: Any = array
    while isinstance(found.base, np.ndarray):
        found = found.base
    return found if isinstance(found, np.memmap) and found.filename else None


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _load(path: Path) -> Any:
    """The content of a `.npz` file, or an array that is mapped into memory."""
    check_file(path)
    hint = "it may be truncated, or hold Python objects, which are never loaded"
    with guarded(path, "cannot be read as a NumPy file", hint):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _members(content: Any, path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of a `.npz` file: all that is asked for is in memory at once."""
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
        if not isinstance(array, np.ndarray):
            raise UserError(f"{path}: {name} is not an array")
    return arrays


def _sizes(content: Any) -> Mapping[str, int]:
    """The bytes of each array of a file."""
    if isinstance(content, Contents):
        return content.sizes
    return {info.filename.removesuffix(".npy"): info.file_size for info in content.zip.filelist}


def _stack(content: Any, path: Path, names: Sequence[str], layout: str) -> np.ndarray:
    """Arrays [T,H,W], or of another layout of these three axes, as [T,C,H,W]."""
    arrays = _members(content, path, names)
    shapes = {name: array.shape for name, array in zip(names, arrays, strict=True)}
    if any(len(s) != 3 for s in shapes.values()) or len(set(shapes.values())) > 1:
        raise UserError(f"{path}: as channels these must all be [T,H,W] and alike: {shapes}")
    return np.concatenate([arranged(array, layout, str(path))[0][0] for array in arrays], axis=1)


def _frames(array: np.ndarray, path: Path, selection: Selection) -> Frames:
    if array.ndim not in (3, 4, 5) or array.dtype.kind not in "fiub":
        raise UserError(
            f"{path} holds {array.dtype} {list(array.shape)}; needed are numbers {_SHAPES}"
        )
    layout = selection.layout or layout_of(array, str(path), selection.count)
    array, several = arranged(array, layout, str(path))
    names = _names(selection, array.shape[2])
    if len(names) != array.shape[2]:
        raise UserError(
            f"{path} has {array.shape[2]} channels, but {len(names)} names were given: "
            f"{', '.join(names)}"
        )
    if selection.lazy or array.size * 4 > HELD:
        values: Values = LazyValues.of(ArrayReader(array, str(path), selection=selection))
    else:
        values = selection.numbers(array)
    return Frames(
        values=values,
        channels=tuple(selection.channel(name, {}) for name in names),
        dims=("sequence", "time", "y", "x") if several else ("time", "y", "x"),
        source=str(path),
    )


def _names(selection: Selection, channels: int) -> list[str]:
    """Names of the channels of an array: prognostic, diagnostic and forcing ones in this order."""
    others = [*selection.diagnostic, *selection.forcings]
    first = selection.variables or [f"channel_{c}" for c in range(channels - len(others))]
    return [*first, *others]
