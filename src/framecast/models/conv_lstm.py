"""ConvLSTM (Shi et al., 2015)."""

from typing import Any, Literal, NamedTuple

from torch import Tensor

from framecast.models.blocks import GridConv, Padding
from framecast.models.gated import HoistedRecurrence, start_as_one, start_xavier_normal
from framecast.models.registry import register
from framecast.ops import lstm_cell
from framecast.shapes import Frame


class LSTMState(NamedTuple):
    """Hidden state h and cell state c, each [B,C,H,W]."""

    h: Tensor
    c: Tensor


@register("conv_lstm", paper="Shi et al. 2015, Convolutional LSTM Network, arXiv:1506.04214")
class ConvLSTM(HoistedRecurrence):
    """Convolutional LSTM: four gates from the input and the hidden state, one at a time.

    i, f, o = σ(·), g = tanh(·) of W ∗ [x, h]; c' = f⊙c + i⊙g; h' = o⊙tanh(c').
    Gate channels are in the order [i, f, o, g]. The first state is zero.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the states and the output.
        kernel: odd side length of the convolutions.
        padding: boundary padding.
        start: how the weights are drawn: uniform, within the inverse square root of the
            fan-in; or xavier_normal, with biases of zero, as in the Conv-TT-LSTM paper.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        start: Literal["uniform", "xavier_normal"] = "uniform",
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.input_conv = GridConv(in_channels, 4 * out_channels, kernel, padding)
        self.state_conv = GridConv(out_channels, 4 * out_channels, kernel, padding, bias=False)
        if start == "uniform":
            start_as_one(self.input_conv, self.state_conv)
        else:
            start_xavier_normal(self.input_conv, self.state_conv.weight)

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> LSTMState:
        """Return zeros (see `Recurrence`)."""
        zeros = super().initial_state(batch, height, width, **like)
        return LSTMState(zeros, zeros)

    def update(self, projected: Tensor, state: LSTMState) -> tuple[Frame, LSTMState]:
        """One LSTM step from the convolved input [B,4C,H,W]."""
        h, c = lstm_cell(projected + self.state_conv(state.h), state.c)
        return h, LSTMState(h, c)
