"""How far the windows of an evaluation lie apart, as a user says it."""

from collections.abc import Sequence

from framecast.base.errors import UserError
from framecast.frames.durations import Every, check_every, frames_in
from framecast.frames.frames import Frames

Stride = Every | Sequence[Every]
"""Frames or a duration; or several, which take turns: 3d,4d is twice a week."""

_OPTION = "--stride"


def strides_of(frames: Frames, stride: Stride | None) -> tuple[int, ...]:
    """Return the frames from one window to the next, in turns; none where nothing is said.

    Args:
        frames: that the windows lie in.
        stride: a number, a duration, a text of several with commas between them, or a list.

    Raises:
        UserError: for what is neither a number of frames nor a duration of whole steps.
    """
    if stride is None:
        return ()
    if isinstance(stride, str):
        stride = stride.split(",")
    several = [stride] if isinstance(stride, int) else [_parsed(one) for one in stride]
    try:
        for one in several:
            check_every(one, _OPTION)
    except ValueError as error:
        raise UserError(str(error)) from error
    return tuple(frames_in(frames, one, _OPTION) for one in several)


def _parsed(one: Every) -> Every:
    """A number of frames where a text is one."""
    text = str(one).strip()
    return int(text) if text.removeprefix("-").isdecimal() else text
