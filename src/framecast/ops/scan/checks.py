"""What the scans ask of their arguments."""

from collections.abc import Callable

from torch import Tensor

from framecast.ops.checks import (
    check_memory,
    check_rank,
    check_same_shape,
    check_shape,
    check_state,
)


def check_linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> None:
    """Decays and inputs [B,T,...] of one shape, and a state [B,...]."""
    check_memory("linear_scan", b, b.dtype, "a b h0", a, b, h0)
    check_same_shape("linear_scan", "a b", a, b)
    check_rank("linear_scan", "b", b, 2, "[B, T, ...]")
    check_state("linear_scan", b.shape, h0)


def check_linear_scan_backward(grad: Tensor, a: Tensor, h0: Tensor, h: Tensor) -> None:
    """As `check_linear_scan`, with what belongs to the states."""
    op = "linear_scan_backward"
    check_memory(op, h, h.dtype, "grad a h0 h", grad, a, h0, h)
    check_same_shape(op, "grad a h", grad, a, h)
    check_rank(op, "h", h, 2, "[B, T, ...]")
    check_state(op, h.shape, h0)


def gated_scan_checks(op: str, parts: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """The checks of a gated scan of so many pre-activations, and of its backward op."""

    def check(gates: Tensor, h0: Tensor) -> None:
        check_memory(op, gates, gates.dtype, "gates h0", gates, h0)
        _check_gates(op, parts, gates, h0)

    def check_backward(grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor) -> None:
        name = f"{op}_backward"
        check_memory(name, gates, gates.dtype, "grad gates h0 h", grad, gates, h0, h)
        _check_gates(name, parts, gates, h0)
        expected = gates.shape[0], gates.shape[1], *h0.shape[1:]
        check_shape(name, "h", h, expected)
        check_shape(name, "grad", grad, expected)

    return check, check_backward


def _check_gates(op: str, parts: int, gates: Tensor, h0: Tensor) -> None:
    if gates.ndim < 3 or gates.shape[2] % parts:
        raise ValueError(
            f"{op}: gates {list(gates.shape)} must be [B, T, {parts}·C, ...], "
            f"the {parts} pre-activations side by side"
        )
    batch, time, channels, *space = gates.shape
    check_state(op, [batch, time, channels // parts, *space], h0)
