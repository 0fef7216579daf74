"""The contract of a recurrent layer."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence

State = Any
"""What a layer carries from frame to frame: a tensor [B,C,H,W], or a tuple of states."""


class Recurrence(nn.Module, ABC):
    """A recurrent layer over sequences of frames.

    State is a value: it is passed in and returned, never kept in the module. Running a
    sequence in one pass, in two passes with the state handed over, or frame by frame gives
    the same result. Nothing but a norm over the grid ties a layer to a grid size.
    """

    time_parallel: bool = False
    """Whether several processes can share the time of a sequence, since the state is linear."""
    in_channels: int
    out_channels: int
    first_state: ClassVar[float] = 0.0
    reads_intervals: ClassVar[bool] = False
    """Whether passes take the time between frames as `intervals`, and steps as `interval`."""

    def initial_state(
        self,
        batch: int,
        height: int,
        width: int,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> State:
        """Return the state before the first frame, for `batch` sequences on a grid.

        A tensor [B,C_out,H,W] filled with `first_state`, unless a layer carries more.
        """
        size = (batch, self.out_channels, height, width)
        return torch.full(size, self.first_state, device=device, dtype=dtype)

    @abstractmethod
    def forward(
        self, frames: FrameSequence, state: State | None = None
    ) -> tuple[FrameSequence, State]:
        """Run over a whole sequence [B,T,C_in,H,W] → [B,T,C_out,H,W], and the last state.

        Args:
            frames: T ≥ 1 frames.
            state: what an earlier pass returned; None starts afresh.
        """

    @abstractmethod
    def step(self, frame: Frame, state: State) -> tuple[Frame, State]:
        """Run over one frame [B,C_in,H,W] → [B,C_out,H,W], and the next state."""

    def state_for(self, frames: FrameSequence, state: State | None) -> State:
        """Return `state`, or the initial one that fits `frames` where it is None."""
        if state is not None:
            return state
        batch, _, _, height, width = frames.shape
        return self.initial_state(batch, height, width, device=frames.device, dtype=frames.dtype)


def is_layer(module: object) -> bool:
    """Return whether a module is a recurrence that is not made of recurrences."""
    return isinstance(module, Recurrence) and not any(
        isinstance(part, Recurrence) for part in list(module.modules())[1:]
    )


def per_frame(module: Callable[..., Tensor], *sequences: Tensor) -> Tensor:
    """Apply a function of frames [B,C,H,W] to every frame of sequences [B,T,C,H,W] at once."""
    out = module(*(frames.flatten(0, 1) for frames in sequences))
    return out.view(*sequences[0].shape[:2], *out.shape[1:])
