"""Arrays in requests and responses: NumPy's own formats, or JSON."""

import io
import json
import math
import zipfile
import zlib
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from framecast.base.errors import UserError

NPY, NPZ, JSON = "application/x-npy", "application/x-npz", "application/json"
"""The types of content that are read; all but the second are written too."""
FRAMES = "frames"
"""Name of the array that a body holds beside others, and of one that comes alone."""


def parse_named(body: bytes, kind: str, names: tuple[str, ...], most: int) -> dict[str, Tensor]:
    """Return the arrays of a request by name; one that comes alone is `FRAMES`.

    Args:
        body: a `.npz` file, or a JSON object, of arrays by name; or one array, as `parse` reads it.
        kind: type of the content; a `.npz` file is known by its first bytes.
        names: that arrays may have.
        most: bytes that a `.npz` file may have when it is unpacked.

    Raises:
        UserError: if the body is none of these, or an array has another name.
    """
    if body.startswith(b"PK"):
        parts = {n: _from_npy(member) for n, member in _members(body, len(names), most).items()}
    elif kind.split(";")[0].strip() == JSON and body.lstrip().startswith(b"{"):
        parts = {name: _as_array(nested) for name, nested in _load_json(body).items()}
    else:
        return {FRAMES: parse(body, kind)}
    if unknown := sorted(parts.keys() - set(names)):
        raise UserError(f"the body holds {', '.join(unknown)}: only {', '.join(names)} are read")
    if FRAMES not in parts:
        raise UserError(f"the body holds no {FRAMES}")
    return parts


def parse(body: bytes, kind: str) -> Tensor:
    """Return the numbers of a request in float32, NaN where a value is missing.

    Args:
        body: a `.npy` file of floating-point numbers or integers; or JSON, nested lists of numbers
            with null for a missing one.
        kind: type of the content.

    Raises:
        UserError: if the body is neither.
    """
    if kind.split(";")[0].strip() == JSON:
        return _from_json(body)
    return _from_npy(body)


def render(values: Tensor, kind: str) -> bytes:
    """Return an array as bytes of that type of content, with null for NaN in JSON."""
    array = values.numpy()
    if kind == JSON:
        numbers = array.astype(object)
        numbers[~np.isfinite(array)] = None
        return json.dumps(numbers.tolist()).encode()
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _from_npy(body: bytes) -> Tensor:
    """Read a .npy file whose header is believed only as far as there are bytes for it."""
    file = io.BytesIO(body)
    try:
        major, _ = npy.read_magic(file)
        header = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        shape, by_columns, dtype = header(file)
    except Exception as error:  # a header is parsed, and fails in as many ways as a program
        raise UserError(f"the body is no .npy file: {error}") from error
    content = body[file.tell() :]
    if dtype.kind not in "fiu" or len(content) != math.prod(shape) * dtype.itemsize:
        raise UserError(
            f"the body says {list(shape)} of {dtype}, which is not what its {len(content)} bytes "
            "hold, or no kind of number"
        )
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
    return torch.from_numpy(np.array(array, np.float32, order="C"))


def _members(body: bytes, count: int, most: int) -> dict[str, bytes]:
    """The files of a .npz file, no more of them and of their bytes than allowed."""
    members = {}
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as file:
            if len(entries := file.infolist()) > count:
                raise UserError(f"the body holds {len(entries)} arrays: at most {count} are read")
            for entry in entries:
                with file.open(entry) as member:
                    content = member.read(most + 1)
                most -= len(content)
                if most < 0:
                    raise UserError("the body is too large when it is unpacked")
                members[entry.filename.removesuffix(".npy")] = content
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"the body is no .npz file: {error}") from error
    return members


def _from_json(body: bytes) -> Tensor:
    return _as_array(_load_json(body))


def _load_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the body is no JSON list of numbers of one shape: {error}") from error


def _as_array(nested: Any) -> Tensor:
    try:
        array = np.array(nested, np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"the body is no JSON list of numbers of one shape: {error}") from error
    return torch.from_numpy(array.astype(np.float32))
