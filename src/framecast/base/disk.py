"""A full disk: known in whatever words a library reports it, and met before it does harm."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framecast.base.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAID = tuple(os.strerror(number) for number in _FULL)
KEPT = "What stood there before is unchanged: free some space and try again"
"""What holds of a file that is written whole or not at all."""


class FullDiskError(UserError):
    """Something could not be written, since no space is left for it."""


@contextmanager
def full_disk_named(path: Path, kept: str = KEPT) -> Iterator[None]:
    """Turn the failure of a write for want of space into a message that names the path.

    Args:
        path: that is written.
        kept: what is still there, and what to do.

    Raises:
        FullDiskError: in place of what the library that wrote raised.
    """
    try:
        yield
    except FullDiskError:
        raise
    except Exception as error:
        if not any(map(_is_full, _chain(error))):
            raise
        raise FullDiskError(
            f"{path} could not be written: its disk is full, or a quota or size limit is "
            f"reached. {kept}"
        ) from error


def reserve(path: Path, size: int) -> None:
    """Take space on the disk for a file that will grow to `size` bytes; make it if it is missing.

    A library that cannot be trusted with a full disk then never meets one. The file is as long as
    before or `size` bytes long, filled up with zeros.

    Raises:
        OSError: if there is no space.
    """
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
            return
        block = bytes(1 << 20)
        while (missing := size - file.tell()) > 0:
            file.write(block[:missing])


def _is_full(error: BaseException) -> bool:
    number = getattr(error, "errno", None)
    return number in _FULL or any(said in str(error) for said in _SAID)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
