"""What is random in a step: drawn for all windows of a batch, of which a process may hold some.

Several processes that share a batch, or the time of its windows, then read the same numbers as one
that holds all of it. As PyTorch's generator is one for a process, so is what is said here of the
batch at hand.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from framecast.base.segments import segment_here


class Portion(NamedTuple):
    """Which windows of a batch a process holds.

    Attributes:
        first: place of the first of them.
        stop: the place after the last.
        whole: windows of the batch.
    """

    first: int
    stop: int
    whole: int


_portion: Portion | None = None


@contextmanager
def drawing_for(portion: Portion | None) -> Iterator[None]:
    """While it is open, draw for the whole batch and keep a portion of it; None for all of it."""
    global _portion
    before, _portion = _portion, portion
    try:
        yield
    finally:
        _portion = before


def normal(size: tuple[int, ...], like: Tensor) -> Tensor:
    """Draw standard normal numbers [B,T,...], or [members·B,T,...], all of a member together."""
    return _drawn(lambda full: torch.randn(full, device=like.device, dtype=like.dtype), size)


def uniform(size: tuple[int, ...]) -> Tensor:
    """Draw numbers in [0, 1) [B,T,...], likewise, on the CPU."""
    return _drawn(torch.rand, size)


class Dropout(nn.Dropout):
    """Sets numbers of [B,...], or [members·B,...], to zero, and enlarges the others."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x as it is outside of training."""
        if _portion is None or not self.training or not self.p:
            return super().forward(x)
        strides = x.stride()
        order = sorted(range(x.ndim), key=lambda dim: (-strides[dim], dim))

        def kept(full: tuple[int, ...]) -> Tensor:
            # Numbers are drawn in the order in which they lie in memory.
            ones = torch.empty_permuted(full, order, dtype=x.dtype, device=x.device).fill_(1)
            return F.dropout(ones, self.p)

        return x * _drawn(kept, tuple(x.shape))


def _drawn(draw: Callable[[tuple[int, ...]], Tensor], size: tuple[int, ...]) -> Tensor:
    full, segment = list(size), segment_here()
    if segment is not None:
        full[1] += segment.whole - (segment.stop - segment.first)
    if _portion is None:
        drawn = draw((full[0], *full[1:]))
    else:
        first, stop, whole = _portion
        members = size[0] // (stop - first)
        drawn = draw((members * whole, *full[1:]))
        drawn = drawn.view(members, whole, *full[1:])[:, first:stop].reshape(full)
    return drawn if segment is None else drawn.narrow(1, segment.first, size[1])
