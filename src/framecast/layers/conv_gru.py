"""ConvGRU (Ballas et al., 2016)."""

from torch import Tensor

from framecast.base.shapes import Frame
from framecast.layers.blocks import GridConv, Padding
from framecast.layers.entry import register
from framecast.layers.gated import HoistedRecurrence, start_as_one


@register("conv_gru", paper="Ballas et al. 2016, Delving Deeper into ConvNets, arXiv:1511.06432")
class ConvGRU(HoistedRecurrence):
    """Convolutional GRU: update and reset gate, and a candidate that sees the reset state.

    z, r = σ(W_zr ∗ [x, h]); h~ = tanh(W_h ∗ [x, r⊙h]); h' = (1−z)⊙h + z⊙h~.
    Channels of the input convolution are in the order [z, r, h~]. The first state is zero.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the state and the output.
        kernel: odd side length of the convolutions.
        padding: boundary padding.
        bias: whether the convolutions add a learned constant to each channel.
    """

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
        self.input_conv = GridConv(in_channels, 3 * out_channels, kernel, padding, bias)
        self.gate_conv = GridConv(out_channels, 2 * out_channels, kernel, padding, bias=False)
        self.candidate_conv = GridConv(out_channels, out_channels, kernel, padding, bias=False)
        start_as_one(self.input_conv, self.gate_conv, self.candidate_conv)

    def update(self, projected: Tensor, state: Tensor) -> tuple[Frame, Tensor]:
        """One GRU step from the convolved input [B,3C,H,W]."""
        x_gates, x_candidate = projected.tensor_split([2 * self.out_channels], dim=1)
        z, r = (x_gates + self.gate_conv(state)).sigmoid().chunk(2, dim=1)
        candidate = (x_candidate + self.candidate_conv(r * state)).tanh()
        h = state + z * (candidate - state)
        return h, h
