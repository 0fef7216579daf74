"""Channels: the variables of frames, what each is for, and coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Role = Literal["prognostic", "diagnostic", "forcing", "static"]
"""What a channel is for: read and predicted (and fed back in the closed loop); predicted only; read
only, and known ahead of time; or read only, and the same at all times."""


@dataclass(frozen=True)
class Channel:
    """One variable of the frames: its name, attributes (units, long_name, ...), and its role."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    role: Role = "prognostic"

    @property
    def units(self) -> str:
        """Units as the source gives them, or an empty string."""
        return str(self.attributes.get("units", ""))

    @property
    def valid_range(self) -> tuple[float, float] | None:
        """Least and greatest value that may occur, where the source declares them.

        They are the attribute valid_range, or valid_min and valid_max, of the CF conventions.
        """
        ends = self.attributes.get(
            "valid_range", [self.attributes.get(name) for name in ("valid_min", "valid_max")]
        )
        return None if None in ends else (float(ends[0]), float(ends[1]))


@dataclass(frozen=True, eq=False)
class Coordinate:
    """A coordinate of the source: values over some of the dimensions, kept as they were."""

    dims: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)
