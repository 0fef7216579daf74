"""NumPy files: frames without labels."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from framecast.data.frames import Channel, Frames
from framecast.errors import UserError

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
    try:
        content = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as a NumPy file ({error}): it may be truncated, "
            "or hold Python objects, which are never loaded"
        ) from error
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
    return Frames(
        values=torch.from_numpy(array.astype(np.float32)),
        channels=tuple(Channel(name) for name in names),
        dims=dims,
        source=str(path),
    )
