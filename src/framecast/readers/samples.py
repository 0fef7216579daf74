"""Samples of videos: as many frames of each, from the part of it that counts as seen."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from framecast.readers.decoding import Video

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


@dataclass(frozen=True, eq=False)
class SampleReader:
    """Reads samples of videos of one size: a `Reader`.

    Attributes:
        videos: of each of N samples.
        places: of its frames in the video, or NOWHERE, [N,T].
        source: where they come from, for messages.
    """

    videos: Sequence[Video]
    places: Int[np.ndarray, "N T"]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        _, c, h, w = self.videos[0].shape
        return len(self.places), self.places.shape[1], c, h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sample, from 0 to 255; NaN where there is none."""
        places = self.places[sequence, start:stop]
        frames = self.videos[sequence].read(np.maximum(places, 0).tolist())
        frames[torch.from_numpy(places == NOWHERE)] = torch.nan
        return frames

    def fingerprint(self) -> str:
        """Return a digest of the frames of the videos, and of what is taken of them."""
        digest = hashlib.blake2b(digest_size=12)
        for video in self.videos:
            digest.update(video.digest.encode())
        digest.update(np.ascontiguousarray(self.places).data)
        return digest.hexdigest()
