"""The contract of a recurrent layer, and the residual stack that keeps it too."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from framecast.shapes import Frame, FrameSequence

State = Any
"""What a layer carries from frame to frame: a tensor [B,C,H,W], or a tuple of states."""


class Recurrence(nn.Module, ABC):
    """A recurrent layer over sequences of frames.

    State is a value: it is passed in and returned, never kept in the module. Running a
    sequence in one pass, in two passes with the state handed over, or frame by frame gives
    the same result. Nothing but a norm over the grid ties a layer to a grid size.
    """

    in_channels: int
    out_channels: int
    first_state: ClassVar[float] = 0.0

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


def per_frame(module: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Apply a function of frames [B,C,H,W] to every frame of a sequence [B,T,C,H,W] at once."""
    out = module(frames.flatten(0, 1))
    return out.view(*frames.shape[:2], *out.shape[1:])


class ResidualStack(Recurrence):
    """Recurrences one after the other, each with a residual connection and then a norm.

    x ← norm(x + layer(x)). The state is a tuple with one state for each layer.

    Args:
        layers: recurrences whose channels in and out are all equal.
        norms: one module for each layer, for frames [B,C,H,W].
    """

    def __init__(self, layers: Sequence[Recurrence], norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norms)
        self.in_channels = self.out_channels = layers[0].in_channels

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> State:
        """Return the initial states of all layers (see `Recurrence`)."""
        return tuple(
            layer.initial_state(batch, height, width, **like) for layer in self._recurrences()
        )

    def forward(
        self, frames: FrameSequence, state: State | None = None
    ) -> tuple[FrameSequence, State]:
        """Run all layers over a whole sequence, one layer at a time."""
        states = []
        old = self.state_for(frames, state)
        for layer, norm, before in zip(self._recurrences(), self.norms, old, strict=True):
            out, after = layer(frames, before)
            frames = per_frame(norm, frames + out)
            states.append(after)
        return frames, tuple(states)

    def step(self, frame: Frame, state: State) -> tuple[Frame, State]:
        """Run all layers over one frame."""
        states = []
        for layer, norm, before in zip(self._recurrences(), self.norms, state, strict=True):
            out, after = layer.step(frame, before)
            frame = norm(frame + out)
            states.append(after)
        return frame, tuple(states)

    def _recurrences(self) -> Iterable[Recurrence]:
        return cast(Iterable[Recurrence], self.layers)
