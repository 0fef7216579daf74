"""The types that ops compute in: float32 or better, whatever they read and write."""

import torch
from torch import Tensor


def wide_type(*dtypes: torch.dtype) -> torch.dtype:
    """The narrowest type for sums over values of these types: float64 if any is, else float32."""
    return torch.float64 if torch.float64 in dtypes else torch.float32


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in that type; `x.to` takes a microsecond to see that there is nothing to do."""
    return x if x.dtype == dtype else x.to(dtype)


def widen(x: Tensor) -> Tensor:
    """The tensor in the type in which its values are summed."""
    return x if x.dtype == torch.float64 else x.float()
