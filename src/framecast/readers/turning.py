"""Marks by which players turn and mirror the frames of a video, as phones write them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from framecast.base.errors import UserError


@dataclass(frozen=True)
class Turn:
    """A quarter turn, a mirroring, or both: rows may become columns, and either be reversed."""

    swapped: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    def apply(self, picture: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "rows columns C"]:
        """Return a picture as it is shown."""
        shown = picture.swapaxes(0, 1) if self.swapped else picture
        rows, columns = (-1 if r else 1 for r in (self.rows_reversed, self.columns_reversed))
        return shown[::rows, ::columns]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (H, W) as it is shown of a picture, or the other way round."""
        return (width, height) if self.swapped else (height, width)


def turn_of(frame: Any, source: str) -> Turn:
    """Return how a decoded frame is to be turned.

    Args:
        frame: av.VideoFrame.
        source: where it comes from, for messages.

    Raises:
        UserError: if it is to be turned by another angle than quarters of a turn.
    """
    mark = frame.side_data.get("DISPLAYMATRIX")
    if mark is None:
        return Turn()
    # A pixel (x, y), counted from the upper left, is shown at (x a + y c, x b + y d).
    matrix = np.frombuffer(mark, np.int32).reshape(3, 3)[:2, :2] / 2**16
    (a, b), (c, d) = matrix.round(3).tolist()
    if a and d and not (b or c):
        return Turn(False, rows_reversed=d < 0, columns_reversed=a < 0)
    if b and c and not (a or d):
        return Turn(True, rows_reversed=b < 0, columns_reversed=c < 0)
    if not (a or b or c or d):
        return Turn()
    raise UserError(
        f"{source} is marked to be turned by {round(-math.degrees(math.atan2(b, a)))} degrees, but "
        "only quarters of a turn are read: turn it first (ffmpeg -i IN OUT does)"
    )
