"""What several ops ask of their arguments."""

from collections.abc import Sequence

from torch import Tensor


def check_state(name: str, sequence: Sequence[int], state: Tensor) -> None:
    """Raise a ValueError unless the state [B,...] fits a sequence of this shape [B,T,...].

    Args:
        name: of the op, for the message.
        sequence: shape of the states that the op returns.
        state: what it starts from.
    """
    batch, time, *frame = sequence
    if time == 0:
        raise ValueError(f"{name}: the sequence is empty (T = 0)")
    if list(state.shape) != [batch, *frame]:
        raise ValueError(
            f"{name}: state {list(state.shape)} does not fit the sequence: "
            f"expected {[batch, *frame]}"
        )
