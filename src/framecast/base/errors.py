"""The one error for what users can mend, and the name that they may have meant."""

import difflib
from collections.abc import Sequence


class UserError(ValueError):
    """What was given cannot be used. The message says what is wrong, where, and the remedy."""


class ToldError(UserError):
    """The error of another process, which shares the work with this one and tells the user."""


class FoundLateWarning(UserWarning):
    """Something is wrong with the data that only reading them shows: worker processes say it."""


class StoppedError(Exception):
    """A signal asked to stop, and what had been reached is saved.

    Attributes:
        number: of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ' (did you mean ...?)' with the nearest known name, or '' if none is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
