"""The pointwise half of recurrent steps: what is left when the convolutions are done.

Defined in `definition.py`; the fast kernels are a `torch.library` op (`op.py`), with results in the
type and memory layout of the gates.
"""

from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.cell import definition, op

__all__ = ["lstm_cell"]


def lstm_cell(
    gates: Float[Tensor, "B C4 *space"], c: Float[Tensor, "B C *space"]
) -> tuple[Float[Tensor, "B C *space"], Float[Tensor, "B C *space"]]:
    """One step of an LSTM: c' = σ(f)⊙c + σ(i)⊙tanh(g), h' = σ(o)⊙tanh(c').

    Args:
        gates: pre-activations [i, f, o, g] side by side along dim 1.
        c: cell state before the step; cast to the type of the gates.

    Returns:
        The hidden state h' and the cell state c'.

    Raises:
        ValueError: if gates do not have four times the channels of c.
    """
    batch, channels, *space = c.shape
    if list(gates.shape) != [batch, 4 * channels, *space]:
        raise ValueError(
            f"lstm_cell: gates {list(gates.shape)} do not fit the state {list(c.shape)}: "
            f"expected {[batch, 4 * channels, *space]}"
        )
    cell = (definition if dispatch.uses_definitions() else op).lstm_cell
    h, next_c = cell(gates, c.to(gates.dtype))
    return h, next_c
