"""What follows a linear state space model at each frame: where its output becomes nonlinear."""

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from framecast.layers.blocks import ChannelNorm, GridConv, Padding
from framecast.layers.residual import (
    FUNCTIONS,
    ActivatedNorm,
    Nonlinearity,
    ResidualBlock,
    Squeeze,
    check_nonlinearity,
    make_gate,
)

Form = Literal["resnet", "standard", "half_glu", "linear"]


@dataclass(frozen=True)
class ReadoutSettings:
    """What becomes of the output y [B,C,H,W] of a state space model and its input u [B,C_in,H,W].

    Attributes:
        form: `resnet`, act(y + branch(y)), the branch group norm, act and convolution, twice;
            `standard`, act(norm(y + D ∗ u)) with a group norm; `half_glu`, h ⊙ σ(W h) with
            h = act(norm(y)), a norm over the channels of each pixel and W a matrix; `linear`,
            y + D ∗ u, with neither norm nor nonlinearity: the state space model alone.
        kernel: odd side length of the convolutions of `resnet` and of D.
        padding: boundary padding of these convolutions.
        groups: of the group norms, 1 if None; must divide C. In `resnet` and `standard` alone.
        activation: act, gelu if None; not in `linear`.
        squeeze: of a gate of the channels: of the branch, or of `standard`'s result. In these two
            forms alone; None for no gate.
        bias: whether the convolutions, and W, add a learned constant to each channel.

    Raises:
        ValueError: for an unknown form or activation, and for a setting that has no meaning in
            the form.

    Source: ConvS5 (Smith et al. 2023); half_glu: S5 (Smith et al. 2023).
    """

    form: Form
    kernel: int
    padding: Padding
    groups: int | None = None
    activation: Nonlinearity | None = None
    squeeze: Squeeze | None = None
    bias: bool = True

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"form {self.form!r} is not one of {', '.join(get_args(Form))}")
        normed = self.form in ("resnet", "standard")
        if not normed and not (self.groups is None and self.squeeze is None):
            raise ValueError(f"form {self.form!r} has neither groups nor squeeze_excitation")
        if self.form == "linear" and self.activation is not None:
            raise ValueError("form 'linear' has no activation")
        check_nonlinearity(self.function)

    @property
    def function(self) -> Nonlinearity:
        """What the nonlinear forms apply."""
        return self.activation or "gelu"


def make_readout(settings: ReadoutSettings, in_channels: int, channels: int) -> nn.Module:
    """Build the module that makes a layer's output from y [B,C,H,W] and its input u [B,C_in,H,W].

    Args:
        settings: the form, and what belongs to it.
        in_channels: C_in of u, which `standard` and `linear` alone read.
        channels: C.

    Raises:
        ValueError: for groups that do not divide the channels.
    """
    if settings.form == "resnet":
        return ResNetReadout(channels, settings)
    if settings.form == "half_glu":
        return GLUReadout(channels, settings)
    if settings.form == "standard":
        return StandardReadout(in_channels, channels, settings)
    return LinearReadout(in_channels, channels, settings)


class ResNetReadout(nn.Module):
    """The readout `resnet` (see `ReadoutSettings`)."""

    def __init__(self, channels: int, settings: ReadoutSettings) -> None:
        super().__init__()
        self.activation = settings.function
        self.block = ResidualBlock(
            channels,
            channels,
            settings.kernel,
            settings.padding,
            settings.groups or 1,
            settings.function,
            squeeze=settings.squeeze,
            bias=settings.bias,
        )

    def forward(self, y: Tensor, u: Tensor) -> Tensor:
        """Map y [B,C,H,W] → [B,C,H,W]; u is not read."""
        return FUNCTIONS[self.activation](self.block(y))


class LinearReadout(nn.Module):
    """The readout `linear` (see `ReadoutSettings`)."""

    def __init__(self, in_channels: int, channels: int, settings: ReadoutSettings) -> None:
        super().__init__()
        kernel, padding, bias = settings.kernel, settings.padding, settings.bias
        self.feedthrough = GridConv(in_channels, channels, kernel, padding, bias)

    def forward(self, y: Tensor, u: Tensor) -> Tensor:
        """Map y [B,C,H,W] and u [B,C_in,H,W] → [B,C,H,W]."""
        result: Tensor = y + self.feedthrough(u)
        return result


class StandardReadout(LinearReadout):
    """The readout `standard` (see `ReadoutSettings`)."""

    def __init__(self, in_channels: int, channels: int, settings: ReadoutSettings) -> None:
        super().__init__(in_channels, channels, settings)
        self.norm = ActivatedNorm(settings.groups or 1, channels, settings.function)
        self.gate = make_gate(channels, settings.squeeze)

    def forward(self, y: Tensor, u: Tensor) -> Tensor:
        """Map y [B,C,H,W] and u [B,C_in,H,W] → [B,C,H,W]."""
        result: Tensor = self.gate(self.norm(y, self.feedthrough(u)))
        return result


class GLUReadout(nn.Module):
    """The readout `half_glu` (see `ReadoutSettings`)."""

    def __init__(self, channels: int, settings: ReadoutSettings) -> None:
        super().__init__()
        self.activation = settings.function
        self.norm = ChannelNorm(channels)
        self.dense = nn.Conv2d(channels, channels, 1, bias=settings.bias)

    def forward(self, y: Tensor, u: Tensor) -> Tensor:
        """Map y [B,C,H,W] → [B,C,H,W]; u is not read."""
        h = FUNCTIONS[self.activation](self.norm(y))
        gate: Tensor = self.dense(h)
        return h * gate.sigmoid()
