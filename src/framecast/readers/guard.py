"""Around other libraries: what they raise while a file is read becomes one error that helps."""

import gc
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framecast.base.errors import UserError

LONGEST = 300
"""Letters of another library's message that are repeated."""

_LIBRARIES = (
    "h5netcdf",
    "h5py",
    "scipy",
    "xarray",
    "zarr",
    "numpy",
    "zipfile",
    "av",
    "PIL",
    "rasterio",
    "cfgrib",
)
"""Packages whose half-opened files are given up without a word."""


def check_file(path: Path) -> None:
    """Refuse what is neither a file nor a folder: reading a pipe or a device may never end.

    Raises:
        UserError: if it is not there, cannot be looked at, or is something else.
    """
    try:
        there, readable = path.exists(), path.is_file() or path.is_dir()
    except OSError as error:
        raise UserError(f"{path} cannot be looked at ({_reason(error)})") from error
    if not there:
        name = repr(str(path)) if "\0" in str(path) else path
        raise UserError(f"{name} does not exist")
    if not readable:
        raise UserError(
            f"{path} is no file but a pipe, a socket or a device: write what it gives into a file "
            "first, and name that"
        )


@contextmanager
def guarded(source: Path | str, what: str, hint: str) -> Iterator[None]:
    """Turn whatever other libraries raise into a UserError; only their calls belong inside.

    What they leave half open is closed at once, and quietly: their destructors would complain on
    stderr, after the message.

    Args:
        source: the file, with which the message begins.
        what: cannot be done, such as 'cannot be read as Zarr'.
        hint: what may be wrong, and the remedy.

    Raises:
        UserError: in place of any other error, from which it is chained.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = _reason(error)
        _give_up(error)
        raise UserError(f"{source} {what} ({reason}): {hint}") from error


def _reason(error: BaseException) -> str:
    """What an error says, in one line that is not too long."""
    said = error.strerror if isinstance(error, OSError) else None
    text = " ".join((said or str(error)).split()).replace("\0", "\\0") or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _give_up(error: BaseException | None) -> None:
    """Let go of what the calls that failed had opened, which an error keeps alive."""
    usual = sys.unraisablehook

    def quiet(complaint: "sys.UnraisableHookArgs") -> None:
        module = getattr(complaint.object, "__module__", None) or ""
        if module.partition(".")[0] not in _LIBRARIES:
            usual(complaint)

    sys.unraisablehook = quiet
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are not closed cleanly
            while error is not None:
                traceback.clear_frames(error.__traceback__)
                error = error.__cause__ or error.__context__
            gc.collect(1)  # what was just made; all that there is would take long
    finally:
        sys.unraisablehook = usual
