"""What follows a linear state space model at each frame: where its output becomes nonlinear."""

from functools import partial
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from framecast.layers.blocks import ChannelNorm, GridConv, Padding
from framecast.layers.residual import ActivatedNorm, ResidualBlock, SqueezeExcitation

Form = Literal["resnet", "standard", "half_glu"]
gelu = partial(F.gelu, approximate="tanh")


def make_readout(
    form: Form,
    in_channels: int,
    channels: int,
    *,
    kernel: int,
    padding: Padding,
    groups: int | None = None,
    squeeze_excitation: bool = False,
) -> nn.Module:
    """Build the module that makes a layer's output from y [B,C,H,W] and its input u [B,C_in,H,W].

    Args:
        form: `resnet`, gelu(y + branch(y)), the branch group norm, GELU and convolution, twice;
            `standard`, gelu(norm(y + D ∗ u)) with a group norm; `half_glu`, h ⊙ σ(W h) with
            h = gelu(norm(y)), a norm over the channels of each pixel and W a matrix.
        in_channels: C_in of u, which `standard` alone reads.
        channels: C.
        kernel: odd side length of the convolutions of `resnet` and of D.
        padding: boundary padding of these convolutions.
        groups: of the group norms, 1 if None; must divide C.
        squeeze_excitation: whether the channels are gated: of the branch, or of `standard`'s
            result.

    Raises:
        ValueError: for an unknown form, for groups that do not divide the channels, and for
            groups or a gate in `half_glu`, which has neither.

    Source: ConvS5 (Smith et al. 2023); half_glu: S5 (Smith et al. 2023).
    """
    if form == "half_glu":
        if groups is not None or squeeze_excitation:
            raise ValueError("form 'half_glu' has neither groups nor squeeze_excitation")
        return GLUReadout(channels)
    settings = (kernel, padding, groups or 1)
    if form == "resnet":
        return ResNetReadout(channels, *settings, squeeze_excitation)
    if form == "standard":
        return StandardReadout(in_channels, channels, *settings, squeeze_excitation)
    raise ValueError(f"form {form!r} is not one of {', '.join(get_args(Form))}")


class ResNetReadout(nn.Module):
    """The readout `resnet` (see `make_readout`)."""

    def __init__(
        self, channels: int, kernel: int, padding: Padding, groups: int, squeeze_excitation: bool
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(
            channels,
            channels,
            kernel,
            padding,
            groups,
            "gelu",
            squeeze_excitation=squeeze_excitation,
        )

    def forward(self, y: Tensor, u: Tensor) -> Tensor:
        """Map y [B,C,H,W] → [B,C,H,W]; u is not read."""
        return gelu(self.block(y))


class StandardReadout(nn.Module):
    """The readout `standard` (see `make_readout`)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        padding: Padding,
        groups: int,
        squeeze_excitation: bool,
    ) -> None:
        super().__init__()
        self.feedthrough = GridConv(in_channels, channels, kernel, padding)
        self.norm = ActivatedNorm(groups, channels, "gelu")
        self.gate = SqueezeExcitation(channels) if squeeze_excitation else nn.Identity()

    def forward(self, y: Tensor, u: Tensor) -> Tensor:
        """Map y [B,C,H,W] and u [B,C_in,H,W] → [B,C,H,W]."""
        result: Tensor = self.gate(self.norm(y, self.feedthrough(u)))
        return result


class GLUReadout(nn.Module):
    """The readout `half_glu` (see `make_readout`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.dense = nn.Conv2d(channels, channels, 1)

    def forward(self, y: Tensor, u: Tensor) -> Tensor:
        """Map y [B,C,H,W] → [B,C,H,W]; u is not read."""
        h = gelu(self.norm(y))
        gate: Tensor = self.dense(h)
        return h * gate.sigmoid()
