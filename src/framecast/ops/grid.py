"""What happens to single frames between the recurrences: periodic padding, residual and norm.

As the scans of `framecast.ops.scan`: a definition in `framecast.ops.reference`, fast kernels
as `torch.library` ops, results in the type and memory layout of the frames.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.ops import reference
from framecast.ops.kernels import choice, library

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
    if choice.uses_definitions():
        defined = reference.residual_norm(
            x, update, weight, bias, eps, groups=groups, activation=activation
        )
        return defined.to(x.dtype)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    y: Tensor = library.residual_norm(
        x, update, weight.to(wide), bias.to(wide), eps, groups, activation
    )[0]
    return y


def check_groups(groups: int, channels: int) -> None:
    """Raise a ValueError unless the groups of a norm divide the channels."""
    if groups < 1 or channels % groups:
        raise ValueError(f"groups {groups} must divide the {channels} channels that are normalised")


def wrap(x: Float[Tensor, "B C H W"], reach_y: int, reach_x: int) -> Tensor:
    """Continue frames periodically by `reach_y` rows and `reach_x` columns on each side.

    Args:
        x: frames.
        reach_y: rows to add above and below, 0 to H.
        reach_x: columns to add on the left and on the right, 0 to W.

    Returns:
        Frames [B, C, H + 2·reach_y, W + 2·reach_x].

    Raises:
        ValueError: if a reach is negative or larger than the grid.
    """
    for reach, size, axis in ((reach_y, x.shape[2], "rows"), (reach_x, x.shape[3], "columns")):
        if not 0 <= reach <= size:
            raise ValueError(f"wrap: {reach} {axis} beyond each edge of a grid of {size}")
    wrapped: Tensor = (reference if choice.uses_definitions() else library).wrap(
        x, reach_y, reach_x
    )
    return wrapped
