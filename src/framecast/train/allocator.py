"""Keeping freed memory for the next step of training."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Parameters of mallopt (glibc, malloc.h)."""
KEEPING = {TRIM_THRESHOLD: -1, MMAP_MAX: 0}
"""The heap never shrinks, and every block lies in it."""
USUAL = {TRIM_THRESHOLD: 2**26, MMAP_THRESHOLD: 2**25, MMAP_MAX: 2**16}
"""What glibc comes to by itself in a process that frees large blocks."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """While it is open, the C library keeps freed memory for the next allocation.

    Otherwise it returns every block above 32 MB to the system, which hands it out again page by
    page: that can take longer than what is computed in it. A step of training needs the same
    blocks as the step before. The price is a higher peak, since small blocks stay between large
    ones (docs/kernels.md). What is free before goes back to the system, and so does what is free
    on leaving. With another C library than glibc this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    library.malloc_trim(0)
    try:
        _set(library, KEEPING)
        yield
    finally:
        _set(library, USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, parameters: dict[int, int]) -> None:
    for parameter, value in parameters.items():
        library.mallopt(parameter, value)
