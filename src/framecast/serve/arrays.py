"""Arrays in requests and responses: NumPy's own format, or JSON."""

import io
import json
import math
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from framecast.base.errors import UserError

NPY, JSON = "application/x-npy", "application/json"
"""The types of content that are read and written."""


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
    except ValueError as error:
        raise UserError(f"the body is no .npy file: {error}") from error
    content = body[file.tell() :]
    if dtype.kind not in "fiu" or len(content) != math.prod(shape) * dtype.itemsize:
        raise UserError(
            f"the body says {list(shape)} of {dtype}, which is not what its {len(content)} bytes "
            "hold, or no kind of number"
        )
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
    return torch.from_numpy(np.array(array, np.float32, order="C"))


def _from_json(body: bytes) -> Tensor:
    try:
        nested: Any = json.loads(body)
        array = np.array(nested, np.float64)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"the body is no JSON list of numbers of one shape: {error}") from error
    return torch.from_numpy(array.astype(np.float32))
