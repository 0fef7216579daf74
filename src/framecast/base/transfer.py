"""Transfers from an address that go on where they broke off."""

import re
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from framecast.base.disk import full_disk_named
from framecast.base.limits import check_disk
from framecast.base.progress import track

CHUNK = 1 << 18
"""Bytes that are read at once."""
PATIENCE = 60
"""Seconds without a byte after which a mirror counts as silent."""
TRIES = 10
"""Times that a transfer is taken up again at once, as long as each brings something."""

_ALL_THERE = 416
"""What a server answers who is asked for bytes beyond the end of a file."""


def chunks(content: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of a file, some of it at a time."""
    return iter(lambda: content.read(CHUNK), b"")


def transfer(address: str, part: Path, progress: bool = True) -> None:
    """Fetch what is missing of a file.

    A server that knows HTTP ranges is asked for the rest alone; another one gives all again.

    Args:
        address: http, https or file.
        part: where it is written to; what stands there is the beginning of it, and what was fetched
            stays there when a transfer breaks off.
        progress: whether to show a progress bar.

    Raises:
        OSError, HTTPException, ValueError: if nothing more comes of it.
        UserError: if it does not fit onto the disk.
    """
    for turn in range(TRIES):
        before = _size(part)
        try:
            _go_on(address, part, before, progress)
            return
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError) or turn == TRIES - 1 or _size(part) <= before:
                raise


def _go_on(address: str, part: Path, have: int, progress: bool) -> None:
    response = _ask(address, part, have)
    if response is None:
        return
    with response:
        given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
        start = int(given[1]) if given else 0
        if start not in (0, have):
            raise ValueError(f"it gives bytes from {start:,} on, where {have:,} was asked for")
        total = _total(response.headers, start)
        check_disk((total or 0) - start, part, address, "Choose another --out")
        with full_disk_named(part), part.open("ab" if start else "wb") as out:
            pieces = None if total is None else -(-(total - start) // CHUNK)
            for chunk in track(chunks(response), part.stem, pieces, progress):
                out.write(chunk)
    if total is not None and _size(part) != total:
        raise ConnectionError(f"it broke off after {_size(part):,} of {total:,} bytes")


def _ask(address: str, part: Path, have: int) -> Any:
    """Ask for what follows the bytes that are there; None where nothing does."""
    asked = Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        return urlopen(asked, timeout=PATIENCE)
    except HTTPError as error:
        if error.code != _ALL_THERE or not have:
            raise
        if _total(error.headers, 0) == have:
            return None
    part.unlink()  # what is there is longer than the file, and so the beginning of another one
    return _ask(address, part, 0)


def _total(headers: Any, start: int) -> int | None:
    """Bytes of the whole file, where the server says it."""
    ranged = re.search(r"/(\d+)$", headers.get("Content-Range") or "")
    if ranged:
        return int(ranged[1])
    length = headers.get("Content-Length")
    return None if length is None else start + int(length)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
