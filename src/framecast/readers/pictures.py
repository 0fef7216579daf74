"""Pictures: a file that holds one, or several one after the other, is a series of frames."""

import hashlib
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.frames.channels import COLOUR, GREY, Channel, Coordinate
from framecast.frames.frames import Frames
from framecast.frames.lazy import HELD, LazyValues, Values, load
from framecast.readers.guard import check_file, guarded
from framecast.readers.selection import EVERYTHING, Selection

MOST_PAGES = 1_000_000
"""Pictures in one file; a damaged one may lead back to itself."""

_WIDE = ("I;16", "I;16B", "I;16L")
"""Modes of 16 bits."""
_NUMBERS = (*_WIDE, "I", "F")
"""Modes of numbers that are no brightness of 8 bits."""


def read_pictures(path: Path, selection: Selection = EVERYTHING) -> Frames:
    """Read the pictures of a file: PNG, JPEG, TIFF or WebP.

    Values are those that are stored: 0 to 255, or to 65535 where a grey picture has 16 bits, or
    any numbers. Points that are transparent throughout are missing.

    Args:
        path: the file. The pages of a TIFF and the frames of a WebP follow one another in time.
        selection: variables (grey), or (red, green, blue), or none for the file's own; values that
            stand for a missing one.

    Raises:
        UserError: if it cannot be read, its pictures are not alike, or something is asked for that
            pictures do not have.
    """
    if selection.others:
        raise UserError(
            f"{path} is a picture: it has no {', '.join(selection.others)}; diagnostic, forcing "
            "and static variables and actions are read from labelled files"
        )
    pages = _open_pages(path, selection)
    values: Values = LazyValues.of(PagesReader(path, pages, selection))
    if not selection.lazy and 4 * math.prod(values.shape) <= HELD:
        values = load(values)
    attributes = {} if pages.top is None else {"valid_range": [0, pages.top]}
    return Frames(
        values=values,
        channels=tuple(Channel(name, attributes) for name in pages.channels),
        coordinates=_times(pages),
        source=str(path),
    )


@dataclass(frozen=True)
class Pages:
    """What is known of the pictures of a file.

    Attributes:
        count: of the pictures.
        size: (H, W).
        channels: grey, or red, green and blue.
        top: the largest value that may occur; None where any may.
        seconds: from one to the next, in an animation.
    """

    count: int
    size: tuple[int, int]
    channels: tuple[str, ...]
    top: int | None
    seconds: float | None


@dataclass(frozen=True, eq=False)
class PagesReader:
    """Reads the pictures of a file: a `Reader`."""

    path: Path
    pages: Pages
    selection: Selection

    @property
    def source(self) -> str:
        """The file."""
        return str(self.path)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(1, T, C, H, W)."""
        return 1, self.pages.count, len(self.pages.channels), *self.pages.size

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return pictures start to stop - 1."""
        with _open(self.path) as image:
            return torch.stack([self._page(image, place) for place in range(start, stop)])

    def fingerprint(self) -> str:
        """Return a digest of the file."""
        digest = hashlib.blake2b(digest_size=12)
        with self.path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def _page(self, image: Any, place: int) -> Tensor:
        hint = "it may be truncated, or damaged"
        with guarded(self.path, f"opens, but its picture {place} cannot be read", hint):
            image.seek(place)
            array = _to_array(image, self.path, self.pages.channels)
        if array.shape[1:] != self.pages.size:
            raise UserError(
                f"{self.path}: its picture {place} has {array.shape[1]}×{array.shape[2]} points, "
                f"the first {self.pages.size[0]}×{self.pages.size[1]}: they must be alike"
            )
        return self.selection.blank(torch.from_numpy(array))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a file; nothing of it is decoded yet, and large pictures are checked by ourselves."""
    check_file(path)
    hint = "it may be truncated, or in another format than its name says"
    with guarded(path, "cannot be read as a picture", hint), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd entries, which decoding names if they matter
        image = Image.open(path)
    with image:
        yield image


def _open_pages(path: Path, selection: Selection) -> Pages:
    with _open(path) as image:
        size = image.height, image.width
        channels = _channels(image, path, selection)
        check_memory(
            16 * math.prod(size),
            f"{path}: one picture of {size[0]}×{size[1]}",
            "Make it smaller first",
        )
        with guarded(path, "opens, but its pictures cannot be counted", "it may be damaged"):
            count = getattr(image, "n_frames", 1)
            if count > MOST_PAGES:
                raise UserError(f"{path} says that it holds {count:,} pictures: it may be damaged")
            seconds = _seconds(image) if count > 1 else None
        top = None if image.mode in ("I", "F") else 65535 if image.mode in _WIDE else 255
    return Pages(count, size, channels, top, seconds)


def _channels(image: Any, path: Path, selection: Selection) -> tuple[str, ...]:
    """The channels that are read: those of the file, unless others are asked for."""
    if _stored_bits(image) > 8 and image.mode not in _NUMBERS:
        raise UserError(
            f"{path} is a picture in colour with 16 bits, which is read as 8 bits here: write its "
            "colours as a NumPy array or as NetCDF"
        )
    own = GREY if image.mode in (*_NUMBERS, "1", "L", "LA", "La") else COLOUR
    asked = own if selection.variables is None else selection.variables
    if asked not in (GREY, COLOUR) or (own == GREY and asked == COLOUR and image.mode in _NUMBERS):
        raise UserError(
            f"{path}: the channels of a picture are {GREY[0]}, or {', '.join(COLOUR)}; not "
            f"{', '.join(asked)}"
        )
    return asked


def _stored_bits(image: Any) -> int:
    """Bits of a colour as they are stored, which the library may reduce to 8."""
    return max((16 if ";16" in str(tile[3]) else 8 for tile in image.tile), default=8)


def _seconds(image: Any) -> float | None:
    """Seconds from picture to picture in an animation; None for pages."""
    if image.format != "WEBP":
        return None
    image.seek(1)
    image.load()
    duration = image.info.get("duration")
    return duration / 1000 if duration else None


def _to_array(image: Any, path: Path, channels: tuple[str, ...]) -> np.ndarray:
    """A decoded picture, float32 [C,H,W]; NaN where it is transparent."""
    if image.mode in _NUMBERS:
        return np.array(image, np.float32)[None]
    seen = "A" in image.getbands() or "transparency" in image.info
    alpha = np.asarray(image.convert("RGBA"))[..., 3] if seen else None
    array = np.asarray(image.convert("L" if channels == GREY else "RGB"), np.float32)
    array = array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
    return array if alpha is None else np.where(alpha == 0, np.float32(np.nan), array)


def _times(pages: Pages) -> dict[str, Coordinate]:
    """Seconds since the first picture of an animation; nothing for pages, which are numbered."""
    if pages.seconds is None:
        return {}
    attributes = {"units": "s", "axis": "T", "long_name": "time since the first frame"}
    return {"time": Coordinate(("time",), np.arange(pages.count) * pages.seconds, attributes)}
