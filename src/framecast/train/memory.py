"""Long windows in little memory: chunks of time with carried state, and recomputed layers.

Source of recomputation: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from framecast.layers import Recurrence
from framecast.models import Forecaster
from framecast.models.unroll import Carry

Value = TypeVar("Value")
Unroll = Callable[[Tensor, Tensor, Carry | None], tuple[Tensor, Carry]]


def run_chunks(
    unroll: Unroll, inputs: Tensor, given: Tensor, length: int, truncate: bool
) -> Iterator[Tensor]:
    """Yield the predictions of a window chunk by chunk.

    Args:
        unroll: predicts from inputs [B,t,C,H,W], given [B,t] and what the chunk before
            handed on.
        inputs: true frames [B,T,C,H,W].
        given: which of them are read, [B,T].
        length: frames of a chunk; the last may be shorter.
        truncate: whether gradients end between chunks (truncated back-propagation through
            time): each chunk's graph can then be used up before the next one is made. If
            not, they are exact, and a chunk keeps its inputs only: what lies inside is
            computed again in the backward pass.
    """
    carry = None
    chunks = zip(torch.split(inputs, length, 1), torch.split(given, length, 1), strict=True)
    for frames, which in chunks:
        if truncate:
            predictions, carry = unroll(frames, which, carry)
            carry = detach(carry)
        else:
            predictions, carry = checkpoint(unroll, frames, which, carry, use_reentrant=False)
        # A copy: the last state is often a view that would keep those of all the chunk.
        carry = pytree.tree_map_only(Tensor, Tensor.clone, carry)
        yield predictions


def detach(value: Value) -> Value:
    """Return a value (a tensor, or a tuple of values) through which no gradient flows."""
    return cast(Value, pytree.tree_map_only(Tensor, Tensor.detach, value))


def checkpoint_layers(model: Forecaster) -> None:
    """Let encoder, decoder and each recurrent layer keep their inputs only, for training.

    What lies inside a layer is computed again in the backward pass, one layer at a time.
    """
    layers = [module for module in model.modules() if _is_layer(module)]
    for module in (model.encoder, *layers, model.decoder):
        _recompute(module, "forward")
    for layer in layers:
        _recompute(layer, "step")


def _is_layer(module: object) -> bool:
    """Whether a module is a recurrence that is not made of recurrences."""
    return isinstance(module, Recurrence) and not any(
        isinstance(part, Recurrence) for part in list(module.modules())[1:]
    )


def _recompute(module: object, method: str) -> None:
    setattr(module, method, partial(checkpoint, getattr(module, method), use_reentrant=False))
