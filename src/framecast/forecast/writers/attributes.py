"""Attributes of the input as any kind of file can hold them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_STORAGE = {
    *("_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "units_metadata"),
    *("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS"),
    *("_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict", "_NCProperties", "coordinates"),
}
"""Attributes that say how the input was stored."""


def carried(attributes: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Return attributes that NetCDF and Zarr can hold, as near to what they were as possible.

    Bytes and texts that are no UTF-8 are read as Latin-1; dictionaries, and lists of anything but
    numbers or texts, become JSON; true and false become 1 and 0. Empty ones are left out, and so
    is what says how the input was stored.

    Args:
        attributes: of the input.
        without: names that are left out too.
    """
    kept = {
        str(name): _plain(value)
        for name, value in attributes.items()
        if name not in _STORAGE and name not in without
    }
    return {name: value for name, value in kept.items() if value is not None}


def _plain(value: Any) -> Any:
    """A value as text, number, or list of either; None where nothing is left of it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bytes | str):
        return _text(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value if not isinstance(value, int) or abs(value) < 1 << 63 else float(value)
    if isinstance(value, list | tuple):
        return _list([_plain(part) for part in value])
    if isinstance(value, Mapping):
        return json.dumps({str(key): _plain(part) for key, part in value.items()}, default=str)
    if value is None or type(value).__name__ == "Empty":  # h5py's, for attributes without a value
        return None
    return str(value)


def _list(parts: list[Any]) -> Any:
    """A list of numbers or of texts, or the JSON of another one; a single part alone."""
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    kinds = {float if isinstance(part, int | float) else type(part) for part in parts}
    return parts if kinds in ({float}, {str}) else json.dumps(parts, default=str)


def _text(value: bytes | str) -> str:
    """A text of UTF-8, or of Latin-1, whose bytes some libraries give as lone surrogates."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    try:
        return raw.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return raw.decode("latin-1").rstrip("\0")
