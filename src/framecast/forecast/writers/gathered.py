"""Frames of several lead times, which are gathered and written to a file together."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from framecast.forecast.writers.labels import ForecastLabels
from framecast.forecast.writers.outputs import Output

Write = Callable[[Tensor], None]

BLOCK = 1 << 20
"""Bytes of a block of one variable, as far as its leads are smaller: less would be written slowly,
and more be read for a single frame."""
GATHERED = 1 << 26
"""Bytes of the blocks of all variables, in the same way."""
LARGEST = 1 << 24
"""Bytes of a chunk, as far as a single grid is smaller."""


def leads_together(labels: ForecastLabels) -> int:
    """Return how many leads are written together: about as many in each block, but the last."""
    leads = [4 * math.prod(labels.shape_of(each)) // labels.steps for each in labels.outputs]
    most = max(1, min(BLOCK // max(leads), GATHERED // sum(leads)))
    return math.ceil(labels.steps / math.ceil(labels.steps / most))


def chunks_of(labels: ForecastLabels, output: Output) -> tuple[int, ...]:
    """Return the sizes of a chunk: a block of leads of all sequences, starts and members.

    Where that is more than LARGEST bytes, its first dimensions are cut.
    """
    sizes = list(labels.shape_of(output))
    sizes[-3] = leads_together(labels)
    for place in range(len(sizes) - 3):
        size = 4 * math.prod(sizes)
        sizes[place] = max(1, sizes[place] * min(size, LARGEST) // size)
    return tuple(sizes)


@contextmanager
def block_writer(variables: list[Any], labels: ForecastLabels) -> Iterator[Write]:
    """Write frames [M,N,S,C,H,W] into variables, a block of leads at a time.

    Args:
        variables: arrays on disk, one for each of the outputs of the labels.
        labels: of the forecast.

    Raises:
        ValueError: as `counted`.
    """
    together, lead = leads_together(labels), 0
    shapes = [labels.shape_of(output) for output in labels.outputs]
    blocks = [np.empty((*shape[:-3], together, *shape[-2:]), np.float32) for shape in shapes]

    def write(frame: Tensor) -> None:
        nonlocal lead
        for block, output in zip(blocks, labels.outputs, strict=True):
            place = block[..., lead % together, :, :]
            place[:] = output.values(frame).reshape(place.shape)  # from [*extra,N,S,H,W]
        lead += 1
        if lead % together == 0 or lead == labels.steps:
            begun = (lead - 1) // together * together
            for variable, block in zip(variables, blocks, strict=True):
                variable[..., begun:lead, :, :] = block[..., : lead - begun, :, :]

    with counted(write, labels.steps) as take:
        yield take


@contextmanager
def counted(write: Write, steps: int) -> Iterator[Write]:
    """Take as many frames as a file has room for, no more and no fewer.

    Raises:
        ValueError: if it is another number.
    """
    taken = 0

    def take(frame: Tensor) -> None:
        nonlocal taken
        taken += 1
        if taken > steps:
            raise ValueError(f"more frames are written than the {steps} that are labelled")
        write(frame)

    yield take
    if taken < steps:
        raise ValueError(f"{taken} frames are written of the {steps} that are labelled")
