"""The network that users train: encoder → recurrences → decoder."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import torch
from torch import nn

from framecast.models.blocks import NormKind, Padding, make_norm
from framecast.models.recurrence import State, per_frame
from framecast.models.registry import layer_entry
from framecast.models.stacks import ResidualStack, SkipStack, Stack, skip_channels
from framecast.shapes import Frame, FrameSequence


@dataclass(frozen=True)
class ForecasterConfig:
    """The network, apart from what follows from the data.

    Attributes:
        layer: recurrent layer, by name (`framecast models` lists them).
        options: settings of this layer alone, by name (`framecast models` lists them too).
        depth: number of recurrent layers, at least 1.
        hidden: channels of each layer, at least 1. Stack skip: channels of each block, of
            three or more blocks; one number stands for four equal blocks.
        stack: residual, x ← norm(x + layer(x)); or skip, blocks of equal numbers of layers,
            x ← norm(layer(x)), where the output of each block from the third on is joined
            by the output of the block two before it.
        kernel: odd side length of the layers' convolutions.
        padding: how fields continue beyond their edges: zeros; circular; cylinder (periodic
            in longitude, zeros beyond the poles); replicate; reflect.
        norm: norm after each layer: group (over a frame), channel (over a pixel's
            channels), grid (over H×W, ties the weights to one grid size) or none.
        encoder: pointwise, a 1×1 convolution from the frames' channels to the first layer's;
            or none, the first layer reads the frames (stack skip only, since a residual
            connection needs as many channels as the layer has).
        encoder_activation: what follows the encoder's convolution.
        output: what follows the last convolution: linear, nothing; sigmoid, values in (0, 1);
            tanh, values in (-1, 1).
    """

    layer: str = "min_conv_gru"
    options: dict[str, Any] = field(default_factory=dict)
    depth: int = 4
    hidden: int | list[int] = 48
    stack: Literal["residual", "skip"] = "residual"
    kernel: int = 3
    padding: Padding = "zeros"
    norm: NormKind = "group"
    encoder: Literal["pointwise", "none"] = "pointwise"
    encoder_activation: Literal["none", "tanh"] = "none"
    output: Literal["linear", "sigmoid", "tanh"] = "linear"

    def __post_init__(self) -> None:
        try:
            layer_entry(self.layer).check_options(self.options)
        except ValueError as error:
            raise ValueError(f"model.options of {self.layer}: {error}") from error
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} must be odd and positive")
        if self.depth < 1:
            raise ValueError(f"depth {self.depth} must be at least 1")
        if min(self.blocks) < 1:
            raise ValueError(f"hidden {self.hidden} must be at least 1")
        (_check_residual if self.stack == "residual" else _check_skip)(self)
        if self.encoder == "none" and self.encoder_activation != "none":
            raise ValueError("encoder_activation follows an encoder, but encoder is none")

    @property
    def blocks(self) -> list[int]:
        """Channels of each block of layers; a residual stack is one block."""
        if not isinstance(self.hidden, int):
            return self.hidden
        return [self.hidden] * (1 if self.stack == "residual" else 4)


def _check_residual(config: ForecasterConfig) -> None:
    if not isinstance(config.hidden, int):
        raise ValueError(
            f"hidden {config.hidden}: in stack residual all layers have the same channels, one "
            "number; a list, a number for each block, needs stack skip"
        )
    if config.encoder == "none":
        raise ValueError(
            "encoder none needs stack skip: a residual connection adds what a layer reads to "
            "what it puts out, so the frames must first have as many channels as the layer"
        )


def _check_skip(config: ForecasterConfig) -> None:
    blocks = len(config.blocks)
    if blocks < 3:
        raise ValueError(
            f"hidden {config.hidden}: stack skip joins blocks that lie two apart, and needs at "
            "least three"
        )
    if config.depth % blocks:
        raise ValueError(
            f"depth {config.depth} does not make {blocks} blocks of equal numbers of layers"
        )


class Forecaster(nn.Module):
    """Predicts the next frame from each frame and all before it.

    Maps frames 1..T to predictions of frames 2..T+1: in one pass when the frames are given
    (`forward`), or one frame at a time (`step`, `forecast`). It knows nothing of losses,
    horizons or units.

    Args:
        config: the network.
        in_channels: channels of the frames that it reads.
        out_channels: channels of its predictions; `in_channels` if None. A closed loop
            needs both to be equal.
        grid: (H, W), needed only for norm `grid`.
    """

    def __init__(
        self,
        config: ForecasterConfig,
        in_channels: int,
        out_channels: int | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.encoder = nn.Sequential()
        if config.encoder == "pointwise":
            self.encoder.append(nn.Conv2d(in_channels, config.blocks[0], 1))
            in_channels = config.blocks[0]
        if config.encoder_activation == "tanh":
            self.encoder.append(nn.Tanh())
        self.recurrences = make_stack(config, in_channels, grid)
        self.decoder = nn.Conv2d(self.recurrences.out_channels, self.out_channels, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, frames: FrameSequence, state: State | None = None
    ) -> tuple[FrameSequence, State]:
        """Predict frames 2..T+1 from frames 1..T, [B,T,C_in,H,W] → [B,T,C_out,H,W].

        Args:
            frames: T ≥ 1 given frames (teacher forcing).
            state: state returned by an earlier call; None starts afresh.

        Returns:
            The predictions, and the state after the last given frame.
        """
        features, state = self.recurrences(per_frame(self._encode, frames), state)
        return per_frame(self._decode, features), state

    def step(self, frame: Frame, state: State) -> tuple[Frame, State]:
        """Predict the frame after `frame` [B,C_in,H,W] → [B,C_out,H,W], and the next state."""
        features, state = self.recurrences.step(self._encode(frame), state)
        return self._decode(features), state

    def _encode(self, frame: Frame) -> Frame:
        """Encode a frame and lay its channels last in memory.

        Convolutions are faster in this layout, and every layer hands it on; a frame of one
        channel does not say by itself which layout it has.
        """
        features: Frame = self.encoder(frame)
        return features.contiguous(memory_format=torch.channels_last)

    def _decode(self, features: Frame) -> Frame:
        """Decode features into a frame, within the range that `output` names."""
        frame: Frame = self.decoder(features)
        if self.config.output == "linear":
            return frame
        return frame.sigmoid() if self.config.output == "sigmoid" else frame.tanh()

    def forecast(
        self, context: FrameSequence, steps: int | None = None, state: State | None = None
    ) -> Iterator[tuple[Frame, State]]:
        """Read the context in one pass, then yield one predicted frame after the other.

        Memory does not grow with `steps`. To go on from a yielded (frame, state), whether
        with the prediction itself or with an observation in its place, pass
        `frame.unsqueeze(1)` as the context and `state` as the state.

        Args:
            context: past frames [B,T,C,H,W], T ≥ 1.
            steps: how many frames to predict; None for no end.
            state: state before the context; None starts afresh.

        Raises:
            ValueError: if the predictions do not have the channels of the frames.
        """
        if self.in_channels != self.out_channels:
            raise ValueError(
                f"a closed loop feeds predictions back, but this network reads "
                f"{self.in_channels} channels and predicts {self.out_channels}"
            )
        return self._closed_loop(context, steps, state)

    def _closed_loop(
        self, context: FrameSequence, steps: int | None, state: State | None
    ) -> Iterator[tuple[Frame, State]]:
        if steps == 0:
            return
        predictions, state = self(context, state)
        frame = predictions[:, -1]
        yield frame, state
        for _ in count() if steps is None else range(steps - 1):
            frame, state = self.step(frame, state)
            yield frame, state


def make_stack(config: ForecasterConfig, in_channels: int, grid: tuple[int, int] | None) -> Stack:
    """Build the recurrent layers and norms that a configuration names.

    Args:
        config: the network.
        in_channels: channels that the first layer reads.
        grid: (H, W), needed only for norm `grid`.

    Raises:
        ValueError: if the layer's options contradict each other.
    """
    blocks = config.blocks
    channels = skip_channels(in_channels, blocks, config.depth // len(blocks))
    entry = layer_entry(config.layer)
    options = entry.check_options(config.options)
    layers = [entry.layer(a, b, config.kernel, config.padding, **options) for a, b in channels]
    norms = [make_norm(config.norm, out, grid) for _, out in channels]
    if config.stack == "residual":
        return ResidualStack(layers, norms)
    return SkipStack(layers, norms, len(blocks))
