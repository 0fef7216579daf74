"""The public recurrences over time: checks, gradient rules, and the choice of kernel.

Each function is defined by the plain loop of the same name in `framecast.ops.reference`.
The fast kernels are `torch.library` ops, so that autograd, `torch.compile` and `torch.export`
go through them; `framecast.ops.kernels.choice` says which one runs.

Types: a gated scan computes and returns the type of its gates, the linear scan the wider of
a and b; the state is cast to it. So under autocast the type of the convolution before the scan
decides. Sums are accumulated in float32 or better.
Memory: results take the layout of the main input (gates or b), contiguous or channels-last.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.ops import reference
from framecast.ops.kernels import choice, library
from framecast.ops.kernels.pytorch import GATINGS


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
    """
    if a.shape != b.shape:
        raise ValueError(f"linear_scan: a {list(a.shape)} and b {list(b.shape)} differ in shape")
    _check_state("linear_scan", list(b.shape), h0)
    dtype = torch.promote_types(a.dtype, b.dtype)
    a, b, h0 = a.to(dtype), b.to(dtype), h0.to(dtype)
    scan = (reference if choice.uses_definitions() else library).linear_scan
    result: Tensor = scan(a, b, h0)
    return result


def min_gru_scan(
    gates: Float[Tensor, "B T C2 *space"], h0: Float[Tensor, "B C *space"]
) -> Float[Tensor, "B T C *space"]:
    """MinGRU over time: z = σ(k), h' = (1−z)⊙h + z⊙g(u), with gates = [k, u] along dim 2.

    g(u) = u + 0.5 where u ≥ 0 and σ(u) elsewhere.

    Raises:
        ValueError: if gates do not have twice the channels of h0, or T is 0.

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

    Source: Minimal Convolutional RNNs (2025), equations 3 to 6.
    """
    return _gated("min_exp_lstm_scan", gates, h0)


def complex_diagonal_scan(
    lam_re: Float[Tensor, "*steps P"],
    lam_im: Float[Tensor, "*steps P"],
    b: Float[Tensor, "B T P2 *space"],
    x0: Float[Tensor, "B P2 *space"],
) -> Float[Tensor, "B T P2 *space"]:
    """Complex recurrence x_t = λ_t ⊙ x_{t−1} + b_t, one λ per channel.

    Args:
        lam_re: real part of λ, [P] for all of time, or one for each frame (a sequence whose
            steps of time differ): [T,P] or [B,T,P]. Computed in float32, in float64 where b is.
        lam_im: imaginary part of λ, in the same shape.
        b: inputs, [Re, Im] side by side along dim 2.
        x0: state before the first step, [Re, Im] side by side along dim 1.

    Returns:
        The states x_1 … x_T as [Re, Im], in the type of b.

    Raises:
        ValueError: if the shapes do not fit together, or T is 0.

    Source: ConvS5 (2023), equation 5, discretised.
    """
    name = "complex_diagonal_scan"
    batch, time, channels = b.shape[:3]
    whole = [batch, time, channels // 2]
    fits = channels % 2 == 0 and list(lam_re.shape) in (whole[2:], whole[1:], whole)
    if lam_re.shape != lam_im.shape or not fits:
        raise ValueError(
            f"{name}: λ {list(lam_re.shape)}, {list(lam_im.shape)} must both be [P], [T, P] or "
            f"[B, T, P], and b {list(b.shape)} must be [B, T, 2·P, ...]"
        )
    _check_state(name, list(b.shape), x0)
    wide = torch.float64 if b.dtype == torch.float64 else torch.float32
    lam = (
        part.to(wide) if part.ndim == 1 else part.to(wide).expand(whole)
        for part in (lam_re, lam_im)
    )
    scan = (reference if choice.uses_definitions() else library).complex_diagonal_scan
    result: Tensor = scan(*lam, b, x0.to(b.dtype))
    return result


def _gated(name: str, gates: Tensor, h0: Tensor) -> Tensor:
    parts = GATINGS[name].parts
    if gates.ndim < 3 or gates.shape[2] % parts:
        raise ValueError(
            f"{name}: gates {list(gates.shape)} must be [B, T, {parts}·C, ...], "
            f"the {parts} pre-activations side by side"
        )
    batch, time, channels, *space = gates.shape
    _check_state(name, [batch, time, channels // parts, *space], h0)
    definition, op = getattr(reference, name), library.GATED_SCANS[name][0]
    scan = definition if choice.uses_definitions() else op
    result: Tensor = scan(gates, h0.to(gates.dtype))
    return result


def _check_state(name: str, sequence: list[int], h0: Tensor) -> None:
    batch, time, *frame = sequence
    if time == 0:
        raise ValueError(f"{name}: the sequence is empty (T = 0)")
    if list(h0.shape) != [batch, *frame]:
        raise ValueError(
            f"{name}: state {list(h0.shape)} does not fit the sequence: expected {[batch, *frame]}"
        )
