"""Continuous linear systems for state space models: where they start, and how they are sampled.

These are formulas without faster forms: what `definition.py` says runs under all kernels.
"""

from framecast.ops.discretise.definition import (
    Diagonalised,
    Discrete,
    bilinear,
    hippo_normal,
    zero_order_hold,
)

__all__ = ["Diagonalised", "Discrete", "bilinear", "hippo_normal", "zero_order_hold"]
