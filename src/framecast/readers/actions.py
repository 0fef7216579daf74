"""Actions: what is done between one frame and the next."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.readers.selection import Selection


def make_actions(array: np.ndarray, selection: Selection, source: str) -> Float[Tensor, "N T A"]:
    """Make actions of an array, so that action t acts between frames t and t + 1.

    Whole numbers, one a frame, name one of several actions, each of which becomes a unit vector;
    other numbers are read as they are. Where the data store an action with the frame that it led
    to (`action_shift` 1), each moves back by one frame, and nothing is known of the last: NaN.

    Args:
        array: [N,T,A], as stored.
        selection: says by how many frames actions are stored late.
        source: for messages.

    Raises:
        UserError: if an action is not known, or is a negative whole number.
    """
    if array.ndim != 3 or array.dtype.kind not in "iufb":
        raise UserError(
            f"{source}: actions of {array.dtype} {list(array.shape)}; needed are numbers "
            "[time], [time, action], or these of several sequences"
        )
    if array.dtype.kind in "iub" and array.shape[-1] == 1:
        numbers = array[..., 0].astype(np.int64)
        if numbers.min() < 0:
            raise UserError(f"{source}: action {numbers.min()} is negative: actions count from 0")
        kinds = int(numbers.max()) + 1
        check_memory(
            4 * kinds * (kinds + numbers.size),
            f"{source}: actions counted to {kinds - 1}, each of which becomes a unit vector,",
            "Count them from 0 without gaps, or store them as floating-point numbers",
        )
        array = np.eye(kinds, dtype=np.float32)[numbers]
    actions = torch.from_numpy(np.ascontiguousarray(array, np.float32))
    if not actions.isfinite().all():
        raise UserError(f"{source}: actions hold values that are not finite")
    shift = selection.action_shift
    if shift:
        unknown = torch.full_like(actions[:, :shift], torch.nan)
        actions = torch.cat([actions[:, shift:], unknown], dim=1)
    return actions
