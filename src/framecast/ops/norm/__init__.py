"""Norm of frames or of a sum of frames, and what follows it: checks, and the choice of kernels.

Defined in `definition.py`; the fast kernels are a `torch.library` op (`op.py`), with results in the
type and memory layout of the frames.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.norm import definition, op
from framecast.ops.widening import wide_type

__all__ = ["Activation", "check_groups", "residual_norm"]

Activation = Literal["none", "gelu", "elu"]
"""What may follow a norm."""


def residual_norm(
    x: Float[Tensor, "B C H W"],
    update: Float[Tensor, "B C H W"] | None,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-5,
    *,
    groups: int = 1,
    activation: Activation = "none",
) -> Float[Tensor, "B C H W"]:
    """Norm of x + update and activation, without anything between in memory.

    Layer norm (Ba et al. 2016), or group norm (Wu and He 2018).

    Args:
        x: frames.
        update: what is added to them; None for nothing.
        weight: scale, [H,W] or [C]. With [H,W] the mean and variance are those of each
            channel's grid, with [C] those of a group of channels.
        bias: shift, of the same shape.
        eps: added to the variance, positive.
        groups: into which the channels are divided, with weight [C]; 1: a whole frame.
        activation: what follows: none; gelu, in its form with tanh; elu.

    Returns:
        Frames in the wider type of x and update.

    Raises:
        ValueError: if the shapes do not fit, the groups do not divide the channels or are given
            beside weight [H,W], or the activation is unknown.
    """
    if activation not in get_args(Activation):
        allowed = ", ".join(get_args(Activation))
        raise ValueError(f"residual_norm: activation {activation!r} is not one of {allowed}")
    if weight.ndim == 2 and groups != 1:
        raise ValueError(
            f"residual_norm: groups {groups} of channels need a weight for each channel"
        )
    check_groups(groups, x.shape[1])
    expected = list(x.shape[2:]) if weight.ndim == 2 else [x.shape[1]]
    if list(weight.shape) != expected or weight.shape != bias.shape:
        raise ValueError(
            f"residual_norm: weight {list(weight.shape)} and bias {list(bias.shape)} do not fit "
            f"frames {list(x.shape)}: expected {expected} for both"
        )
    if update is not None:
        dtype = torch.promote_types(x.dtype, update.dtype)
        x, update = x.to(dtype), update.to(dtype)
    if dispatch.uses_definitions():
        defined = definition.residual_norm(
            x, update, weight, bias, eps, groups=groups, activation=activation
        )
        return defined.to(x.dtype)
    wide = wide_type(x.dtype)
    y: Tensor = op.residual_norm(
        x, update, weight.to(wide), bias.to(wide), eps, groups, activation
    )[0]
    return y


def check_groups(groups: int, channels: int) -> None:
    """Raise a ValueError unless the groups of a norm divide the channels."""
    if groups < 1 or channels % groups:
        raise ValueError(f"groups {groups} must divide the {channels} channels that are normalised")
