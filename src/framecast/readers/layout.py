"""Which axis of an unlabelled array is what: decided where there is one reading, else refused."""

from collections.abc import Sequence

import numpy as np

from framecast.base.errors import UserError
from framecast.readers.stored import Array

AXES = "ntchw"
"""Letters of data.layout: sequences, times, channels, rows, columns."""

_COLOURS = (1, 3, 4)
"""Channels of a picture: grey, red-green-blue, and the same with transparency."""
_MOST_CHANNELS = 16
"""Channels that an array of four axes may have without a word."""
_PAIRS, _SIDE = 4, 256
"""How much of an array is looked at: pairs of neighbours along the first axis, and a corner."""


def check_layout(layout: str) -> None:
    """Raise a ValueError unless a layout names each axis once, with times, rows and columns."""
    if len(set(layout)) < len(layout) or not set("thw") <= set(layout) <= set(AXES):
        raise ValueError(
            f"layout {layout} must name each axis of the array once: t, h and w (times, rows, "
            "columns), and n and c where it has sequences and channels, such as nthw"
        )


def layout_of(array: Array, source: str, channels: int | None = None) -> str:
    """Return the layout of an array of 3, 4 or 5 axes, by its shape and some of its values.

    Args:
        array: perhaps in a file, of which little is read.
        source: the file, for messages.
        channels: how many channels are known to be asked for; None if nothing is known.

    Raises:
        UserError: if it can be read in two ways.
    """
    shape = array.shape
    last = shape[-1] in _COLOURS and min(shape[-3:-1]) > shape[-1]
    if array.ndim == 5:
        return "nthwc" if last else "ntchw"
    if array.ndim == 3:
        if _looks_turned(array):
            raise _two_readings(
                source, shape, "thw", "hwt", ". Neighbours along the last axis resemble each other "
                "far more than along the others, as frames do"
            )  # fmt: skip
        return "thw"
    if channels in (shape[1], shape[-1]) and shape[1] != shape[-1]:
        return "tchw" if channels == shape[1] else "thwc"
    if channels == 1:
        return "nthw"
    if last:
        return "thwc"
    if shape[1] <= _MOST_CHANNELS and shape[1] < min(shape[2:]):
        return "tchw"
    raise _two_readings(source, shape, "nthw", "tchw")


def arranged(array: np.ndarray, layout: str, source: str) -> tuple[np.ndarray, bool]:
    """Return an array as [N,T,C,H,W], and whether it has an axis of sequences; nothing is copied.

    An array without the axis of sequences that the layout names is one sequence.

    Raises:
        UserError: if it has another number of axes.
    """
    layout = fitting(layout, array.shape, source)
    array = array.transpose([layout.index(axis) for axis in AXES if axis in layout])
    missing = [place for place, axis in enumerate(AXES) if axis not in layout]
    return np.expand_dims(array, missing), "n" in layout


def fitting(layout: str, shape: Sequence[int], source: str) -> str:
    """Return a layout for an array of some shape: without the axis of sequences where it has none.

    Raises:
        UserError: if it has another number of axes.
    """
    if "n" in layout and len(shape) == len(layout) - 1:
        layout = layout.replace("n", "")
    if len(shape) != len(layout):
        raise UserError(
            f"{source} is {list(shape)}, which data.layout {layout} does not fit: name each "
            f"of its {len(shape)} axes with one of the letters {', '.join(AXES)}"
        )
    return layout


def _two_readings(
    source: str, shape: Sequence[int], first: str, second: str, why: str = ""
) -> UserError:
    return UserError(
        f"{source} is {list(shape)}, which may be {_in_words(first, shape)} or "
        f"{_in_words(second, shape)}{why}: say which with --data.layout {first} or "
        f"--data.layout {second}"
    )


def _in_words(layout: str, shape: Sequence[int]) -> str:
    names = {"n": "sequences", "t": "frames", "c": "channels", "h": "rows", "w": "columns"}
    sizes = [f"{size} {names[axis]}" for axis, size in zip(layout, shape, strict=True)]
    return f"{', '.join(sizes)} [{','.join(layout.upper())}]"


def _looks_turned(array: Array) -> bool:
    """Whether the last axis of three looks like time, and the first two like rows and columns.

    The first two then change alike from neighbour to neighbour, and the last changes less. It
    takes frames that are not much longer than wide.
    """
    rows, columns, _ = array.shape
    if min(array.shape) < 3 or not 1 / 3 <= rows / columns <= 3:
        return False
    changes = _changes(array)
    if changes is None or changes[2] <= 0:
        return False
    first, middle = changes[0] / changes[2], changes[1] / changes[2]
    return first > 2.5 and middle > 1.3 and 0.4 < first / middle < 2.5


def _changes(array: Array) -> tuple[float, float, float] | None:
    """Mean squared difference of neighbours along each axis; None where too little is known."""
    places = np.unique(np.linspace(0, array.shape[0] - 2, _PAIRS).astype(int)).tolist()
    pairs = np.stack([array[place : place + 2, :_SIDE, :_SIDE] for place in places])
    pairs = pairs.astype(np.float64)
    squares = [np.diff(pairs, axis=axis) ** 2 for axis in (1, 2, 3)]
    known = [square[np.isfinite(square)] for square in squares]
    if not all(part.size for part in known):
        return None
    along, across, last = (float(part.mean()) for part in known)
    return along, across, last
