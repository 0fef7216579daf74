"""Stacks of recurrent layers, which keep the contract of a layer too."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.blocks import Norm
from framecast.layers.recurrence import Recurrence, State, per_frame

Pass = tuple[Callable[[Tensor, State], tuple[Tensor, State]], Callable[..., Tensor], State]
"""A layer and its norm, over a sequence or over one frame, and the layer's state."""


class Stack(Recurrence):
    """Recurrences one after the other, each followed by a norm.

    The state is a tuple with one state for each layer. A subclass says what a layer reads.

    Args:
        layers: recurrences, each fit for what the one before puts out.
        norms: one for each layer.
        dropout: probability with which a number that a layer puts out becomes zero in training.
    """

    def __init__(
        self, layers: Sequence[Recurrence], norms: Sequence[Norm], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norms)
        self.in_channels = layers[0].in_channels
        self.out_channels = layers[-1].out_channels

    @abstractmethod
    def run(self, x: Tensor, passes: Sequence[Pass]) -> tuple[Tensor, State]:
        """Run over a sequence [B,T,C,H,W] or a frame [B,C,H,W], layer by layer."""

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> State:
        """Return the initial states of all layers (see `Recurrence`)."""
        return tuple(
            layer.initial_state(batch, height, width, **like) for layer in self._recurrences()
        )

    @property
    def reads_intervals(self) -> bool:  # type: ignore[override]
        """Whether every layer reads the time between frames."""
        return all(layer.reads_intervals for layer in self._recurrences())

    def forward(
        self,
        frames: FrameSequence,
        state: State | None = None,
        intervals: Float[Tensor, "B T"] | None = None,
    ) -> tuple[FrameSequence, State]:
        """Run all layers over a whole sequence, one layer at a time.

        Args:
            frames: T ≥ 1 frames.
            state: what an earlier pass returned; None starts afresh.
            intervals: time since the frame before, in steps, for layers that read it; None for
                frames at regular steps.
        """
        norms = [partial(per_frame, norm) for norm in self.norms]
        states = self.state_for(frames, state)
        further = {} if intervals is None else {"intervals": intervals}
        passes = [partial(layer, **further) for layer in self._recurrences()]
        return self.run(frames, list(zip(passes, norms, states, strict=True)))

    def step(
        self, frame: Frame, state: State, interval: Float[Tensor, " B"] | None = None
    ) -> tuple[Frame, State]:
        """Run all layers over one frame, `interval` steps after the one before."""
        further = {} if interval is None else {"interval": interval}
        steps = [partial(layer.step, **further) for layer in self._recurrences()]
        return self.run(frame, list(zip(steps, self.norms, state, strict=True)))

    def _recurrences(self) -> Iterable[Recurrence]:
        return cast(Iterable[Recurrence], self.layers)


class ResidualStack(Stack):
    """Each layer has a residual connection and a norm, after it or before the layer.

    Args:
        layers: recurrences whose channels in and out are all equal.
        norms: one for each layer.
        dropout: as in `Stack`.
        norm_position: post, x ← norm(x + layer(x)); pre, x ← x + layer(norm(x)).
    """

    def __init__(
        self,
        layers: Sequence[Recurrence],
        norms: Sequence[Norm],
        dropout: float = 0.0,
        norm_position: Literal["post", "pre"] = "post",
    ) -> None:
        super().__init__(layers, norms, dropout)
        self.norm_position = norm_position

    def run(self, x: Tensor, passes: Sequence[Pass]) -> tuple[Tensor, State]:
        """Run layer by layer (see `Stack`)."""
        states = []
        for layer, norm, before in passes:
            pre = self.norm_position == "pre"
            out, after = layer(norm(x) if pre else x, before)
            out = self.dropout(out)
            x = x + out if pre else norm(x, out)
            states.append(after)
        return x, tuple(states)


class SkipStack(Stack):
    """Blocks of layers; the output of each block from the third on is joined by an earlier one.

    x ← norm(layer(x)) within a block; the output of block b − 2 is concatenated onto the output
    of block b. In four blocks of three layers these are the skips (3, 9) and (6, 12) of the
    Conv-TT-LSTM paper (2020), appendix B.2.

    Args:
        layers: recurrences, first to last; see `skip_channels` for their channels.
        norms: one for each layer.
        blocks: number of blocks, of equal numbers of layers.
        dropout: as in `Stack`.
    """

    def __init__(
        self,
        layers: Sequence[Recurrence],
        norms: Sequence[Norm],
        blocks: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(layers, norms, dropout)
        self.block = len(layers) // blocks
        if blocks > 2:
            self.out_channels += layers[-1 - 2 * self.block].out_channels

    def run(self, x: Tensor, passes: Sequence[Pass]) -> tuple[Tensor, State]:
        """Run layer by layer (see `Stack`)."""
        states, ends = [], []
        for start in range(0, len(passes), self.block):
            for layer, norm, before in passes[start : start + self.block]:
                x, after = layer(x, before)
                x = norm(self.dropout(x))
                states.append(after)
            ends.append(x)
            if len(ends) > 2:
                x = join_channels(x, ends[-3])
        return x, tuple(states)


def skip_channels(frames: int, hidden: Sequence[int], layers: int) -> list[tuple[int, int]]:
    """Channels (in, out) of each layer of a `SkipStack`.

    Args:
        frames: channels that the first layer reads.
        hidden: channels of each block.
        layers: in each block.
    """
    channels = []
    for block, width in enumerate(hidden):
        before = frames if block == 0 else hidden[block - 1]
        joined = hidden[block - 3] if block > 2 else 0
        channels += [(before + joined, width)] + [(width, width)] * (layers - 1)
    return channels


def join_channels(*frames: Tensor) -> Tensor:
    """Put [...,C,H,W] side by side along C, channels last in memory as convolutions like it."""
    return torch.cat([f.movedim(-3, -1) for f in frames], dim=-1).movedim(-1, -3)
