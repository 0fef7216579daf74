"""Recordings of an agent: video with the action of each frame, and perhaps with poses.

Two layouts are read. A `.npz` file holds the array `video`, uint8 [T,H,W,3], and perhaps `actions`
[T], `pos` [T,3] and `rot` [T,4]. A video file has its actions in the `.npz` file of the same name
beside it. Frames are read where they are asked for: from the `.npz` file itself where it is not
packed, and otherwise from the cache, into which they are unpacked, or decoded, when they are first
read.
"""

import hashlib
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.base.limits import check_disk
from framecast.base.whole import make_once
from framecast.frames.channels import COLOUR
from framecast.readers.decoding import Video, check_complete, open_videos
from framecast.readers.entries import key_of
from framecast.readers.guard import check_file, guarded
from framecast.readers.streams import Declared, declared

VIDEO, ACTIONS, NAMES = "video", "actions", "action_names"
"""Arrays of a `.npz` file."""
LOCAL_HEADER = 30
"""Bytes of the fixed part of the header of a member in a zip file."""


@runtime_checkable
class Seen(Protocol):
    """What an agent saw: frames that are read a stretch at a time."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W)."""

    @property
    def rate(self) -> float | None:
        """Frames a second; None where the file does not say."""

    @property
    def digest(self) -> str:
        """A text that is the same for the same frames."""

    def read(self, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Read frames start to stop - 1, with values from 0 to 255."""


class Recording(NamedTuple):
    """An episode.

    Attributes:
        path: of the file with the frames.
        seen: the frames.
        actions: number of the action of each frame, [T]; None if the file has none.
        names: of the actions, by their numbers; none where the file does not say.
        pose: x, y, z and heading in radians, from x towards y, of each frame, [T,4]; None if the
            file has none.
    """

    path: Path
    seen: Seen
    actions: Int64[np.ndarray, " T"] | None
    names: tuple[str, ...]
    pose: Float[np.ndarray, "T 4"] | None


def read_recording(path: Path, size: Sequence[int] | None, with_actions: bool) -> Recording:
    """Read an episode: its actions and poses now, its frames later.

    Args:
        path: a `.npz` file, or a video.
        size: (H, W) of the frames of a video, each pixel a mean over what it covers; None for its
            own.
        with_actions: whether actions are read.

    Raises:
        UserError: if a file is missing, damaged or of another layout, or does not fit the frames.
    """
    check_file(path)
    packed = path.suffix.lower() == ".npz"
    resized = None if size is None else (size[0], size[1])
    seen: Seen = open_array(path) if packed else DecodedVideo(path, resized)
    if packed and resized is not None and resized != seen.shape[2:]:
        raise UserError(
            f"{path} has frames of {seen.shape[2]}×{seen.shape[3]}: data.options.size resizes "
            "videos, and not .npz files"
        )
    beside = path if packed else path.with_suffix(".npz")
    if not beside.is_file():
        if with_actions:
            raise UserError(
                f"{path} has no actions: {beside.name} is not beside it. Put it there, or learn "
                "without actions (framecast train --no-actions)"
            )
        return Recording(path, seen, None, (), None)
    arrays = _arrays(beside, seen.shape[0])
    if with_actions and ACTIONS not in arrays:
        raise UserError(
            f"{beside} has no array {ACTIONS}: add it, or learn without actions "
            "(framecast train --no-actions)"
        )
    names = tuple(np.atleast_1d(arrays.get(NAMES, np.array([], str))).astype(str).tolist())
    actions = _numbers(arrays[ACTIONS], beside) if with_actions else None
    return Recording(path, seen, actions, names, _pose(arrays))


@dataclass(frozen=True, eq=False)
class StoredArray:
    """The frames of a `.npz` file: a `Seen`.

    Attributes:
        path: the file.
        offset: of the array's numbers in it; None where they are packed, and unpacked into the
            cache.
        stored: shape in the file, (T, H, W, C).
        check: checksum of the array, from the directory of the file.
    """

    path: Path
    offset: int | None
    stored: tuple[int, int, int, int]
    check: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W)."""
        t, h, w, c = self.stored
        return t, c, h, w

    @property
    def rate(self) -> float | None:
        """None: the layout does not say."""
        return None

    @property
    def digest(self) -> str:
        """Shape and checksum."""
        return f"{self.stored} {self.check}"

    def read(self, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Read some frames."""
        file, offset = (self.path, self.offset) if self.offset is not None else (self._unpacked, 0)
        frames = np.memmap(file, np.uint8, "r", offset, self.stored)[start:stop]
        return torch.from_numpy(frames.transpose(0, 3, 1, 2).astype(np.float32))

    @cached_property
    def _unpacked(self) -> Path:
        """The numbers of the array in the cache, into which they are unpacked first."""
        target = cache_folder("recordings") / f"{self.path.stem}-{key_of([self.path])}.bin"

        def unpack(partial: Path) -> None:
            check_disk(
                math.prod(self.stored),
                partial,
                f"{self.path}: unpacking its frames",
                "Set the environment variable FRAMECAST_CACHE to a folder on a larger disk.",
            )
            with guarded(self.path, "cannot be unpacked", "it may be damaged: copy it anew"):
                array = np.load(self.path, allow_pickle=False)[VIDEO]
                np.ascontiguousarray(array).tofile(partial)

        make_once(target, unpack)
        return target


@dataclass(frozen=True, eq=False)
class DecodedVideo:
    """The frames of a video file, which is decoded when they are first read: a `Seen`.

    Attributes:
        path: the file.
        size: (H, W) of the frames; None for the file's own.
    """

    path: Path
    size: tuple[int, int] | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W), as the file declares them."""
        return self._declared.frames, len(COLOUR), *(self.size or self._declared.size)

    @property
    def rate(self) -> float | None:
        """Frames a second."""
        return self._declared.rate

    @property
    def digest(self) -> str:
        """What the file is: decoding it only to know its frames would take too long."""
        return key_of([self.path], self.size)

    def read(self, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Read some frames."""
        return self._video.read(range(start, min(stop, self.shape[0])))

    @cached_property
    def _declared(self) -> Declared:
        return declared(self.path)

    @cached_property
    def _video(self) -> Video:
        video = open_videos([self.path], COLOUR, self.size)[0]
        check_complete(video)
        if video.shape != self.shape:
            raise UserError(
                f"{self.path} declares frames {list(self.shape)}, but {list(video.shape)} can be "
                "decoded: copy it anew"
            )
        return video


def open_array(path: Path) -> StoredArray:
    """Find the frames in a `.npz` file.

    Raises:
        UserError: if it is no such file, or has no array of colour frames.
    """
    hint = "it may be truncated, or no NumPy file"
    with guarded(path, "cannot be read as a .npz file", hint), zipfile.ZipFile(path) as archive:
        if f"{VIDEO}.npy" not in archive.namelist():
            names = ", ".join(name.removesuffix(".npy") for name in archive.namelist())
            raise UserError(f"{path} has no array {VIDEO}; it has {names or 'none'}")
        info = archive.getinfo(f"{VIDEO}.npy")
        with archive.open(info) as member:
            np.lib.format.read_magic(member)
            shape, by_columns, dtype = np.lib.format.read_array_header_1_0(member)
            header = member.tell()
        plain = info.compress_type == zipfile.ZIP_STORED
        offset = _content(path, info) + header if plain else None
    if (
        dtype != np.uint8
        or len(shape) != 4
        or shape[3] != len(COLOUR)
        or by_columns
        or not shape[0]
    ):
        raise UserError(
            f"{path}: {VIDEO} is {dtype} {list(shape)}; needed is uint8 [time, row, column, 3]"
        )
    return StoredArray(path, offset, shape, info.CRC)


def _content(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the content of a member begins: its own header may be longer than the directory's."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(LOCAL_HEADER)
    name, extra = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
    return info.header_offset + LOCAL_HEADER + name + extra


def _arrays(file: Path, frames: int) -> dict[str, np.ndarray]:
    """The arrays beside the frames, each of which has a row for each frame."""
    hint = "it may be damaged, or hold Python objects, which are never loaded"
    reading = guarded(file, "cannot be read as a .npz file", hint)
    with reading, np.load(file, allow_pickle=False) as content:
        wanted = [name for name in (ACTIONS, NAMES, "pos", "rot") if name in content.files]
        arrays = {name: content[name] for name in wanted}
    for name, array in arrays.items():
        if name != NAMES and len(np.atleast_1d(array)) != frames:
            raise UserError(
                f"{file}: {name} has {len(np.atleast_1d(array))} entries, but the video has "
                f"{frames} frames"
            )
    return arrays


def _numbers(actions: np.ndarray, file: Path) -> Int64[np.ndarray, " T"]:
    if actions.ndim != 1 or actions.dtype.kind not in "iu":
        raise UserError(
            f"{file}: {ACTIONS} is {actions.dtype} {list(actions.shape)}; needed is the number of "
            "an action for each frame, whole numbers [time]"
        )
    return actions.astype(np.int64)


def _pose(arrays: dict[str, np.ndarray]) -> Float[np.ndarray, "T 4"] | None:
    """Position and heading, where the file has both in the layout of `framecast simulate`."""
    pos, rot = arrays.get("pos"), arrays.get("rot")
    if pos is None or rot is None or pos.shape[1:] != (3,) or rot.shape[1:] != (4,):
        return None
    heading = 2 * np.arctan2(rot[:, 3], rot[:, 0])
    return np.concatenate([pos, heading[:, None]], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class RecordingReader:
    """Reads the frames of recordings of one size: a `Reader`.

    Attributes:
        seen: of each recording.
        source: where they come from, for messages.
    """

    seen: Sequence[Seen]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W); T of the longest recording."""
        _, c, h, w = self.seen[0].shape
        return len(self.seen), max(one.shape[0] for one in self.seen), c, h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a recording, with values from 0 to 255."""
        return self.seen[sequence].read(start, stop)

    def fingerprint(self) -> str:
        """Return a text that is the same for the same frames."""
        digest = hashlib.blake2b(digest_size=12)
        for one in self.seen:
            digest.update(one.digest.encode())
        return digest.hexdigest()
