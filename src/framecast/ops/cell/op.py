"""An LSTM step after its convolutions, as a `torch.library` op: kernels, shapes and gradients."""

from typing import Any

import torch
from torch import Tensor

from framecast.ops import layout
from framecast.ops.cell import definition, eager, native
from framecast.ops.cell.checks import check_lstm_cell, check_lstm_cell_backward
from framecast.ops.dispatch import Kernels
from framecast.ops.registration import (
    define,
    differentiate,
    differentiate_again,
    past_autograd,
    pull_back,
)
from framecast.ops.widening import widen

_kernel = Kernels(eager, native, "framecast.ops.cell.triton")


def _cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    last = layout.is_channels_last_frame(gates)
    cell = _kernel(gates, "lstm_cell")
    h, next_c = cell(layout.frame(gates, last), layout.frame(c, last))
    return layout.frame(h, last), layout.frame(next_c, last)


def _cell_shapes(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    state = layout.frame(c, layout.is_channels_last_frame(gates))
    return torch.empty_like(state), torch.empty_like(state)


def _cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    last = layout.is_channels_last_frame(gates)
    dense = (layout.frame(x, last) for x in (grad_h, grad_next_c, gates, c))
    grad_gates, grad_c = _kernel(gates, "lstm_cell_backward")(*dense)
    return layout.frame(grad_gates, last), layout.frame(grad_c, last)


def _cell_backward_shapes(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    last = layout.is_channels_last_frame(gates)
    return torch.empty_like(layout.frame(gates, last)), torch.empty_like(layout.frame(c, last))


def _keep_cell(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _cell_again(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, ...]:
    inputs, grads = (gates, c), (grad_h, grad_next_c)
    wide = pull_back(definition.lstm_cell, [widen(x) for x in inputs], [widen(x) for x in grads])
    return tuple(x.to(gates.dtype) for x in wide)


lstm_cell = define("lstm_cell", _cell, _cell_shapes, check_lstm_cell)
lstm_cell_backward = define(
    "lstm_cell_backward", _cell_backward, _cell_backward_shapes, check_lstm_cell_backward
)
_backward = past_autograd(lstm_cell_backward)
differentiate(
    "lstm_cell",
    lambda ctx, *grads: _backward(*grads, *ctx.saved_tensors),
    _keep_cell,
)
differentiate_again("lstm_cell_backward", _cell_again)
