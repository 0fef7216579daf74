"""What ops ask of their arguments, before a kernel sees an address.

Two doors lead to a kernel. The functions of `framecast.ops` ask for real floating-point tensors on
one device (`check_floats`), and bring them to one type. The registered ops behind them, which
anyone may call and saved programs do, ask what their kernels rely on: types and sizes that fit
(`check_` and the name of the op). The definitions are asked the same. Only a check that fails
takes time to find its words: a forecast in closed loop passes here for every frame.

All raise a TypeError for what is no tensor of a known type, and a ValueError for the rest.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from framecast.ops.widening import wide_type

FLOATS = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
"""The types that ops compute in or widen."""
_DENSE = torch.strided


def check_floats(op: str, **tensors: Tensor | None) -> None:
    """Raise unless these are dense tensors of real floating-point numbers on one device."""
    first = None
    for name, x in tensors.items():
        if x is None:
            continue
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}: {name} must be a tensor, not {type(x).__name__}")
        if x.dtype not in FLOATS:
            raise TypeError(
                f"{op}: {name} has the type {x.dtype}: expected real floating-point numbers "
                "(float16, bfloat16, float32 or float64)"
            )
        if x.layout != _DENSE:
            raise ValueError(f"{op}: {name} is stored as {x.layout}: make it dense first")
        first = first or (name, x.device)
        if x.device != first[1]:
            raise ValueError(
                f"{op}: {name} is on {x.device}, but {first[0]} is on {first[1]}: "
                "move them to one device"
            )


def check_one_type(op: str, **tensors: Tensor) -> None:
    """As `check_floats`; and all of one type, unless autocast brings them to one."""
    check_floats(op, **tensors)
    types = {x.dtype for x in tensors.values()}
    if len(types) > 1 and not torch.is_autocast_enabled(next(iter(tensors.values())).device.type):
        raise TypeError(f"{op}: {_and(tensors)} differ in type: convert them to one")


def check_state(op: str, sequence: Sequence[int], state: Tensor) -> None:
    """Raise unless the state [B,...] fits a sequence of this shape [B,T,...].

    Args:
        op: its name, for the message.
        sequence: shape of the states that the op returns.
        state: what it starts from.
    """
    batch, time, *frame = sequence
    if time == 0:
        raise ValueError(f"{op}: the sequence is empty (T = 0)")
    if state.shape != (batch, *frame):
        raise ValueError(
            f"{op}: state {list(state.shape)} does not fit the sequence: expected {[batch, *frame]}"
        )


# --- recurrences ---------------------------------------------------------------------------


def check_linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> None:
    """Decays and inputs [B,T,...] of one shape, and a state [B,...]."""
    _check_memory("linear_scan", b, b.dtype, "a b h0", a, b, h0)
    _check_same_shape("linear_scan", "a b", a, b)
    _check_rank("linear_scan", "b", b, 2, "[B, T, ...]")
    check_state("linear_scan", b.shape, h0)


def check_linear_scan_backward(grad: Tensor, a: Tensor, h0: Tensor, h: Tensor) -> None:
    """As `check_linear_scan`, with what belongs to the states."""
    op = "linear_scan_backward"
    _check_memory(op, h, h.dtype, "grad a h0 h", grad, a, h0, h)
    _check_same_shape(op, "grad a h", grad, a, h)
    _check_rank(op, "h", h, 2, "[B, T, ...]")
    check_state(op, h.shape, h0)


def gated_scan_checks(op: str, parts: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """The checks of a gated scan of so many pre-activations, and of its backward op."""

    def check(gates: Tensor, h0: Tensor) -> None:
        _check_memory(op, gates, gates.dtype, "gates h0", gates, h0)
        _check_gates(op, parts, gates, h0)

    def check_backward(grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor) -> None:
        name = f"{op}_backward"
        _check_memory(name, gates, gates.dtype, "grad gates h0 h", grad, gates, h0, h)
        _check_gates(name, parts, gates, h0)
        expected = gates.shape[0], gates.shape[1], *h0.shape[1:]
        _check_shape(name, "h", h, expected)
        _check_shape(name, "grad", grad, expected)

    return check, check_backward


def _check_gates(op: str, parts: int, gates: Tensor, h0: Tensor) -> None:
    if gates.ndim < 3 or gates.shape[2] % parts:
        raise ValueError(
            f"{op}: gates {list(gates.shape)} must be [B, T, {parts}·C, ...], "
            f"the {parts} pre-activations side by side"
        )
    batch, time, channels, *space = gates.shape
    check_state(op, [batch, time, channels // parts, *space], h0)


def check_complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> None:
    """λ [P] or [B,T,P] in float32 or better, inputs [B,T,2P,...] and a state [B,2P,...]."""
    op = "complex_diagonal_scan"
    _check_memory(op, b, b.dtype, "b x0", b, x0)
    _check_decay(op, lam_re, lam_im, b)
    check_state(op, b.shape, x0)


def check_complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> None:
    """As `check_complex_diagonal_scan`, with what belongs to the states."""
    op = "complex_diagonal_scan_backward"
    _check_memory(op, x, x.dtype, "grad x0 x", grad, x0, x)
    _check_decay(op, lam_re, lam_im, x)
    _check_same_shape(op, "grad x", grad, x)
    check_state(op, x.shape, x0)


def _check_decay(op: str, lam_re: Tensor, lam_im: Tensor, b: Tensor) -> None:
    _check_memory(op, b, wide_type(b.dtype), "lam_re lam_im", lam_re, lam_im)
    shape = b.shape
    if len(shape) > 2 and shape[2] % 2 == 0 and lam_re.shape == lam_im.shape:
        whole = *shape[:2], shape[2] // 2
        if lam_re.shape in (whole[2:], whole):
            return
    raise ValueError(
        f"{op}: λ {list(lam_re.shape)}, {list(lam_im.shape)} must both be [P], [T, P] or "
        f"[B, T, P], and b {list(shape)} must be [B, T, 2·P, ...]"
    )


# --- frames --------------------------------------------------------------------------------


def check_lstm_cell(gates: Tensor, c: Tensor) -> None:
    """Four pre-activations [B,4C,...] for each state [B,C,...]."""
    _check_memory("lstm_cell", gates, gates.dtype, "gates c", gates, c)
    _check_cell("lstm_cell", gates, c)


def check_lstm_cell_backward(grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor) -> None:
    """As `check_lstm_cell`, with gradients of the states' shape."""
    op = "lstm_cell_backward"
    names = "grad_h grad_next_c gates c"
    _check_memory(op, gates, gates.dtype, names, grad_h, grad_next_c, gates, c)
    _check_cell(op, gates, c)
    _check_same_shape(op, "c grad_h grad_next_c", c, grad_h, grad_next_c)


def _check_cell(op: str, gates: Tensor, c: Tensor) -> None:
    _check_rank(op, "state", c, 2, "[B, C, ...]")
    batch, channels, *space = c.shape
    if gates.shape != (batch, 4 * channels, *space):
        raise ValueError(
            f"{op}: gates {list(gates.shape)} do not fit the state {list(c.shape)}: "
            f"expected {[batch, 4 * channels, *space]}"
        )


def check_wrap(x: Tensor, reach_y: int, reach_x: int) -> None:
    """Frames [B,C,H,W], continued by no more cells than they have."""
    _check_memory("wrap", x, x.dtype, "x", x)
    _check_frames("wrap", x)
    _check_reach("wrap", "rows", reach_y, x.shape[2])
    _check_reach("wrap", "columns", reach_x, x.shape[3])


def check_wrap_backward(grad: Tensor, reach_y: int, reach_x: int) -> None:
    """As `check_wrap`, of frames that are continued already."""
    op = "wrap_backward"
    _check_memory(op, grad, grad.dtype, "grad", grad)
    _check_frames(op, grad)
    _check_reach(op, "rows", reach_y, grad.shape[2] - 2 * reach_y)
    _check_reach(op, "columns", reach_x, grad.shape[3] - 2 * reach_x)


def _check_reach(op: str, axis: str, reach: int, size: int) -> None:
    if not isinstance(reach, int | torch.SymInt):
        raise TypeError(f"{op}: the number of {axis} must be a whole one, not {reach!r}")
    if not 0 <= reach <= size:
        raise ValueError(f"{op}: {reach} {axis} beyond each edge of a grid of {size}")


def check_groups(groups: int, channels: int, where: str = "") -> None:
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
    _check_memory(op, x, x.dtype, "grad", grad)
    _check_memory(op, x, wide_type(x.dtype), "mean scale", mean, scale)
    _check_same_shape(op, "x grad", x, grad)
    expected = x.shape[0], groups if weight.ndim == 1 else x.shape[1]
    _check_shape(op, "mean", mean, expected)
    _check_shape(op, "scale", scale, expected)


def _check_norm(
    op: str,
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    activation: str,
) -> None:
    _check_memory(op, x, x.dtype, "x", x)
    _check_memory(op, x, wide_type(x.dtype), "weight bias", weight, bias)
    _check_frames(op, x)
    if update is not None:
        _check_memory(op, x, x.dtype, "update", update)
        _check_same_shape(op, "x update", x, update)
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


# --- convolutions --------------------------------------------------------------------------


def check_conv_scan(op: str, kernel: Tensor, b: Tensor, x0: Tensor) -> None:
    """A kernel [P,1,k,k] or [P,P,k,k] within a grid, inputs [B,T,P,H,W], a state [B,P,H,W]."""
    check_floats(op, kernel=kernel, b=b, x0=x0)
    if b.ndim != 5 or math.prod(b.shape[2:]) == 0:
        raise ValueError(
            f"{op}: b {list(b.shape)} must be [B, T, P, H, W], of at least one state and one cell"
        )
    channels, height, width = b.shape[2:]
    _check_kernel(op, kernel, channels)
    side = kernel.shape[3]
    if kernel.shape[2] != side or side % 2 == 0 or side // 2 > min(height, width):
        raise ValueError(
            f"{op}: kernel {list(kernel.shape)} must be square, of an odd side, and reach no "
            f"further than the grid {height}×{width}"
        )
    check_state(op, b.shape, x0)


def check_bounded_kernel(weight: Tensor, bound: Tensor) -> None:
    """A kernel [P,1,k,k] or [P,P,k,k] and a bound [P]."""
    op = "bounded_kernel"
    check_floats(op, weight=weight, bound=bound)
    if bound.ndim != 1 or len(bound) == 0:
        raise ValueError(f"{op}: bound {list(bound.shape)} must be [P], one for each state")
    _check_kernel(op, weight, len(bound))


def _check_kernel(op: str, kernel: Tensor, channels: int) -> None:
    fits = kernel.ndim == 4 and kernel.shape[0] == channels and kernel.shape[1] in (1, channels)
    if not fits or 0 in kernel.shape:
        raise ValueError(
            f"{op}: kernel {list(kernel.shape)} does not fit {channels} states: expected "
            f"[{channels}, 1, k, k] (depthwise) or [{channels}, {channels}, k, k] (dense)"
        )


def check_conv_tensor_train(op: str, states: Sequence[Tensor], factors: Sequence[Tensor]) -> None:
    """States [B,C(i),H,W] on one grid, and a factor [C(i−1),C(i),k,k] for each."""
    if not states or len(states) != len(factors):
        raise ValueError(
            f"{op}: {len(states)} states and {len(factors)} factors: expected one factor for "
            "each state, and at least one"
        )
    check_one_type(op, **_numbered("state", states), **_numbered("factor", factors))
    for name, state in _numbered("state", states).items():
        _check_frames(op, state, name)
        batch, _, height, width = states[0].shape
        _check_shape(op, name, state, (batch, state.shape[1], height, width))
        if 0 in state.shape[1:]:
            raise ValueError(f"{op}: {name} {list(state.shape)} has no channels or no cells")
    check_factors(op, factors, [state.shape[1] for state in states])


def check_factors(
    op: str, factors: Sequence[Tensor], channels: Sequence[int] | None = None
) -> None:
    """Factors [C(i−1),C(i),k,k] of odd sides that follow each other, for states if any."""
    _check_chain(op, "factor", factors)
    below = factors[0].shape[0]
    for i, factor in enumerate(factors):
        above = factor.shape[1] if channels is None else channels[i]
        if factor.shape[:2] != (below, above):
            of_state = "" if channels is None else f" (of state {i + 1})"
            raise ValueError(
                f"{op}: factor {i + 1} maps {factor.shape[1]} channels to {factor.shape[0]}, "
                f"expected {above}{of_state} to {below}"
            )
        if factor.shape[2] != factor.shape[3] or factor.shape[2] % 2 == 0:
            raise ValueError(
                f"{op}: factor {i + 1} {list(factor.shape)} must be square, of an odd side"
            )
        below = above


def check_train_matrices(cores: Sequence[Tensor]) -> None:
    """Cores [R(i−1),R(i),T(i),S(i)] that follow each other, down to rank 1."""
    op = "train_matrices"
    _check_chain(op, "core", cores)
    following = [*(core.shape[0] for core in cores[1:]), 1]
    for i, (core, rank) in enumerate(zip(cores, following, strict=True), start=1):
        if core.shape[1] != rank:
            raise ValueError(
                f"{op}: core {i} {list(core.shape)} must have the second rank {rank}, "
                "the first of the next core, or 1 at the end"
            )


def check_tensor_train_conv(frames: Tensor, filters: Tensor, matrices: Tensor) -> None:
    """Frames [B,S,H,W] no smaller than the filters [R,k,k], and matrices [R,T,S]."""
    op = "tensor_train_conv"
    check_one_type(op, frames=frames, filters=filters, matrices=matrices)
    _check_frames(op, frames, "frames")
    if filters.ndim != 3 or matrices.ndim != 3 or 0 in (*filters.shape, *matrices.shape):
        raise ValueError(
            f"{op}: filters {list(filters.shape)} must be [R, k, k] and matrices "
            f"{list(matrices.shape)} [R, T, S], neither of them empty"
        )
    _check_shape(op, "matrices", matrices, (len(filters), matrices.shape[1], frames.shape[1]))
    side = filters.shape[2]
    if filters.shape[1] != side or side > min(frames.shape[2:]):
        raise ValueError(
            f"{op}: filters {list(filters.shape)} must be square, and no larger than the frames "
            f"{list(frames.shape)}"
        )


def _check_chain(op: str, name: str, tensors: Sequence[Tensor]) -> None:
    if not tensors:
        raise ValueError(f"{op}: at least one {name} is needed")
    check_one_type(op, **_numbered(name, tensors))
    for numbered, x in _numbered(name, tensors).items():
        if x.ndim != 4 or 0 in x.shape:
            raise ValueError(
                f"{op}: {numbered} {list(x.shape)} must have four dimensions, none of them empty"
            )


def _numbered(name: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name} {i}": x for i, x in enumerate(tensors, start=1)}


# --- discretisation ------------------------------------------------------------------------


def check_sampling(op: str, lam_re: Tensor, lam_im: Tensor, step: Tensor) -> None:
    """Eigenvalues [P] and steps [...,P]."""
    check_floats(op, lam_re=lam_re, lam_im=lam_im, step=step)
    if lam_re.ndim != 1 or lam_re.shape != lam_im.shape or step.shape[-1:] != lam_re.shape:
        raise ValueError(
            f"{op}: Λ {list(lam_re.shape)}, {list(lam_im.shape)} must both be [P], and step "
            f"{list(step.shape)} must be [..., P]"
        )


# --- what kernels rely on ------------------------------------------------------------------


def _check_memory(op: str, like: Tensor, dtype: torch.dtype, names: str, *tensors: Tensor) -> None:
    """Raise unless the tensors are dense, of that type, and on the device of another.

    The names, with spaces between, are only read when a message needs them.
    """
    device = like.device
    for x in tensors:
        if x.dtype != dtype or x.device != device or x.layout != _DENSE:
            break
    else:
        if like.dtype in FLOATS:
            return
    named = dict(zip(names.split(), tensors, strict=True))
    check_floats(op, **named)
    check_floats(op, **{"the first tensor": like}, **named)
    raise TypeError(f"{op}: expected the type {dtype} for {_and(named)}")


def _check_shape(op: str, name: str, x: Tensor, expected: tuple[int, ...]) -> None:
    if x.shape != expected:
        raise ValueError(f"{op}: {name} {list(x.shape)} must be {list(expected)}")


def _check_same_shape(op: str, names: str, *tensors: Tensor) -> None:
    shape = tensors[0].shape
    for x in tensors[1:]:
        if x.shape != shape:
            named = dict(zip(names.split(), tensors, strict=True))
            raise ValueError(f"{op}: {_and(named)} differ in shape")


def _check_rank(op: str, name: str, x: Tensor, least: int, form: str) -> None:
    if x.ndim < least:
        raise ValueError(f"{op}: {name} {list(x.shape)} must be {form}")


def _check_frames(op: str, x: Tensor, name: str = "frames") -> None:
    if x.ndim != 4:
        raise ValueError(f"{op}: {name} {list(x.shape)} must be [B, C, H, W]")


def _and(named: dict[str, Any]) -> str:
    """Names, each with the shape and type of its tensor."""
    return " and ".join(f"{name} {list(x.shape)} ({x.dtype})" for name, x in named.items())
