"""Remote addresses: files are fetched into the cache once, stores of Zarr chunk by chunk."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.base.fetch import cache_folder
from framecast.base.limits import check_disk
from framecast.base.whole import make_once
from framecast.readers.guard import guarded
from framecast.readers.kinds import ZARR_FILES, suffix_kind

ADDRESS = "address"
"""The file beside an entry of the cache that says where it comes from."""
HINT = "check the address, the connection and your rights there"


def is_address(text: str) -> bool:
    """Whether a text is a remote address, such as https://... or s3://..."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def fetch_address(address: str) -> Path:
    """Return the place in the cache of what a remote address leads to.

    A file is there whole. Of a store of Zarr there is its name alone: what is read of it is fetched
    then, and kept. An entry belongs to the address, and to the length and the mark of change that
    its server gives; removing it is always safe.

    Raises:
        UserError: if the library for such addresses is missing, nothing is there, or there is no
            room for it.
    """
    fsspec = need("fsspec", "remote", address)
    try:
        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UserError(f"{address}: {error}") from error
    with guarded(address, "cannot be reached", HINT):
        is_store = suffix_kind(Path(path)) == "zarr" and not path.endswith(".zip")
        if is_store or any(files.exists(f"{path.rstrip('/')}/{name}") for name in ZARR_FILES):
            return _entry(address, {}, lambda place: place.mkdir(), suffix=".zarr")
        about = files.info(path)
        if about.get("type") == "directory":
            raise UserError(f"{address} is a folder: name the files in it, or a store of Zarr")
        return _entry(address, about, lambda place: _copy(address, files, path, about, place))
    raise AssertionError("guarded lets no error pass in silence")


def address_of(path: Path) -> str | None:
    """Return the address that an entry of the cache stands for; None for other paths."""
    if path.parent.parent != cache_folder("remote"):
        return None
    return (path.parent / ADDRESS).read_text(encoding="utf-8")


def _entry(
    address: str, about: dict[str, Any], fill: Callable[[Path], object], suffix: str = ""
) -> Path:
    marks = [str(about.get(name)) for name in ("size", "ETag", "mtime", "LastModified", "updated")]
    key = hashlib.blake2b(json.dumps([address, *marks]).encode(), digest_size=12).hexdigest()
    name = re.sub(r"[^\w.+-]", "_", address.split("?")[0].rstrip("/").rpartition("/")[2]) or "file"
    folder = cache_folder("remote") / key
    name = name if name.endswith(suffix) else f"{name}{suffix}"

    def make(partial: Path) -> None:
        partial.mkdir()
        (partial / ADDRESS).write_text(address, encoding="utf-8")
        fill(partial / name)

    make_once(folder, make)
    return folder / name


def _copy(address: str, files: Any, path: str, about: dict[str, Any], place: Path) -> None:
    check_disk(
        about.get("size") or 0,
        place,
        address,
        "Set the environment variable FRAMECAST_CACHE to a folder on a larger disk",
    )
    files.get_file(path, str(place))
