"""The header of a checkpoint: what is known of a model before any weight is read."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from framecast.base.errors import UserError
from framecast.base.plain import build
from framecast.frames.roles import FrameSpec
from framecast.models.model import Model, build_model
from framecast.models.size import weight_shapes
from framecast.models.spec import Ports
from framecast.runs.compat import upgrade_header

KEY = "framecast"
"""Where the header stands in the metadata of a safetensors file."""
FORMAT = 2

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    Attributes:
        model: what the network is built from, as its own `spec` says.
        frames: what the training frames looked like, and what the network reads and predicts.
        context: frames given before each forecast in training.
        horizon: lead times in training.
        epoch: epochs done.
        loss: the loss by which the best epoch was chosen.
        kind: name of the kind of model.
        format: of the header itself.
    """

    model: Mapping[str, Any]
    frames: FrameSpec
    context: int
    horizon: int
    epoch: int
    loss: float
    kind: str = "forecaster"
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is of a later version of framecast")
        for name, least in (("context", 1), ("horizon", 0), ("epoch", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)} must be at least {least}")

    def to_json(self) -> str:
        """Write the header as text."""
        return json.dumps(asdict(self), default=plain)


def plain(value: Any) -> Any:
    """Return a value that JSON has no type for: a number of NumPy as it is, others as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def read_header(metadata: Mapping[str, str], file: Path) -> Header:
    """Read the header of a checkpoint, strictly: what is missing or of another type is named.

    Raises:
        UserError: if the file was not written by framecast, or its header is damaged.
    """
    if KEY not in metadata:
        raise UserError(f"{file} is a safetensors file, but was not written by framecast")
    try:
        described = upgrade_header(json.loads(metadata[KEY]))
        return build(Header, described, "header")
    except KeyError as error:
        raise UserError(f"{file}: its header is damaged: {error.args[0]} is missing") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: its header is damaged: {error}") from error


def build_from(header: Header, stored: Shapes, file: Path) -> Model:
    """Build the network that a header describes, once it is known to fit the weights of the file.

    Args:
        header: of the checkpoint.
        stored: shapes of the weights in the file, by name.
        file: the checkpoint.

    Raises:
        UserError: if the header describes no network, or one that the weights do not fit or that
            memory does not hold.
    """
    try:
        expected = weight_shapes(lambda: _build(header), "its network")
    except (ValueError, TypeError, KeyError, RuntimeError, OverflowError, MemoryError) as error:
        raise UserError(f"{file}: no network as its header says: {_first_line(error)}") from error
    _check_shapes(stored, expected, file)
    return _build(header)


def check_statistics(stored: Shapes, frames: FrameSpec, file: Path) -> None:
    """Raise a UserError unless the statistics in a file fit the frames that are described."""
    channels, static = (len(frames.channels),), (len(frames.static),)
    field = (*channels, *frames.grid)
    allowed = {"offset": channels, "scale": channels, "climatology": field}
    optional = {"known": field, "static_offset": static, "static_scale": static}
    _check_shapes({k: v for k, v in stored.items() if k not in optional}, allowed, file)
    _check_shapes(stored, allowed | {k: v for k, v in optional.items() if k in stored}, file)


def _build(header: Header) -> Model:
    model = build_model(header.kind, header.model)
    ports = getattr(model, "ports", None)
    if ports is not None and ports != Ports.of(header.frames):
        raise ValueError("model.ports are not those of the channels in frames")
    return model


def _check_shapes(stored: Shapes, expected: Shapes, file: Path) -> None:
    for name in (*expected, *stored):
        there, here = (list(s[name]) if name in s else None for s in (stored, expected))
        if there is None:
            raise UserError(f"{file} is damaged: {name}, {here} by its header, is missing")
        if here is None:
            raise UserError(f"{file} is damaged: {name} is unknown to its header")
        if there != here:
            raise UserError(f"{file} is damaged: {name} is {there}, and {here} by its header")


def _first_line(error: Exception) -> str:
    return re.split(r"[\n]", str(error))[0] or type(error).__name__
