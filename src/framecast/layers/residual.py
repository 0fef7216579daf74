"""Convolutional blocks with a way around them: what encoders, decoders and readouts are made of."""

import torch
from torch import nn

from framecast.base.shapes import Frame
from framecast.layers.blocks import EPSILON, GridConv, Padding
from framecast.ops import residual_norm
from framecast.ops.norm import Activation, check_groups


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate that sees the mean of all channels over the grid.

    x ⊙ σ(W₂ relu(W₁ mean(x))).

    Args:
        channels: C of the frames [B,C,H,W].
        reduction: C is squeezed into C / reduction numbers, at least one.

    Source: Hu et al. 2018, Squeeze-and-Excitation Networks, arXiv:1709.01507.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Linear(channels, squeezed),
            nn.ReLU(),
            nn.Linear(squeezed, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Frame) -> Frame:
        """Scale the channels of [B,C,H,W]."""
        scaled: Frame = x * self.gate(x.mean((-2, -1)))[..., None, None]
        return scaled


class ActivatedNorm(nn.Module):
    """Group norm and what follows it, in one pass.

    Args:
        groups: into which the channels are divided.
        channels: C of the frames [B,C,H,W].
        activation: elementwise function.

    Raises:
        ValueError: if the groups do not divide the channels.

    Source: Wu and He 2018, Group Normalization, arXiv:1803.08494.
    """

    def __init__(self, groups: int, channels: int, activation: Activation) -> None:
        super().__init__()
        check_groups(groups, channels)
        self.groups, self.activation = groups, activation
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Frame, update: Frame | None = None) -> Frame:
        """Normalise x [B,C,H,W], or x + update, and activate it."""
        return residual_norm(
            x,
            update,
            self.weight,
            self.bias,
            EPSILON,
            groups=self.groups,
            activation=self.activation,
        )


class ResidualBlock(nn.Module):
    """Group norm, activation and convolution, twice, beside the input.

    skip(x) + scale · conv(act(norm(conv(act(norm(x)))))); skip is a 1×1 convolution without
    bias where the number of channels changes, and nothing elsewhere.

    Args:
        in_channels: channels of the frames [B,C_in,H,W].
        out_channels: channels of the result.
        kernel: odd side length of both convolutions.
        padding: boundary padding.
        groups: of both norms; divides both numbers of channels.
        activation: what follows both norms.
        scale: of the residual branch.
        squeeze_excitation: whether the channels of the branch are gated in the end.

    Raises:
        ValueError: if the groups do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        padding: Padding,
        groups: int,
        activation: Activation,
        scale: float = 1.0,
        squeeze_excitation: bool = False,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.norm_in = ActivatedNorm(groups, in_channels, activation)
        self.conv_in = GridConv(in_channels, out_channels, kernel, padding)
        self.norm_out = ActivatedNorm(groups, out_channels, activation)
        self.conv_out = GridConv(out_channels, out_channels, kernel, padding)
        self.gate = SqueezeExcitation(out_channels) if squeeze_excitation else nn.Identity()
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Frame) -> Frame:
        """Map frames [B,C_in,H,W] → [B,C_out,H,W]."""
        branch = self.conv_in(self.norm_in(x))
        branch = self.gate(self.conv_out(self.norm_out(branch)))
        result: Frame = self.skip(x).add(branch, alpha=self.scale)
        return result
