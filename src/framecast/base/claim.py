"""Claims: what one process of framecast writes, no other writes meanwhile.

A claim is a lock (flock) on a hidden file beside the path. The system releases it when the process
ends, however it ends, so that a killed process holds nothing. The lock that torch brings along,
filelock, leaves its file behind and cannot say who holds it.
"""

import fcntl
import os
import shlex
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.hidden import clear, former_of, lock_of

PathLike = str | Path

_held: list[Path] = []
"""What this process has claimed."""


@contextmanager
def claim(path: PathLike, wait: bool = False) -> Iterator[Path]:
    """Hold a file or folder that is about to be written; yield it, links followed.

    The claim of a folder holds for all that is in it. What killed processes left half done there
    is removed. Parents that are missing are made, and removed again if nothing came into them.

    Args:
        path: need not exist.
        wait: whether to wait for another process that holds it.

    Raises:
        UserError: if another process holds it, which the message names; or if what is at `path`
            is neither a file nor a folder, or nothing can be written beside it.
    """
    place = _place(Path(path))
    made = _make_parents(place)
    try:
        if any(held == place or held in place.parents for held in _held):
            yield place
            return
        lock = _lock(place, wait)
        _held.append(place)
        try:
            clear(place)
            yield place
        finally:
            _held.remove(place)
            lock_of(place).unlink(missing_ok=True)
            os.close(lock)
    finally:
        _remove_empty(made)


def heal(path: Path) -> None:
    """Put back a folder that a process was replacing when it was killed; to be called by readers.

    Raises:
        UserError: if the process lives and is just doing so.
    """
    if not path.exists() and former_of(path).exists():
        with claim(path):
            pass


def _place(path: Path) -> Path:
    """Where a path leads to, through links that may lead to nothing yet."""
    try:
        place = Path(os.path.realpath(path))
        if os.path.lexists(place) and not (place.is_file() or place.is_dir()):
            raise UserError(f"{path} is neither a file nor a folder: nothing can be put there")
    except (OSError, ValueError) as error:
        raise UserError(f"nothing can be written to {str(path)!r}: {error}") from error
    return place


def _lock(place: Path, wait: bool) -> int:
    """Lock the file beside a place, and say in it who did; return its descriptor."""
    file = lock_of(place)
    while True:
        try:
            lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if not file.parent.exists():  # another that failed took away the folders that it made
                _make_parents(place)
                continue
            raise UserError(
                f"{place} cannot be written: {file.parent}: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            holder = file.read_text(errors="replace") or "another process"
            os.close(lock)
            raise UserError(
                f"{place} is in use by {holder}: wait until it has ended, or choose another --out"
            ) from error
        except OSError as error:
            warnings.warn(
                f"{file.parent} is on a disk that knows no locks ({error.strerror}): nothing keeps "
                f"another process from writing {place.name} too",
                stacklevel=2,
            )
        if _is_still(lock, file):
            with suppress(OSError):  # on a full disk the lock holds, and names nobody
                os.ftruncate(lock, 0)
                os.write(lock, _describe_process().encode())
            return lock
        os.close(lock)  # its holder removed it between our opening and our locking


def _is_still(lock: int, file: Path) -> bool:
    try:  # its holder may remove it at any moment: nothing is asked of it twice
        return os.path.samestat(os.fstat(lock), file.stat())
    except FileNotFoundError:
        return False


def _describe_process() -> str:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return f"process {os.getpid()} on {socket.gethostname()} since {since} ({command})"


def _make_parents(place: Path) -> list[Path]:
    """Make the folders that are missing above a place; return them, the innermost first."""
    missing = [parent for parent in place.parents if not parent.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        above = next(parent for parent in place.parents if parent.exists())
        reason = error.strerror if above.is_dir() else "it is a file, not a folder"
        raise UserError(f"{place} cannot be written: {above}: {reason}") from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it is not empty, or another has removed it
            folder.rmdir()
