"""NumPy files: frames without labels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.frames import Channel, Frames
from framecast.frames.lazy import HELD, LazyValues, Values

SUFFIXES = (".npy", ".npz")

_LAYOUT = "[T,H,W], [T,C,H,W] or [N,T,C,H,W]"


def read_arrays(path: Path, variables: Sequence[str] | None = None) -> Frames:
    """Read frames from a `.npy` or `.npz` file.

    Args:
        path: an array [T,H,W], [T,C,H,W] or [N,T,C,H,W] of numbers; in a `.npz` file the
            array named `frames`, or the only one.
        variables: names of arrays [T,H,W] in a `.npz` file that become channels, in this
            order. For a single array, names of its channels; None numbers them.

    Raises:
        UserError: if the file cannot be read, or the shape is none of these.
    """
    content = _load(path)
    if isinstance(content, np.ndarray):
        return _frames(content, path, variables)
    with content:
        if variables and all(v in content for v in variables):
            return _frames(_stack(content, path, variables), path, variables)
        if not content.files:
            raise UserError(f"{path} holds no array")
        name = "frames" if "frames" in content else content.files[0]
        if name != "frames" and len(content.files) != 1:
            raise UserError(
                f"{path} holds several arrays ({', '.join(content.files)}) and none is named "
                "frames: name the channels with --data.variables"
            )
        return _frames(content[name], path, variables)


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

    Attributes:
        array: perhaps mapped from a file.
        source: the file.
        scale: what numbers are multiplied by, in float32.
    """

    array: np.ndarray
    source: str
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, t, c, h, w = self.array.shape
        return n, t, c, h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        return torch.from_numpy(self.array[sequence, start:stop].astype(np.float32) * self.scale)

    def fingerprint(self) -> str:
        """Return a digest of all values, which are read in the order in which they are stored."""
        digest = hashlib.blake2b(repr((self.shape, self.scale)).encode(), digest_size=12)
        stored = np.argsort(self.array.strides)[::-1]
        for part in self.array.transpose(stored):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def _load(path: Path) -> Any:
    """The content of a `.npz` file, or an array that is mapped into memory."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as a NumPy file ({error}): it may be truncated, "
            "or hold Python objects, which are never loaded"
        ) from error


def _stack(content: np.lib.npyio.NpzFile, path: Path, names: Sequence[str]) -> np.ndarray:
    shapes = {name: content[name].shape for name in names}
    if any(len(s) != 3 for s in shapes.values()) or len(set(shapes.values())) > 1:
        raise UserError(f"{path}: as channels these must all be [T,H,W] and alike: {shapes}")
    return np.stack([content[name] for name in names], axis=1)


def _frames(array: np.ndarray, path: Path, names: Sequence[str] | None) -> Frames:
    if array.ndim not in (3, 4, 5) or array.dtype.kind not in "fiub":
        raise UserError(
            f"{path} holds {array.dtype} {list(array.shape)}; needed are numbers {_LAYOUT}"
        )
    dims = ("sequence", "time", "y", "x") if array.ndim == 5 else ("time", "y", "x")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim == 4:
        array = array[None]
    names = names or [f"channel_{c}" for c in range(array.shape[2])]
    if len(names) != array.shape[2]:
        raise UserError(
            f"{path} has {array.shape[2]} channels, but {len(names)} names were given: "
            f"{', '.join(names)}"
        )
    if array.size * 4 > HELD:
        values: Values = LazyValues.of(ArrayReader(array, str(path)))
    else:
        values = torch.from_numpy(array.astype(np.float32))
    return Frames(
        values=values,
        channels=tuple(Channel(name) for name in names),
        dims=dims,
        source=str(path),
    )
