"""Values as people hand them over: tensors or arrays, of any type of number."""

from typing import overload

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

Numbers = Shaped[Tensor, "..."] | Shaped[np.ndarray, "..."]


@overload
def floats(values: Numbers) -> Tensor: ...
@overload
def floats(values: None) -> None: ...
def floats(values: Numbers | None) -> Tensor | None:
    """Return values in float32, as networks read them; None for None.

    Of an array with a mask, what is masked is missing: NaN.
    """
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float32), np.nan)
    if isinstance(values, np.ndarray):
        return torch.from_numpy(np.array(values, np.float32))
    return None if values is None else values.float()
