"""Forward and backward passes of the recurrences as Triton kernels, for GPUs.

The functions here have the names, arguments and results of those in
`framecast.ops.kernels.pytorch`. **Every kernel is verified against the float64 definitions in
Triton's interpreter, and compiles for the GPUs named in its tests; its speed on hardware has
not been measured.**

One program takes a block of positions (batch entry, channel, pixel) through all of time, with
the state in registers. The loads of a step do not depend on the state, so the hardware may run
ahead of the recurrence. The backward pass walks from the last frame to the first and computes
the gates again from their pre-activations: nothing is kept but inputs and outputs. Sums are in
float32, or in float64 where the input is. In float32 the exponentials on a GPU are the
hardware's, whose relative error grows with the argument; it has not been measured here either.

Memory. Positions are numbered in the order in which the main input stores them, so neighbouring
lanes touch neighbouring addresses in [B,T,C,H,W] and in channels-last storage ([B,T,H,W,C])
alike. Strides are passed in: nothing is copied whose pixels are evenly spaced, such as a slice
of the channels; outputs take the layout of the main input. Offsets are 64-bit.

Triton is not installed everywhere: this module can be imported without it, and
`unavailable_reason` says why the kernels cannot run.
"""

import torch

from framecast.ops.kernels.triton.cell import lstm_cell, lstm_cell_backward
from framecast.ops.kernels.triton.diagonal import (
    complex_diagonal_scan,
    complex_diagonal_scan_backward,
)
from framecast.ops.kernels.triton.pieces import locate, triton
from framecast.ops.kernels.triton.scans import (
    gated_scan,
    gated_scan_backward,
    linear_scan,
    linear_scan_backward,
)

__all__ = [
    "complex_diagonal_scan",
    "complex_diagonal_scan_backward",
    "gated_scan",
    "gated_scan_backward",
    "linear_scan",
    "linear_scan_backward",
    "lstm_cell",
    "lstm_cell_backward",
    "unavailable_reason",
]


def unavailable_reason() -> str | None:
    """Why these kernels cannot run here; None if they can."""
    if triton is None:
        return "the package triton is not installed"
    if isinstance(locate, triton.JITFunction) and not torch.cuda.is_available():
        return "there is no GPU, and TRITON_INTERPRET=1 was not set when Triton was imported"
    return None
