"""Norm of frames or of a sum of frames, and what follows it: checks, and the choice of kernels.

Defined in `definition.py`; the fast kernels are a `torch.library` op (`op.py`), with results in the
type and memory layout of the frames.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.checks import check_floats
from framecast.ops.norm import definition, op
from framecast.ops.norm.checks import check_groups, check_residual_norm
from framecast.ops.widening import cast, wide_type, widen

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
        eps: added to the variance, finite and not negative.
        groups: into which the channels are divided, with weight [C]; 1: a whole frame.
        activation: what follows: none; gelu, in its form with tanh; elu.

    Returns:
        Frames in the wider type of x and update.

    Raises:
        ValueError: if the shapes do not fit, the groups do not divide the channels or are given
            beside weight [H,W], eps is out of range, or the activation is unknown.
        TypeError: if a tensor does not hold floating-point numbers.
    """
    check_floats("residual_norm", x=x, update=update, weight=weight, bias=bias)
    if update is not None:
        dtype = torch.promote_types(x.dtype, update.dtype)
        x, update = cast(x, dtype), cast(update, dtype)
    wide = wide_type(x.dtype)
    weight, bias = cast(weight, wide), cast(bias, wide)
    if dispatch.uses_definitions():
        check_residual_norm(x, update, weight, bias, eps, groups, activation)
        beside = None if update is None else widen(update)
        defined = definition.residual_norm(
            widen(x), beside, weight, bias, eps, groups=groups, activation=activation
        )
        return defined.to(x.dtype)
    y: Tensor = op.residual_norm(x, update, weight, bias, eps, groups, activation)[0]
    return y
