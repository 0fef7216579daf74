"""The network that users train: encoder → recurrences → decoder."""

from collections.abc import Iterator
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.recurrence import State, per_frame
from framecast.models.build import make_stack
from framecast.models.codecs.codec import ActionConditioning, make_decoder, make_encoder
from framecast.models.config import ForecasterConfig


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
        grid: (H, W), needed only for norm `grid`; checked where it is given.
        actions: numbers in the action that comes with each frame; 0 for frames alone.

    Raises:
        ValueError: if the grid does not suit the encoder, or options contradict each other.
    """

    def __init__(
        self,
        config: ForecasterConfig,
        in_channels: int,
        out_channels: int | None = None,
        grid: tuple[int, int] | None = None,
        actions: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.reduction = config.reduction
        if grid is not None:
            self.check_grid(*grid)
            grid = (grid[0] // self.reduction, grid[1] // self.reduction)
        self.encoder = make_encoder(config, in_channels)
        features = in_channels if config.encoder == "none" else config.blocks[0]
        self.conditioning = ActionConditioning(actions, features) if actions else None
        self.recurrences = make_stack(config, features, grid)
        self.decoder = make_decoder(config, self.recurrences.out_channels, self.out_channels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        frames: FrameSequence,
        state: State | None = None,
        actions: Float[Tensor, "B T _A"] | None = None,
    ) -> tuple[FrameSequence, State]:
        """Predict frames 2..T+1 from frames 1..T, [B,T,C_in,H,W] → [B,T,C_out,H,W].

        Args:
            frames: T ≥ 1 given frames (teacher forcing).
            state: state returned by an earlier call; None starts afresh.
            actions: what is done between each frame and the one after it, for a network with
                actions.

        Returns:
            The predictions, and the state after the last given frame.
        """
        given = (frames,) if actions is None else (frames, actions)
        features, state = self.recurrences(per_frame(self._encode, *given), state)
        return per_frame(self._decode, features), state

    def step(
        self, frame: Frame, state: State, action: Float[Tensor, "B _A"] | None = None
    ) -> tuple[Frame, State]:
        """Predict the frame after `frame` [B,C_in,H,W] → [B,C_out,H,W], and the next state."""
        features, state = self.recurrences.step(self._encode(frame, action), state)
        return self._decode(features), state

    def check_grid(self, height: int, width: int) -> None:
        """Raise a ValueError if frames of this grid cannot be encoded."""
        if height % self.reduction or width % self.reduction:
            raise ValueError(
                f"the encoder makes {self.reduction}×{self.reduction} cells of a frame into one, "
                f"but the grid is {height}×{width}"
            )

    def _encode(self, frame: Frame, action: Tensor | None = None) -> Tensor:
        """Encode a frame and lay its channels last in memory.

        Convolutions are faster in this layout, and every layer hands it on; a frame of one
        channel does not say by itself which layout it has.
        """
        self.check_grid(*frame.shape[-2:])
        features: Tensor = self.encoder(frame)
        if self.conditioning is not None:
            if action is None:
                raise ValueError("this network reads an action with each frame, but none is given")
            features = self.conditioning(features, action)
        elif action is not None:
            raise ValueError("actions are given to a network that was built without")
        return features.contiguous(memory_format=torch.channels_last)

    def _decode(self, features: Tensor) -> Tensor:
        """Decode features into a frame, within the range that `output` names."""
        frame: Tensor = self.decoder(features)
        if self.config.output == "linear":
            return frame
        return frame.sigmoid() if self.config.output == "sigmoid" else frame.tanh()

    def forecast(
        self,
        context: FrameSequence,
        steps: int | None = None,
        state: State | None = None,
        actions: Float[Tensor, "B _T _A"] | None = None,
    ) -> Iterator[tuple[Frame, State]]:
        """Read the context in one pass, then yield one predicted frame after the other.

        Memory does not grow with `steps`, unless a layer's state does. To go on from a yielded
        (frame, state), whether with the prediction itself or with an observation in its place,
        pass `frame.unsqueeze(1)` as the context and `state` as the state.

        Args:
            context: past frames [B,T,C,H,W], T ≥ 1.
            steps: how many frames to predict; None for no end.
            state: state before the context; None starts afresh.
            actions: with each frame that is read, given or predicted: at least T + steps - 1.

        Raises:
            ValueError: if the predictions do not have the channels of the frames.
        """
        if self.in_channels != self.out_channels:
            raise ValueError(
                f"a closed loop feeds predictions back, but this network reads "
                f"{self.in_channels} channels and predicts {self.out_channels}"
            )
        return self._closed_loop(context, steps, state, actions)

    def _closed_loop(
        self,
        context: FrameSequence,
        steps: int | None,
        state: State | None,
        actions: Tensor | None,
    ) -> Iterator[tuple[Frame, State]]:
        if steps == 0:
            return
        known = context.shape[1]
        predictions, state = self(context, state, None if actions is None else actions[:, :known])
        frame = predictions[:, -1]
        yield frame, state
        for t in count(known) if steps is None else range(known, known + steps - 1):
            frame, state = self.step(frame, state, None if actions is None else actions[:, t])
            yield frame, state
