"""Handwritten digits: IDX files, from the cache, the package or a folder of one's own."""

import gzip
import hashlib
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framecast.base.errors import UserError
from framecast.base.fetch import DOWNLOADS, cache_folder
from framecast.base.limits import check_memory
from framecast.readers.guard import check_file, guarded

Images = NDArray[np.uint8]

SAMPLE = Path(__file__).parent / "digits"
"""1,000 digits of MNIST's test set, part of the package."""


class Digits(NamedTuple):
    """Images of digits [M,H,W] for each part of a data set; no image is in two of them."""

    train: Images
    validation: Images
    test: Images


def read_digits(where: str, shrink: int = 1) -> Digits:
    """Read images of digits.

    The last sixth of the training images is kept for validation.

    Args:
        where: mnist for the cache of `framecast fetch mnist`; sample for the 1,000 digits of the
            package; else a folder with train-images-idx3-ubyte and t10k-images-idx3-ubyte,
            packed (.gz) or not.
        shrink: pixels along each side that become one, their mean; it divides the images' sides.

    Raises:
        UserError: if a file is missing, is not an IDX file of images, or its images do not
            divide.
    """
    folder = {"mnist": cache_folder("mnist"), "sample": SAMPLE}.get(where) or Path(where)
    paths = [_find(folder, name, where) for name in ("train", "t10k")]
    train, test = (_shrink(read_idx(path), shrink, path) for path in paths)
    if train.shape[1:] != test.shape[1:]:
        raise UserError(
            f"{folder}: training images of {train.shape[1:]} and test images of {test.shape[1:]}"
        )
    cut = len(train) - len(train) // 6
    if cut == len(train):
        raise UserError(f"{folder}: {len(train)} training images are too few: 6 at least")
    return Digits(train[:cut], train[cut:], test)


def read_idx(path: Path) -> Images:
    """Read images [M,H,W] from an IDX file, packed (.gz) or not.

    Raises:
        UserError: if it is none, or is cut off.
    """
    check_file(path)
    with guarded(path, "cannot be read", "truncated?"), _opened(path) as file:
        # Two zeros, the type (8: unsigned bytes), and the number of dimensions; then their sizes.
        header = file.read(16)
        if len(header) < 16 or header[:4] != b"\x00\x00\x08\x03":
            raise UserError(f"{path} is not an IDX file of images: it begins with {header[:4]!r}")
        count, height, width = (int(n) for n in np.frombuffer(header, ">u4", 3, offset=4))
        sizes = f"{count} images of {height}×{width}"
        check_memory(count * height * width, f"{path}: {sizes}", "It may be damaged")
        content = file.read(count * height * width + 1)
    if len(content) != count * height * width or 0 in (count, height, width):
        raise UserError(
            f"{path} should hold {sizes}, but has {len(content)} bytes of them, or more"
        )
    return np.frombuffer(content, np.uint8).reshape(count, height, width)


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _shrink(images: Images, by: int, path: Path) -> Images:
    count, height, width = images.shape
    if height % by or width % by:
        raise UserError(f"shrink={by}: {path} has images of {height}×{width}, which it must divide")
    if by == 1:
        return images
    blocks = images.reshape(count, height // by, by, width // by, by)
    shrunk: Images = np.rint(blocks.mean((2, 4))).astype(np.uint8)
    return shrunk


def digest(images: Images) -> str:
    """Return a short digest of images: the same digits, the same digest."""
    return hashlib.blake2b(np.ascontiguousarray(images).data, digest_size=12).hexdigest()


def _find(folder: Path, name: str, where: str) -> Path:
    plain = folder / f"{name}-images-idx3-ubyte"
    for path in (plain, plain.with_name(f"{plain.name}.gz")):
        if path.exists():
            return path
    if where == "mnist":
        size = DOWNLOADS["mnist"].size / 1e6
        raise UserError(
            f"MNIST is not at {folder}. Fetch it with: framecast fetch mnist ({size:.0f} MB); or "
            "set digits to a folder that holds its IDX files; or set digits to sample, the 1,000 "
            "digits that come with framecast, which are enough for a demo"
        )
    raise UserError(f"{folder} has no {plain.name}, nor {plain.name}.gz")
