"""Where forecasts start: the last known frame of each, by its place or its time."""

import numpy as np

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.moment import time_like
from framecast.frames.times import places_at, readable


def find_start(frames: Frames, start: str) -> int:
    """Return the place of a start in the sequences: an index as text, or a time.

    Raises:
        UserError: if there is no such frame.
    """
    try:
        place = int(start)
    except ValueError:
        return _find_time(frames, start)
    return start_at(frames, place)


def start_at(frames: Frames, place: int) -> int:
    """Return the place of a start in the sequences, which may be counted from their end.

    Raises:
        UserError: if there is no such frame.
    """
    if not -frames.length <= place < frames.length:
        raise UserError(
            f"--start {place}: {frames.source} has {frames.length} frames, "
            f"0 to {frames.length - 1} (or -1 for the last)"
        )
    return place % frames.length


def _find_time(frames: Frames, start: str) -> int:
    times = frames.times
    try:
        found = _places(frames, start)
    except ValueError:
        found = []
    if not found:
        raise UserError(
            f"--start {start}: {frames.source} has no frame at this time; its times go from "
            f"{readable(times[0])} to {readable(times[-1])}"
        )
    return found[0]


def _places(frames: Frames, start: str) -> list[int]:
    """Where a time stands, as near as the axis keeps to its step; a ValueError if it is none."""
    times = frames.times
    if times.dtype == object:  # of a calendar without a way to read its dates
        prefix = start.replace(" ", "T")
        texts = [time.isoformat() for time in times]
        return [n for n, text in enumerate(texts) if _begins(text, prefix)]
    number = times.dtype.kind not in "mM"
    wanted = float(start) if number else time_like(start, times)
    return places_at(times, np.array([wanted]), frames.step, frames.tolerance)


def _begins(text: str, prefix: str) -> bool:
    """Whether a date begins with whole numbers of another."""
    return text.startswith(prefix) and not text[len(prefix) : len(prefix) + 1].isdigit()


def context_start(frames: Frames, sequence: int, place: int, context: int) -> int:
    """Return where the given frames of a forecast begin.

    Raises:
        UserError: if the sequence ends before it, or there are not enough of them before it, or
            since a gap.
    """
    if place >= frames.lengths[sequence]:
        raise UserError(
            f"{frames.source}: sequence {sequence} has {frames.lengths[sequence]} frames, and none "
            f"at {place}, which is in others: choose an earlier --start, or name it alone"
        )
    piece = frames.piece_of(sequence, place)
    past = place + 1 - piece.start
    if past < context:
        gap = ""
        if piece.start > 0:
            gap = (
                f" since {readable(frames.times[piece.start])}, where times are missing from the "
                "axis"
            )
        raise UserError(
            f"{frames.source}: a forecast from frame {place} has {past} past "
            f"frames{gap}, but {context} are to be read: start later, or give a smaller --context"
        )
    return place + 1 - context
