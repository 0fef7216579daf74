"""Causal 3-D convolution: a layer of a convolutional network over space and past time.

Source: the baseline "3D-CNN" of Convolutional Tensor-Train LSTM for Spatio-Temporal Learning
(2020), section 4, whose layers are causal 3-D convolutions. The paper does not name their length in
time or their nonlinearity: both are options.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.blocks import GridConv, Padding
from framecast.layers.entry import register
from framecast.layers.recurrence import Recurrence, per_frame

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "tanh": torch.tanh}
LONGEST = 1000
"""Frames that a convolution spans, at most: far beyond any that is trained, and soon refused."""


@register("causal_conv_3d", paper="Tran et al. 2015, Learning Spatiotemporal Features (C3D)")
class CausalConv3D(Recurrence):
    """Causal 3-D convolution: each output from the present frame and the D − 1 before it.

    y(t) = a(W_0 ∗ x(t) + W_1 ∗ x(t−1) + ... + W_(D−1) ∗ x(t−D+1) + b), with frames of zeros
    before the first. The state is the last D − 1 frames, [B,D−1,C_in,H,W]: unlike that of other
    layers it holds nothing of what came before. It is one convolution in space of D frames side by
    side, so that every padding of `GridConv` is one of this layer too. Weights start Xavier-normal,
    biases at zero.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the output.
        kernel: odd side length of the convolution in space.
        padding: boundary padding.
        frames: D, frames that the convolution spans in time, at least 2.
        activation: the function a: relu or tanh.
        bias: whether the convolution adds a learned constant to each channel.

    Raises:
        ValueError: if fewer than 2 frames are spanned, or too many, or the kernel is even.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        frames: int = 3,
        activation: Literal["relu", "tanh"] = "relu",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not 2 <= frames <= LONGEST:
            raise ValueError(f"frames {frames} must be at least 2 and at most {LONGEST}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.span, self.activation = frames, ACTIVATIONS[activation]
        self.conv: GridConv = GridConv(frames * in_channels, out_channels, kernel, padding, bias)
        in_space = self.conv.weight.view(out_channels, frames, in_channels, kernel, kernel)
        nn.init.xavier_normal_(in_space.transpose(1, 2))
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> Tensor:
        """Return frames of zeros (see `Recurrence`)."""
        return torch.zeros(batch, self.span - 1, self.in_channels, height, width, **like)

    def forward(
        self, frames: FrameSequence, state: Tensor | None = None
    ) -> tuple[FrameSequence, Tensor]:
        """Run over a whole sequence at once (see `Recurrence`)."""
        length = frames.shape[1]
        known = torch.cat([self.state_for(frames, state), frames], dim=1)
        shifted = [known[:, first : first + length] for first in range(self.span)]
        return per_frame(self._convolve, torch.cat(shifted, dim=2)), known[:, length:]

    def step(self, frame: Frame, state: Tensor) -> tuple[Frame, Tensor]:
        """Run over one frame (see `Recurrence`)."""
        known = torch.cat([state, frame.unsqueeze(1)], dim=1)
        return self._convolve(known.flatten(1, 2)), known[:, 1:]

    def _convolve(self, side_by_side: Tensor) -> Tensor:
        return self.activation(self.conv(side_by_side))
