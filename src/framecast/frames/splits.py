"""The parts of a data set: what is learned from, what chooses the best epoch, what is held out."""

from typing import NamedTuple

from framecast.base.errors import UserError
from framecast.frames.frames import Frames


class Splits(NamedTuple):
    """Frames for training, validation and test; the last two may be None."""

    train: Frames
    validation: Frames | None
    test: Frames | None


def split(frames: Frames, validation_fraction: float, test_fraction: float) -> Splits:
    """Part frames by sequences, or, where there is one only, by time; the test comes last.

    Raises:
        UserError: if a share is so small that it is empty.
    """
    by_time = len(frames.values) == 1
    total = frames.length if by_time else len(frames.values)
    test = _count("test_fraction", test_fraction, total, frames.source)
    validation = _count("validation_fraction", validation_fraction, total, frames.source)

    def part(start: int, count: int) -> Frames | None:
        chosen = slice(start, start + count)
        if count == 0:
            return None
        return frames.select(times=chosen) if by_time else frames.select(sequences=chosen)

    first = total - validation - test
    train = part(0, max(0, first))
    if train is None:
        raise UserError(
            f"{frames.source}: validation_fraction {validation_fraction:g} and test_fraction "
            f"{test_fraction:g} leave nothing of {total} for training: lower one of them"
        )
    return Splits(train, part(first, validation), part(first + validation, test))


def _count(name: str, fraction: float, total: int, source: str) -> int:
    count = round(total * fraction)
    if count == 0 and fraction > 0:
        raise UserError(
            f"{source}: {name} {fraction} of {total} leaves nothing; raise it, or set it to 0"
        )
    return count
