"""What the norm asks of its arguments."""

import math

from torch import Tensor

from framecast.ops.checks import Size, check_frames, check_memory, check_same_shape, check_shape
from framecast.ops.widening import wide_type


def check_groups(groups: int, channels: Size, where: str = "") -> None:
    """Raise a ValueError, which begins as told, unless the groups of a norm divide the channels."""
    if groups < 1 or channels % groups:
        raise ValueError(
            f"{where}groups {groups} must divide the {channels} channels that are normalised"
        )


ACTIVATIONS = ("none", "gelu", "elu")
"""What may follow a norm."""


def check_residual_norm(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    groups: int,
    activation: str,
) -> None:
    """Frames [B,C,H,W], an update of the same shape, weight and bias [C] or [H,W]."""
    op = "residual_norm"
    if not 0 <= eps < math.inf:
        raise ValueError(f"{op}: eps must be a finite number that is not negative, not {eps}")
    _check_norm(op, x, update, weight, bias, groups, activation)


def check_residual_norm_backward(
    grad: Tensor,
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    scale: Tensor,
    groups: int,
    activation: str,
) -> None:
    """As `check_residual_norm`, with statistics of each group or channel."""
    op = "residual_norm_backward"
    _check_norm(op, x, update, weight, bias, groups, activation)
    check_memory(op, x, x.dtype, "grad", grad)
    check_memory(op, x, wide_type(x.dtype), "mean scale", mean, scale)
    check_same_shape(op, "x grad", x, grad)
    expected = x.shape[0], groups if weight.ndim == 1 else x.shape[1]
    check_shape(op, "mean", mean, expected)
    check_shape(op, "scale", scale, expected)


def _check_norm(
    op: str,
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    activation: str,
) -> None:
    check_memory(op, x, x.dtype, "x", x)
    check_memory(op, x, wide_type(x.dtype), "weight bias", weight, bias)
    check_frames(op, x)
    if update is not None:
        check_memory(op, x, x.dtype, "update", update)
        check_same_shape(op, "x update", x, update)
    if activation not in ACTIVATIONS:
        allowed = ", ".join(ACTIVATIONS)
        raise ValueError(f"{op}: activation {activation!r} is not one of {allowed}")
    if weight.ndim == 2 and groups != 1:
        raise ValueError(f"{op}: groups {groups} of channels need a weight for each channel")
    check_groups(groups, x.shape[1], f"{op}: ")
    expected = x.shape[2:] if weight.ndim == 2 else x.shape[1:2]
    if weight.shape != expected or bias.shape != expected:
        raise ValueError(
            f"{op}: weight {list(weight.shape)} and bias {list(bias.shape)} do not fit "
            f"frames {list(x.shape)}: expected {list(expected)} for both"
        )
