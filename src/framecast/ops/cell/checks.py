"""What the cell asks of its arguments."""

from torch import Tensor

from framecast.ops.checks import check_memory, check_rank, check_same_shape


def check_lstm_cell(gates: Tensor, c: Tensor) -> None:
    """Four pre-activations [B,4C,...] for each state [B,C,...]."""
    check_memory("lstm_cell", gates, gates.dtype, "gates c", gates, c)
    _check_cell("lstm_cell", gates, c)


def check_lstm_cell_backward(grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor) -> None:
    """As `check_lstm_cell`, with gradients of the states' shape."""
    op = "lstm_cell_backward"
    names = "grad_h grad_next_c gates c"
    check_memory(op, gates, gates.dtype, names, grad_h, grad_next_c, gates, c)
    _check_cell(op, gates, c)
    check_same_shape(op, "c grad_h grad_next_c", c, grad_h, grad_next_c)


def _check_cell(op: str, gates: Tensor, c: Tensor) -> None:
    check_rank(op, "state", c, 2, "[B, C, ...]")
    batch, channels, *space = c.shape
    if gates.shape != (batch, 4 * channels, *space):
        raise ValueError(
            f"{op}: gates {list(gates.shape)} do not fit the state {list(c.shape)}: "
            f"expected {[batch, 4 * channels, *space]}"
        )
