"""What ops ask of their arguments, before a kernel sees an address.

Two doors lead to a kernel. The functions of `framecast.ops` ask for real floating-point tensors on
one device (`check_floats`), and bring them to one type. The registered ops behind them, which
anyone may call and saved programs do, ask what their kernels rely on: types and sizes that fit
(`checks.py` in the folder of each op, made of what stands here). The definitions are asked the
same. Only a check that fails takes time to find its words: a forecast in closed loop passes here
for every frame.

All raise a TypeError for what is no tensor of a known type, and a ValueError for the rest.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FLOATS = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
"""The types that ops compute in or widen."""
Size = int | torch.SymInt
"""A whole number, or what stands for one where a program is traced."""
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


def check_memory(op: str, like: Tensor, dtype: torch.dtype, names: str, *tensors: Tensor) -> None:
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


def check_shape(op: str, name: str, x: Tensor, expected: tuple[int, ...]) -> None:
    """Raise unless a tensor has this shape."""
    if x.shape != expected:
        raise ValueError(f"{op}: {name} {list(x.shape)} must be {list(expected)}")


def check_same_shape(op: str, names: str, *tensors: Tensor) -> None:
    """Raise unless all have one shape; names as for `check_memory`."""
    shape = tensors[0].shape
    for x in tensors[1:]:
        if x.shape != shape:
            named = dict(zip(names.split(), tensors, strict=True))
            raise ValueError(f"{op}: {_and(named)} differ in shape")


def check_rank(op: str, name: str, x: Tensor, least: int, form: str) -> None:
    """Raise unless a tensor has so many dimensions at least; `form` says which."""
    if x.ndim < least:
        raise ValueError(f"{op}: {name} {list(x.shape)} must be {form}")


def check_frames(op: str, x: Tensor, name: str = "frames") -> None:
    """Raise unless a tensor is [B,C,H,W]."""
    if x.ndim != 4:
        raise ValueError(f"{op}: {name} {list(x.shape)} must be [B, C, H, W]")


def _and(named: dict[str, Any]) -> str:
    """Names, each with the shape and type of its tensor."""
    return " and ".join(f"{name} {list(x.shape)} ({x.dtype})" for name, x in named.items())
