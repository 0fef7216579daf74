"""What this machine has room for: sizes are computed before, and refused beyond it.

The limits are on what must be in memory, or on disk, at one time. They are not on the size of a
file that is read a window at a time.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from framecast.base.errors import UserError

MEMINFO = Path("/proc/meminfo")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")

UNASKED = 1 << 24
"""Bytes of memory that are taken without asking for room: to ask takes longer than to read them."""


class RoomError(UserError):
    """Something does not fit into the memory, or onto the disk, of this machine."""


_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def readable_size(count: int) -> str:
    """Write a number of bytes for people, such as 12.3 GB; a kB has 1000 bytes."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return (
        f"{size:,.0f} {_UNITS[unit]}" if size >= 99.5 or unit == 0 else f"{size:.3g} {_UNITS[unit]}"
    )


def available_memory() -> int | None:
    """Return the bytes of memory that can be taken without swapping.

    This is what the system says, or less where the process belongs to a group with a limit, as in
    containers and jobs of a cluster. Where the system says how much memory it has and not how much
    is free, it is that; None where it says neither.
    """
    free = [size for size in (_free_in_system(), *_free_in_groups()) if size is not None]
    return min(free) if free else None


def available_disk(path: Path) -> int:
    """Return the free bytes of the disk that a path lies on, or will lie on once it is made."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Refuse what does not fit into the available memory.

    Args:
        needed: bytes that are in memory at one time.
        what: needs them, such as 'a.nc: a window of 20 frames'.
        remedy: a whole sentence, such as 'Set data.options.size to smaller frames'.

    Raises:
        RoomError: if less is available, with both sizes.
    """
    free = available_memory() if needed > UNASKED else None
    if free is not None and needed > free:
        raise RoomError(
            f"{what} needs {readable_size(needed)} of memory, but {readable_size(free)} are "
            f"available. {remedy}"
        )


def check_disk(needed: int, path: Path, what: str, remedy: str) -> None:
    """Refuse what does not fit onto a disk.

    Args:
        needed: bytes to be written.
        path: file or folder that they are written to, whether it is there or not.
        what: needs them, such as 'a.gif: the cache of its 300 decoded frames'.
        remedy: a whole sentence, as for `check_memory`.

    Raises:
        RoomError: if less is free, with both sizes.
    """
    free = available_disk(path)
    if needed > free:
        raise RoomError(
            f"{what} needs {readable_size(needed)} of disk at {path}, but {readable_size(free)} "
            f"are free there. {remedy}"
        )


def _free_in_system() -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration):
        names = getattr(os, "sysconf_names", {})  # Windows has none
        if "SC_PHYS_PAGES" not in names:
            return None
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_in_groups() -> Iterator[int]:
    """What is left in each control group of the process that has a limit, of version 2 and 1."""
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers == "":
            yield from _left(CGROUPS, own, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(CGROUPS / "memory", own, *names)


def _left(root: Path, own: str, limit: str, usage: str, cached: str) -> Iterator[int]:
    """What a group and those around it leave; the cache of files is given back when asked for."""
    inner = root / own.lstrip("/")
    for folder in (inner, *inner.parents):
        try:
            most = int((folder / limit).read_text())
            used = int((folder / usage).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such group here, or one whose limit is "max"
            stat = None
        if stat is not None:
            yield max(0, most - used + int(stat.get(cached, 0)))
        if folder == root:
            return
