"""The network that users train: encoder → recurrences → decoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

import torch
from torch import nn

from framecast.models.blocks import Norm, Padding, make_norm
from framecast.models.recurrence import ResidualStack, State, per_frame
from framecast.models.registry import layer_entry
from framecast.shapes import Frame, FrameSequence


@dataclass(frozen=True)
class ForecasterConfig:
    """The network, apart from what follows from the data.

    Attributes:
        layer: recurrent layer, by name (`framecast models` lists them).
        depth: number of recurrent layers, at least 1.
        hidden: channels of each layer, at least 1.
        kernel: odd side length of the layers' convolutions.
        padding: how fields continue beyond their edges: zeros; circular; cylinder (periodic
            in longitude, zeros beyond the poles); replicate; reflect.
        norm: norm after each layer: group (over a frame), channel (over a pixel's
            channels), grid (over H×W, ties the weights to one grid size) or none.
        encoder_activation: what follows the encoder's convolution.
    """

    layer: str = "min_conv_gru"
    depth: int = 4
    hidden: int = 48
    kernel: int = 3
    padding: Padding = "zeros"
    norm: Norm = "group"
    encoder_activation: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        layer_entry(self.layer)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} must be odd and positive")
        for name in ("depth", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")


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
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, config.hidden, 1))
        if config.encoder_activation == "tanh":
            self.encoder.append(nn.Tanh())
        layer = layer_entry(config.layer).layer
        self.recurrences = ResidualStack(
            [
                layer(config.hidden, config.hidden, config.kernel, config.padding)
                for _ in range(config.depth)
            ],
            [make_norm(config.norm, config.hidden, grid) for _ in range(config.depth)],
        )
        self.decoder = nn.Conv2d(config.hidden, self.out_channels, 1)
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
        return per_frame(self.decoder, features), state

    def step(self, frame: Frame, state: State) -> tuple[Frame, State]:
        """Predict the frame after `frame` [B,C_in,H,W] → [B,C_out,H,W], and the next state."""
        features, state = self.recurrences.step(self._encode(frame), state)
        return self.decoder(features), state

    def _encode(self, frame: Frame) -> Frame:
        """Encode a frame and lay its channels last in memory.

        Convolutions are faster in this layout, and every layer hands it on; a frame of one
        channel does not say by itself which layout it has.
        """
        features: Frame = self.encoder(frame)
        return features.contiguous(memory_format=torch.channels_last)

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
