"""Convolutional blocks with a way around them: what encoders, decoders and readouts are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framecast.base.shapes import Frame
from framecast.layers.blocks import EPSILON, GridConv, Padding
from framecast.ops import residual_norm
from framecast.ops.norm import check_groups

Nonlinearity = Literal["gelu", "elu", "relu", "silu"]
"""Elementwise functions: gelu in its form with tanh; silu, x σ(x), which is also called swish."""
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": partial(F.gelu, approximate="tanh"),
    "elu": F.elu,
    "relu": F.relu,
    "silu": F.silu,
}


@dataclass(frozen=True)
class Squeeze:
    """Width of the bottleneck of a `SqueezeExcitation`.

    Attributes:
        reduction: C channels are squeezed into C / reduction numbers, rounded down; at least 1.
        minimum: and into at least so many; at least 1.

    Raises:
        ValueError: if one of them is less than 1.

    Source: Hu et al. 2018, Squeeze-and-Excitation Networks, arXiv:1709.01507, whose reduction
    is 16.
    """

    reduction: int = 16
    minimum: int = 1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"squeeze_{name} {value} must be at least 1")

    def width(self, channels: int) -> int:
        """Into how many numbers so many channels are squeezed."""
        return max(self.minimum, channels // self.reduction)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate that sees the mean of all channels over the grid.

    x ⊙ σ(W₂ relu(W₁ mean(x))).

    Args:
        channels: C of the frames [B,C,H,W].
        squeeze: how wide W₁ mean(x) is.

    Source: Hu et al. 2018, Squeeze-and-Excitation Networks, arXiv:1709.01507.
    """

    def __init__(self, channels: int, squeeze: Squeeze) -> None:
        super().__init__()
        squeezed = squeeze.width(channels)
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


def make_gate(channels: int, squeeze: Squeeze | None) -> nn.Module:
    """Build a gate of channels, or what leaves them as they are where `squeeze` is None."""
    return nn.Identity() if squeeze is None else SqueezeExcitation(channels, squeeze)


class ActivatedNorm(nn.Module):
    """Group norm and the function that follows it, in one pass where that is gelu or elu.

    Args:
        groups: into which the channels are divided.
        channels: C of the frames [B,C,H,W].
        activation: elementwise function.

    Raises:
        ValueError: if the groups do not divide the channels, or the function is unknown.

    Source: Wu and He 2018, Group Normalization, arXiv:1803.08494.
    """

    def __init__(self, groups: int, channels: int, activation: Nonlinearity) -> None:
        super().__init__()
        check_groups(groups, channels)
        check_nonlinearity(activation)
        self.groups, self.activation = groups, activation
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Frame, update: Frame | None = None) -> Frame:
        """Normalise x [B,C,H,W], or x + update, and activate it."""
        norm = partial(
            residual_norm, x, update, self.weight, self.bias, EPSILON, groups=self.groups
        )
        if self.activation == "gelu" or self.activation == "elu":
            return norm(activation=self.activation)
        return FUNCTIONS[self.activation](norm())


def check_nonlinearity(name: str) -> None:
    """Raise a ValueError unless `name` is a `Nonlinearity`."""
    if name not in FUNCTIONS:
        raise ValueError(f"activation {name!r} is not one of {', '.join(get_args(Nonlinearity))}")


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
        squeeze: of the gate of the branch's channels at its end; None for no gate.
        bias: whether both convolutions add a learned constant to each channel.

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
        activation: Nonlinearity,
        scale: float = 1.0,
        squeeze: Squeeze | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.norm_in = ActivatedNorm(groups, in_channels, activation)
        self.conv_in = GridConv(in_channels, out_channels, kernel, padding, bias)
        self.norm_out = ActivatedNorm(groups, out_channels, activation)
        self.conv_out = GridConv(out_channels, out_channels, kernel, padding, bias)
        self.gate = make_gate(out_channels, squeeze)
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Frame) -> Frame:
        """Map frames [B,C_in,H,W] → [B,C_out,H,W]."""
        branch = self.conv_in(self.norm_in(x))
        branch = self.gate(self.conv_out(self.norm_out(branch)))
        result: Frame = self.skip(x).add(branch, alpha=self.scale)
        return result
