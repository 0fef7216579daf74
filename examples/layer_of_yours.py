"""A recurrent layer of one's own, which framecast trains, forecasts and evaluates like any other.

    python examples/layer_of_yours.py

A layer that is registered can be named in a recipe (`model.layer: leaky`). The state is passed in
and returned, and a pass over a sequence gives what steps one by one give.
"""

import torch
from torch import Tensor

from framecast import Forecaster, ForecasterConfig, GridConv, Recurrence, register


@register("leaky", paper="an example of the documentation")
class Leaky(Recurrence):
    """h' = a ⊙ h + (1 − a) ⊙ tanh(W ∗ x), with a learned leak a for each channel."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, padding="zeros"):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.conv = GridConv(in_channels, out_channels, kernel, padding)
        self.leak = torch.nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over a sequence [B,T,C,H,W]."""
        state, outputs = self.state_for(frames, state), []
        for frame in frames.unbind(1):
            output, state = self.step(frame, state)
            outputs.append(output)
        return torch.stack(outputs, dim=1), state

    def step(self, frame: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over one frame [B,C,H,W]."""
        keep = self.leak.sigmoid()
        state = keep * state + (1 - keep) * self.conv(frame).tanh()
        return state, state


if __name__ == "__main__":
    network = Forecaster(ForecasterConfig(layer="leaky", depth=2, hidden=8), channels=1)
    predictions, _ = network(torch.randn(2, 5, 1, 16, 16))
    print("from frames [2,5,1,16,16] to predictions", list(predictions.shape))
