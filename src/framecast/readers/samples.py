"""Samples of videos: as many frames of each, from the part of it that counts as seen."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from framecast.base.disk import FullDiskError
from framecast.base.errors import FoundLateWarning, UserError
from framecast.base.limits import RoomError
from framecast.readers.decoding import Video, VideoFile

Sampling = Literal["even", "last"]
"""Which frames of the seen part are given: as many spread evenly over it, or its last ones."""
NOWHERE = -1
"""The place of a frame that would come after the end of its video."""


def sample_places(
    length: int, share: float, given: int, targets: int, sampling: Sampling
) -> Int[np.ndarray, " L"]:
    """Choose frames of a video of which a share was seen, and those that follow.

    Time runs on evenly: `even` cuts the seen frames into as many stretches as frames are given and
    takes the last of each, so that the newest is always seen, and the targets go on at that step;
    in a part of fewer frames some are taken again. `last` takes frames that follow one another,
    and repeats the first where there are too few.

    Args:
        length: frames of the video, at least 1.
        share: of them that was seen, in (0, 1]; at least one frame is.
        given: frames to take of the seen part, at least 1.
        targets: frames to take after it, at least 0.
        sampling: how.

    Returns:
        Their places in the video, in order; NOWHERE beyond its end.
    """
    seen = max(1, int(share * length + 1e-9))
    number = np.arange(1, given + targets + 1)
    if sampling == "even":
        places = -(-number * seen // given) - 1
    else:
        places = np.maximum(seen - given + number - 1, 0)
    return np.where(places < length, places, NOWHERE)


class Sample(NamedTuple):
    """A video of which a share was seen.

    Attributes:
        file: the video.
        share: in (0, 1].
        kind: what the video shows: another one of the same kind may stand for it.
    """

    file: VideoFile
    share: float
    kind: str = ""


@dataclass(frozen=True, eq=False)
class SampleReader:
    """Reads samples of videos of one size, which are decoded where they are first read: a `Reader`.

    For a video that turns out not to be readable, the next one of its kind is read, and that is
    said. With `strict` it is an error.

    Attributes:
        samples: N of them.
        given: frames of each that are given, of the seen part.
        targets: frames of each that follow.
        sampling: which frames.
        source: where they come from, for messages.
        strict: whether a video that is not readable is an error.
    """

    samples: Sequence[Sample]
    given: int
    targets: int
    sampling: Sampling
    source: str
    strict: bool = False
    _failed: dict[VideoFile, str] = field(init=False, repr=False, default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        first = self.samples[0].file
        return len(self.samples), self.given + self.targets, len(first.names), *first.size

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sample, from 0 to 255; NaN where there is none.

        Raises:
            UserError: if no video of its kind is readable; or, where this is strict, this one is
                not.
        """
        sample = self.samples[sequence]
        video = self._open(sample)
        counts = self.given, self.targets, self.sampling
        places = sample_places(video.shape[0], sample.share, *counts)[start:stop]
        frames = video.read(np.maximum(places, 0).tolist())
        frames[torch.from_numpy(places == NOWHERE)] = torch.nan
        return frames

    def _open(self, sample: Sample) -> Video:
        """The video of a sample, or the next of its kind."""
        for file in self._in_turn(sample):
            if file in self._failed:
                continue
            try:
                return file.open()
            except (RoomError, FullDiskError):
                raise
            except UserError as error:
                if self.strict:
                    raise
                self._failed[file] = str(error)
                warnings.warn(
                    f"{self.source}: {error}. The next video of its kind is read in its place "
                    f"(video {len(self._failed)} that cannot be decoded)",
                    FoundLateWarning,
                    stacklevel=2,
                )
        kind = f" of {sample.kind}" if sample.kind else ""
        why = self._failed[sample.file]
        raise UserError(f"{self.source}: no video{kind} can be decoded: {why}")

    def _in_turn(self, sample: Sample) -> Iterator[VideoFile]:
        """All videos of a kind, from that of the sample on."""
        yield sample.file
        alike = self._kinds[sample.kind]
        first = alike.index(sample.file)
        yield from alike[first + 1 :]
        yield from alike[:first]

    @cached_property
    def _kinds(self) -> dict[str, list[VideoFile]]:
        """The videos of each kind, in their order."""
        found: dict[str, dict[VideoFile, None]] = {}
        for sample in self.samples:
            found.setdefault(sample.kind, {})[sample.file] = None
        return {kind: list(files) for kind, files in found.items()}

    def fingerprint(self) -> str:
        """Return a digest of the names and lengths of the files, and of what is taken of them.

        It decodes nothing.
        """
        digest = hashlib.blake2b(digest_size=12)
        digest.update(repr((self.shape, self.given, self.sampling)).encode())
        for file, share, kind in self.samples:
            size = file.path.stat().st_size if file.path.is_file() else -1
            digest.update(repr((file.path.name, size, file.names, share, kind)).encode())
        return digest.hexdigest()
