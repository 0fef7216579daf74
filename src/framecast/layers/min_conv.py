"""Minimal convolutional recurrences: gates that do not look at the hidden state.

The state at t is then a linear function of the state at t−1, so a whole sequence runs as
one convolution over all frames and one scan over time.

Source: Minimal Convolutional RNNs Accelerate Spatiotemporal Learning (2025), section 3.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.blocks import GridConv, Padding
from framecast.layers.entry import register
from framecast.layers.recurrence import Recurrence, State, per_frame
from framecast.layers.time_parallel import LinearScan, run_scan
from framecast.ops import min_exp_lstm_scan, min_gru_scan, min_lstm_scan
from framecast.ops.scan import gated_decay

PAPER = "Minimal Convolutional RNNs Accelerate Spatiotemporal Learning, 2025"


class MinConv(Recurrence):
    """What the minimal layers share: one convolution for all gates, one scan over time.

    The first state is g(0) = 0.5 everywhere, as in the paper, whose log-domain form takes
    the logarithm of g(h_0) at h_0 = 0. A carried state is the state itself.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the state and the output.
        kernel: odd side length of the convolution.
        padding: boundary padding.
        bias: whether the convolution adds a learned constant to each channel.
    """

    time_parallel = True
    gates: ClassVar[int]
    first_state = 0.5

    @staticmethod
    @abstractmethod
    def scan(gates: Tensor, h0: Tensor) -> Tensor:
        """Run over time: pre-activations [B,T,gates·C,H,W], h0 [B,C,H,W] → [B,T,C,H,W]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.conv = GridConv(in_channels, self.gates * out_channels, kernel, padding, bias)

    def forward(
        self, frames: FrameSequence, state: State | None = None
    ) -> tuple[FrameSequence, State]:
        """Run over a whole sequence at once (see `Recurrence`)."""
        gates = per_frame(self.conv, frames)
        linear = LinearScan(
            self.scan,
            (gates,),
            decay=lambda: gated_decay(self.scan.__name__, gates),
            fade=torch.mul,
        )
        states = run_scan(linear, self.state_for(frames, state), state is None)
        return states, states[:, -1]

    def step(self, frame: Frame, state: State) -> tuple[Frame, State]:
        """Run over one frame: a sequence of length one."""
        states, last = self(frame.unsqueeze(1), state)
        return states.squeeze(1), last


@register("min_conv_gru", paper=PAPER)
class MinConvGRU(MinConv):
    """Minimal convolutional GRU: one gate blends the old state with a new candidate.

    [k, u] = W ∗ x; z = σ(k); h' = (1−z)⊙h + z⊙g(u).
    """

    gates = 2
    scan = staticmethod(min_gru_scan)


@register("min_conv_lstm", paper=PAPER)
class MinConvLSTM(MinConv):
    """Minimal convolutional LSTM: forget and input gate, normalised to sum to one.

    [f, i, u] = W ∗ x, f and i through σ; h' = f/(f+i)⊙h + i/(f+i)⊙g(u).
    """

    gates = 3
    scan = staticmethod(min_lstm_scan)


@register("min_conv_exp_lstm", paper=PAPER)
class MinConvExpLSTM(MinConv):
    """Minimal convolutional LSTM with exponential gates: both from one logistic function.

    [f, i, u] = W ∗ x; h' = σ(f−i)⊙h + σ(i−f)⊙g(u).
    """

    gates = 3
    scan = staticmethod(min_exp_lstm_scan)
