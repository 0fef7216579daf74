"""Windows: stretches of a sequence that hold a context and a horizon."""

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from framecast.data.frames import Frames
from framecast.data.lazy import Values
from framecast.errors import UserError

Position = tuple[int, int]
"""(sequence, first frame) of a window."""


class Windows(Dataset[Tensor]):
    """Windows [length,C,H,W] of sequences, by position.

    Args:
        values: sequences [N,T,C,H,W].
        length: frames of a window.
        transform: what each window goes through, such as `Statistics.normalise`; None for nothing.
    """

    def __init__(
        self, values: Values, length: int, transform: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.values, self.length, self.transform = values, length, transform

    def __getitem__(self, position: Position) -> Tensor:
        sequence, start = position
        window = self.values[sequence, start : start + self.length]
        return window if self.transform is None else self.transform(window)


class CropSampler(Sampler[Position]):
    """Random windows in random order; the same for the same seed and epoch.

    Args:
        sequences: N.
        frames: T of each sequence.
        length: frames of a window, at most T.
        per_sequence: windows from each sequence in an epoch.
        seed: of the order and the places.
    """

    def __init__(
        self, sequences: int, frames: int, length: int, per_sequence: int, seed: int
    ) -> None:
        self.sequences, self.starts = sequences, frames - length + 1
        self.per_sequence, self.seed, self.epoch = per_sequence, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose windows come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.sequences * self.per_sequence

    def __iter__(self) -> Iterator[Position]:
        random = np.random.default_rng([self.seed, self.epoch])
        sequences = random.permutation(np.repeat(np.arange(self.sequences), self.per_sequence))
        starts = random.integers(self.starts, size=len(sequences))
        return iter(list(zip(sequences.tolist(), starts.tolist(), strict=True)))


def side_by_side(frames: Frames, length: int) -> list[Position]:
    """Positions of the windows that follow one another without overlap in each sequence."""
    check_length(frames, length)
    starts = range(0, frames.length - length + 1, length)
    return [(n, start) for n in range(len(frames.values)) for start in starts]


def check_length(frames: Frames, length: int) -> None:
    """Raise a UserError if a window of `length` frames does not fit in the sequences."""
    if frames.length < length:
        raise UserError(
            f"{frames.source}: this part has sequences of {frames.length} frames, too short for a "
            f"window of {length} (context + horizon): choose a shorter context or horizon, or "
            "leave more frames to this part (data.validation_fraction, data.test_fraction)"
        )
