"""The pointwise half of recurrent steps: what is left when the convolutions are done.

Defined in `definition.py`; the fast kernels are a `torch.library` op (`op.py`), with results in the
type and memory layout of the gates.
"""

from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.cell import definition, op
from framecast.ops.cell.checks import check_lstm_cell
from framecast.ops.checks import check_floats
from framecast.ops.widening import cast, widen

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
        ValueError: if gates do not have four times the channels of c, or lie elsewhere.
        TypeError: if either does not hold floating-point numbers.
    """
    check_floats("lstm_cell", gates=gates, c=c)
    c = cast(c, gates.dtype)
    if dispatch.uses_definitions():
        check_lstm_cell(gates, c)
        h, next_c = definition.lstm_cell(widen(gates), widen(c))
        return h.to(gates.dtype), next_c.to(gates.dtype)
    h, next_c = op.lstm_cell(gates, c)
    return h, next_c
