"""Windows: stretches of a sequence that hold a context and a horizon."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.lazy import Values

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
        lengths: frames of each sequence; from those shorter than a window comes none.
        length: frames of a window.
        per_sequence: windows from each sequence in an epoch; None for as many as fit side by side.
        seed: of the order and the places.
        most: windows in an epoch, drawn from all; None for all.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        length: int,
        per_sequence: int | None,
        seed: int,
        most: int | None = None,
    ) -> None:
        fitting = np.array(lengths) // length
        counts = fitting if per_sequence is None else np.where(fitting > 0, per_sequence, 0)
        self.sequences = np.repeat(np.arange(len(counts)), counts)
        self.starts = np.array(lengths) - length + 1
        self.seed, self.epoch, self.most = seed, 0, most

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose windows come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sequences[: self.most])

    def __iter__(self) -> Iterator[Position]:
        random = np.random.default_rng([self.seed, self.epoch])
        sequences = random.permutation(self.sequences)[: self.most]
        starts = random.integers(self.starts[sequences])
        return iter(list(zip(sequences.tolist(), starts.tolist(), strict=True)))


def side_by_side(frames: Frames, length: int) -> list[Position]:
    """Positions of the windows that follow one another without overlap in each sequence."""
    check_length(frames, length)
    return [
        (sequence, start)
        for sequence, frames_of_it in enumerate(frames.lengths)
        for start in range(0, frames_of_it - length + 1, length)
    ]


def check_length(frames: Frames, length: int) -> None:
    """Raise a UserError if a window of `length` frames does not fit in the sequences."""
    if frames.length < length:
        raise UserError(
            f"{frames.source}: this part has sequences of {frames.length} frames, too short for a "
            f"window of {length} (context + horizon): choose a shorter context or horizon, or "
            "leave more frames to this part (data.validation_fraction, data.test_fraction)"
        )
