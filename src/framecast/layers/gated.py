"""What the classical gated layers share: the loop over time around a hoisted convolution."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.recurrence import Recurrence, State, per_frame


class HoistedRecurrence(Recurrence):
    """A recurrence whose input-to-state convolution runs once over all frames.

    W ∗ [x, h] = W_x ∗ x + W_h ∗ h: the first term does not depend on the state and is taken
    out of the loop over time; a subclass adds the rest in `update`.
    """

    input_conv: nn.Module

    @abstractmethod
    def update(self, projected: Tensor, state: State) -> tuple[Frame, State]:
        """One step from the convolved input [B,·,H,W] and the state."""

    def forward(
        self, frames: FrameSequence, state: State | None = None
    ) -> tuple[FrameSequence, State]:
        """Run over a whole sequence (see `Recurrence`)."""
        state = self.state_for(frames, state)
        outputs = []
        for projected in unstack_frames(per_frame(self.input_conv, frames)):
            output, state = self.update(projected, state)
            outputs.append(output)
        return stack_frames(outputs), state

    def step(self, frame: Frame, state: State) -> tuple[Frame, State]:
        """Run over one frame (see `Recurrence`)."""
        return self.update(self.input_conv(frame), state)


def unstack_frames(frames: FrameSequence) -> list[Frame]:
    """Take [B,T,C,H,W] apart into T frames [B,C,H,W], so that gradients come channels last too."""
    return [frame.movedim(-1, 1) for frame in frames.movedim(2, -1).unbind(1)]


def stack_frames(frames: Sequence[Frame]) -> FrameSequence:
    """Stack frames [B,C,H,W] into [B,T,C,H,W], channels last in memory as convolutions like it."""
    return torch.stack([f.movedim(1, -1) for f in frames], dim=1).movedim(-1, 2)


def start_as_one(input_conv: nn.Conv2d, *state_convs: nn.Conv2d) -> None:
    """Draw the weights as the two halves of one convolution over [x, h].

    Apart, each would start with the range of its own, smaller fan-in.
    """
    fan_in = input_conv.weight[0].numel() + state_convs[0].weight[0].numel()
    for conv in (input_conv, *state_convs):
        for parameter in conv.parameters():
            nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5)


def start_xavier_normal(input_conv: nn.Conv2d, state_kernel: Tensor) -> None:
    """Draw the weights as the two halves of one convolution over [x, h], Xavier-normal.

    The variance is 2 / (fan-in + fan-out); biases start at zero (Glorot and Bengio, 2010).

    Args:
        input_conv: the half that reads x.
        state_kernel: weights [C_out,C,k,k] of the half that reads h.
    """
    fan_in = input_conv.weight[0].numel() + state_kernel[0].numel()
    fan_out = input_conv.weight[:, 0].numel()
    for weight in (input_conv.weight, state_kernel):
        nn.init.normal_(weight, std=(2 / (fan_in + fan_out)) ** 0.5)
    if input_conv.bias is not None:
        nn.init.zeros_(input_conv.bias)
