"""Stacks of recurrent layers, which keep the contract of a layer too."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framecast.base.draws import Dropout
from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.blocks import Norm
from framecast.layers.recurrence import Recurrence, State, per_frame

Pass = tuple[Callable[[Tensor, State], tuple[Tensor, State]], Callable[..., Tensor], State]
"""A layer and its norm, over a sequence or over one frame, and the layer's state."""
NormPosition = Literal["post", "pre"]


class Stack(Recurrence):
    """Recurrences one after the other in blocks, each with a norm; blocks may be joined by others.

    The state is a tuple with one state for each layer. A subclass says in `through` what a layer
    reads and what becomes of its output, and in `join` how an earlier block joins a later one.

    Args:
        layers: recurrences, each fit for what the one before puts out.
        norms: one for each layer.
        dropout: probability with which a number that a layer puts out becomes zero in training.
        norm_position: post, the norm follows the layer; or pre, the layer follows the norm.
        blocks: number of layers in each block, one for each of them if None.

    Raises:
        ValueError: if the blocks do not hold all layers.
    """

    skip_stride: int | None = None
    """From which block to which a skip leads: the output of block b − stride joins that of b."""

    def __init__(
        self,
        layers: Sequence[Recurrence],
        norms: Sequence[Norm],
        dropout: float = 0.0,
        norm_position: NormPosition = "post",
        blocks: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norms)
        self.norm_position = norm_position
        self.blocks = [1] * len(layers) if blocks is None else list(blocks)
        if sum(self.blocks) != len(layers):
            raise ValueError(f"blocks of {self.blocks} layers do not hold {len(layers)} layers")
        self.in_channels = layers[0].in_channels
        self.out_channels = layers[-1].out_channels

    def run(self, x: Tensor, passes: Sequence[Pass]) -> tuple[Tensor, State]:
        """Run over a sequence [B,T,C,H,W] or a frame [B,C,H,W], layer by layer."""
        states: list[State] = []
        ends: list[Tensor] = []
        rest = iter(passes)
        for size in self.blocks:
            for layer in islice(rest, size):
                x, state = self.through(x, layer)
                states.append(state)
            ends.append(x)
            if self.skip_stride is not None and len(ends) > self.skip_stride:
                x = self.join(x, ends, self.skip_stride)
        return x, tuple(states)

    @abstractmethod
    def through(self, x: Tensor, layer: Pass) -> tuple[Tensor, State]:
        """Run one layer, with its norm, over a sequence or a frame."""

    def join(self, x: Tensor, ends: Sequence[Tensor], stride: int) -> Tensor:
        """Join the output x of a block by that of the block `stride` before it.

        Args:
            x: output of the block, which is the last of `ends`.
            ends: outputs of all blocks so far, before they were joined.
            stride: at least 1, and less than the number of `ends`.
        """
        return join_channels(x, ends[-1 - stride])

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> State:
        """Return the initial states of all layers (see `Recurrence`)."""
        return tuple(
            layer.initial_state(batch, height, width, **like) for layer in self._recurrences()
        )

    @property
    def reads_intervals(self) -> bool:  # type: ignore[override]
        """Whether every layer reads the time between frames."""
        return all(layer.reads_intervals for layer in self._recurrences())

    @property
    def time_parallel(self) -> bool:  # type: ignore[override]
        """Whether several processes can share the time of a sequence: where all layers allow it."""
        return all(layer.time_parallel for layer in self._recurrences())

    def forward(
        self,
        frames: FrameSequence,
        state: State | None = None,
        intervals: Float[Tensor, "B T"] | None = None,
        noise: Float[Tensor, "B T N H W"] | None = None,
    ) -> tuple[FrameSequence, State]:
        """Run all layers over a whole sequence, one layer at a time.

        Args:
            frames: T ≥ 1 frames.
            state: what an earlier pass returned; None starts afresh.
            intervals: time since the frame before, in steps, for layers that read it; None for
                frames at regular steps.
            noise: that conditional norms read; None where there are none.
        """
        points = None if noise is None else noise.flatten(0, 1)
        norms = [partial(per_frame, partial(norm, noise=points)) for norm in self.norms]
        states = [None] * len(self.layers) if state is None else state
        further = {} if intervals is None else {"intervals": intervals}
        passes = [partial(layer, **further) for layer in self._recurrences()]
        return self.run(frames, list(zip(passes, norms, states, strict=True)))

    def step(
        self,
        frame: Frame,
        state: State,
        interval: Float[Tensor, " B"] | None = None,
        noise: Float[Tensor, "B N H W"] | None = None,
    ) -> tuple[Frame, State]:
        """Run all layers over one frame, `interval` steps after the one before."""
        further = {} if interval is None else {"interval": interval}
        steps = [partial(layer.step, **further) for layer in self._recurrences()]
        norms = [partial(norm, noise=noise) for norm in self.norms]
        return self.run(frame, list(zip(steps, norms, state, strict=True)))

    def _recurrences(self) -> Iterable[Recurrence]:
        return cast(Iterable[Recurrence], self.layers)


class PlainStack(Stack):
    """Layers without residual connections, x ← norm(layer(x)) or x ← layer(norm(x)).

    It is made as a `Stack` is. A norm before a layer is one of what the layer reads.
    """

    def through(self, x: Tensor, layer: Pass) -> tuple[Tensor, State]:
        """Run one layer and its norm (see `Stack`)."""
        run, norm, before = layer
        pre = self.norm_position == "pre"
        out, after = run(norm(x) if pre else x, before)
        out = self.dropout(out)
        return (out if pre else norm(out)), after


class SkipStack(PlainStack):
    """Blocks of layers without residual connections, joined by the outputs of earlier blocks.

    The layers are those of a `PlainStack`; the output of block b − skip_stride is concatenated
    onto the output of block b. In four blocks of three layers with skip_stride 2 these are the
    skips (3, 9) and (6, 12) of the Conv-TT-LSTM paper (2020), appendix B.2. What is not explained
    here is as in `Stack`; see `layer_channels` for the channels of the layers.

    Args:
        skip_stride: how many blocks before each block the one lies that joins it, at least 1.
            There are more blocks than that.

    Raises:
        ValueError: if the stride is less than 1, or there are too few blocks.
    """

    def __init__(
        self,
        layers: Sequence[Recurrence],
        norms: Sequence[Norm],
        dropout: float = 0.0,
        norm_position: NormPosition = "post",
        blocks: Sequence[int] | None = None,
        *,
        skip_stride: int = 2,
    ) -> None:
        super().__init__(layers, norms, dropout, norm_position, blocks)
        check_stride(skip_stride, len(self.blocks))
        self.skip_stride = skip_stride
        joined = len(layers) - 1 - sum(self.blocks[len(self.blocks) - skip_stride :])
        self.out_channels += layers[joined].out_channels


class UpdateAlone(Norm):
    """In place of the norm of a residual connection: what the layer adds, and nothing else."""

    def normalise(self, x: Frame, update: Frame | None = None) -> Frame:
        """Return the update; x where there is none."""
        return x if update is None else update


class ResidualStack(Stack):
    """Each layer has a residual connection and a norm, after it or before the layer.

    x ← norm(x + layer(x)), or x ← x + layer(norm(x)). With a skip_stride, long skips run beside
    the residual connections: the output of each block b becomes W [x_b, x_{b − skip_stride}], a
    1×1 convolution of it and of an earlier block's output side by side, back to as many channels
    as a residual connection needs. It is the concatenation of a `SkipStack` with W in place of
    wider layers. W starts as the sum of the two. What is not explained here is as in `Stack`.

    Args:
        layers: recurrences whose channels in and out are all equal.
        skip_stride: how many blocks before each block the one lies that joins it, at least 1;
            there are more blocks than that. None for no long skips.
        last_residual: whether the last layer has a residual connection and a norm too. Without
            them the stack puts out what the last layer does, as the published ConvGRU network of
            the MinConvRNN paper (2025); for norm_position post alone.

    Raises:
        ValueError: if the stride is less than 1, there are too few blocks, or the norm comes
            first and the last layer has none.
    """

    def __init__(
        self,
        layers: Sequence[Recurrence],
        norms: Sequence[Norm],
        dropout: float = 0.0,
        norm_position: NormPosition = "post",
        blocks: Sequence[int] | None = None,
        *,
        skip_stride: int | None = None,
        last_residual: bool = True,
    ) -> None:
        super().__init__(layers, norms, dropout, norm_position, blocks)
        self.skip_stride = skip_stride
        if not last_residual:
            check_last(norm_position)
            self.norms[-1] = UpdateAlone()
        self.joins = nn.ModuleList()
        if skip_stride is not None:
            check_stride(skip_stride, len(self.blocks))
            self.joins.extend(_sum(self.out_channels) for _ in self.blocks[skip_stride:])

    def through(self, x: Tensor, layer: Pass) -> tuple[Tensor, State]:
        """Run one layer beside its residual connection (see `Stack`)."""
        run, norm, before = layer
        pre = self.norm_position == "pre"
        out, after = run(norm(x) if pre else x, before)
        out = self.dropout(out)
        return (x + out if pre else norm(x, out)), after

    def join(self, x: Tensor, ends: Sequence[Tensor], stride: int) -> Tensor:
        """Mix the output of a block with that of an earlier one (see `Stack`)."""
        both = super().join(x, ends, stride)
        mix = self.joins[len(ends) - 1 - stride]
        joined: Tensor = mix(both) if both.ndim == 4 else per_frame(mix, both)
        return joined


STACKS: dict[str, type[PlainStack | SkipStack | ResidualStack]] = {
    "residual": ResidualStack,
    "skip": SkipStack,
    "plain": PlainStack,
}
"""The stacks by name."""


def check_stride(stride: int, blocks: int) -> None:
    """Raise a ValueError unless skips of this stride join at least one of so many blocks."""
    if stride < 1:
        raise ValueError(f"skip_stride {stride} must be at least 1")
    if blocks <= stride:
        raise ValueError(
            f"skip_stride {stride} joins blocks that lie {stride} apart, and needs at least "
            f"{stride + 1}, but there are {blocks}"
        )


def check_last(norm_position: NormPosition) -> None:
    """Raise a ValueError unless a residual stack may end without a residual connection."""
    if norm_position == "pre":
        raise ValueError(
            "last_residual false leaves out a norm after the layer: it needs norm_position post"
        )


def _sum(channels: int) -> nn.Conv2d:
    """A 1×1 convolution [2C → C] that starts as the sum of two times C channels."""
    mix = nn.Conv2d(2 * channels, channels, 1, bias=False)
    with torch.no_grad():
        mix.weight.copy_(torch.eye(channels).repeat(1, 2)[..., None, None])
    return mix


def layer_channels(
    frames: int, widths: Sequence[int], blocks: Sequence[int], skip_stride: int | None = None
) -> list[tuple[int, int]]:
    """Channels (in, out) of each layer of a stack.

    Args:
        frames: channels that the first layer reads.
        widths: channels of the layers of each block.
        blocks: number of layers of each block.
        skip_stride: of a `SkipStack`; None where no block is joined by concatenation.
    """
    channels, before = [], frames
    for block, (width, layers) in enumerate(zip(widths, blocks, strict=True)):
        channels += [(before, width)] + [(width, width)] * (layers - 1)
        joined = skip_stride is not None and block >= skip_stride
        before = width + (widths[block - skip_stride] if joined and skip_stride else 0)
    return channels


def join_channels(*frames: Tensor) -> Tensor:
    """Put [...,C,H,W] side by side along C, channels last in memory as convolutions like it."""
    return torch.cat([f.movedim(-3, -1) for f in frames], dim=-1).movedim(-1, -3)
