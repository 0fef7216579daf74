"""Gated and linear recurrences over time: checks of the arguments, and the choice of kernels.

Each function is defined by the plain loop of the same name in `definition.py`. The fast kernels
are `torch.library` ops (`op.py`), so that autograd, `torch.compile` and `torch.export` go through
them; `framecast.ops.dispatch` says which one runs.

Types: a gated scan computes and returns the type of its gates, the linear scan the wider of
a and b; the state is cast to it. So under autocast the type of the convolution before the scan
decides. Sums are accumulated in float32 or better.
Memory: results take the layout of the main input (gates or b), contiguous or channels-last.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.checks import check_floats
from framecast.ops.scan import definition, eager, op
from framecast.ops.scan.checks import check_linear_scan
from framecast.ops.widening import cast, widen

__all__ = ["gated_decay", "linear_scan", "min_exp_lstm_scan", "min_gru_scan", "min_lstm_scan"]


def linear_scan(
    a: Float[Tensor, "B T C *space"],
    b: Float[Tensor, "B T C *space"],
    h0: Float[Tensor, "B C *space"],
) -> Float[Tensor, "B T C *space"]:
    """First-order linear recurrence h_t = a_t ⊙ h_{t−1} + b_t.

    Args:
        a: decay of each step, any real number.
        b: input of each step.
        h0: state before the first step.

    Returns:
        The states h_1 … h_T; the last one is the state to carry on with.

    Raises:
        ValueError: if the shapes do not fit together, or T is 0.
        TypeError: if an argument does not hold floating-point numbers.
    """
    check_floats("linear_scan", a=a, b=b, h0=h0)
    dtype = torch.promote_types(a.dtype, b.dtype)
    a, b, h0 = cast(a, dtype), cast(b, dtype), cast(h0, dtype)
    if dispatch.uses_definitions():
        check_linear_scan(a, b, h0)
        return definition.linear_scan(widen(a), widen(b), widen(h0)).to(dtype)
    result: Tensor = op.linear_scan(a, b, h0)
    return result


def min_gru_scan(
    gates: Float[Tensor, "B T C2 *space"], h0: Float[Tensor, "B C *space"]
) -> Float[Tensor, "B T C *space"]:
    """MinGRU over time: z = σ(k), h' = (1−z)⊙h + z⊙g(u), with gates = [k, u] along dim 2.

    g(u) = u + 0.5 where u ≥ 0 and σ(u) elsewhere.

    Raises:
        ValueError: if gates do not have twice the channels of h0, or T is 0.
        TypeError: if an argument does not hold floating-point numbers.

    Source: Minimal Convolutional RNNs (2025), section 3.1.
    """
    return _gated("min_gru_scan", gates, h0)


def min_lstm_scan(
    gates: Float[Tensor, "B T C3 *space"], h0: Float[Tensor, "B C *space"]
) -> Float[Tensor, "B T C *space"]:
    """MinLSTM over time, with gates = [f, i, u] along dim 2, f and i through σ.

    h' = f/(f+i) ⊙ h + i/(f+i) ⊙ g(u), g as in `min_gru_scan`.

    Raises:
        ValueError: if gates do not have three times the channels of h0, or T is 0.
        TypeError: if an argument does not hold floating-point numbers.

    Source: Minimal Convolutional RNNs (2025), equations 1 and 2.
    """
    return _gated("min_lstm_scan", gates, h0)


def min_exp_lstm_scan(
    gates: Float[Tensor, "B T C3 *space"], h0: Float[Tensor, "B C *space"]
) -> Float[Tensor, "B T C *space"]:
    """MinExpLSTM over time: as `min_lstm_scan`, with f and i through exp.

    h' = σ(f−i) ⊙ h + σ(i−f) ⊙ g(u).

    Raises:
        ValueError: if gates do not have three times the channels of h0, or T is 0.
        TypeError: if an argument does not hold floating-point numbers.

    Source: Minimal Convolutional RNNs (2025), equations 3 to 6.
    """
    return _gated("min_exp_lstm_scan", gates, h0)


@torch.no_grad()
def gated_decay(name: str, gates: Float[Tensor, "B T C2 *space"]) -> Float[Tensor, "B C *space"]:
    """Return by what T steps of a gated scan multiply the state before them: Π_t a_t.

    Args:
        name: of the scan, such as min_gru_scan.
        gates: as it reads them.

    Returns:
        Numbers in [0, 1], in float32 or better; 0 where the product is too small for the type.
    """
    return eager.gated_decay(name, gates)


def _gated(name: str, gates: Tensor, h0: Tensor) -> Tensor:
    check_floats(name, gates=gates, h0=h0)
    h0 = cast(h0, gates.dtype)
    scan = op.GATED[name]
    if dispatch.uses_definitions():
        scan.check(gates, h0)
        return definition.GATED_SCANS[name](widen(gates), widen(h0)).to(gates.dtype)
    result: Tensor = scan.forward(gates, h0)
    return result
