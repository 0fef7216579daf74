"""What tensor trains ask of their arguments."""

from collections.abc import Sequence

from torch import Tensor

from framecast.ops.checks import Size, check_frames, check_one_type, check_shape


def check_conv_tensor_train(op: str, states: Sequence[Tensor], factors: Sequence[Tensor]) -> None:
    """States [B,C(i),H,W] on one grid, and a factor [C(i−1),C(i),k,k] for each."""
    if not states or len(states) != len(factors):
        raise ValueError(
            f"{op}: {len(states)} states and {len(factors)} factors: expected one factor for "
            "each state, and at least one"
        )
    check_one_type(op, **_numbered("state", states), **_numbered("factor", factors))
    for name, state in _numbered("state", states).items():
        check_frames(op, state, name)
        batch, _, height, width = states[0].shape
        check_shape(op, name, state, (batch, state.shape[1], height, width))
        if 0 in state.shape[1:]:
            raise ValueError(f"{op}: {name} {list(state.shape)} has no channels or no cells")
    check_factors(op, factors, [state.shape[1] for state in states])


def check_factors(
    op: str, factors: Sequence[Tensor], channels: Sequence[Size] | None = None
) -> None:
    """Factors [C(i−1),C(i),k,k] of odd sides that follow each other, for states if any."""
    _check_chain(op, "factor", factors)
    below: Size = factors[0].shape[0]
    for i, factor in enumerate(factors):
        above = factor.shape[1] if channels is None else channels[i]
        if factor.shape[:2] != (below, above):
            of_state = "" if channels is None else f" (of state {i + 1})"
            raise ValueError(
                f"{op}: factor {i + 1} maps {factor.shape[1]} channels to {factor.shape[0]}, "
                f"expected {above}{of_state} to {below}"
            )
        if factor.shape[2] != factor.shape[3] or factor.shape[2] % 2 == 0:
            raise ValueError(
                f"{op}: factor {i + 1} {list(factor.shape)} must be square, of an odd side"
            )
        below = above


def check_train_matrices(cores: Sequence[Tensor]) -> None:
    """Cores [R(i−1),R(i),T(i),S(i)] that follow each other, down to rank 1."""
    op = "train_matrices"
    _check_chain(op, "core", cores)
    following = [*(core.shape[0] for core in cores[1:]), 1]
    for i, (core, rank) in enumerate(zip(cores, following, strict=True), start=1):
        if core.shape[1] != rank:
            raise ValueError(
                f"{op}: core {i} {list(core.shape)} must have the second rank {rank}, "
                "the first of the next core, or 1 at the end"
            )


def check_tensor_train_conv(frames: Tensor, filters: Tensor, matrices: Tensor) -> None:
    """Frames [B,S,H,W] no smaller than the filters [R,k,k], and matrices [R,T,S]."""
    op = "tensor_train_conv"
    check_one_type(op, frames=frames, filters=filters, matrices=matrices)
    check_frames(op, frames, "frames")
    if filters.ndim != 3 or matrices.ndim != 3 or 0 in (*filters.shape, *matrices.shape):
        raise ValueError(
            f"{op}: filters {list(filters.shape)} must be [R, k, k] and matrices "
            f"{list(matrices.shape)} [R, T, S], neither of them empty"
        )
    check_shape(op, "matrices", matrices, (len(filters), matrices.shape[1], frames.shape[1]))
    side = filters.shape[2]
    if filters.shape[1] != side or side > min(frames.shape[2:]):
        raise ValueError(
            f"{op}: filters {list(filters.shape)} must be square, and no larger than the frames "
            f"{list(frames.shape)}"
        )


def _check_chain(op: str, name: str, tensors: Sequence[Tensor]) -> None:
    if not tensors:
        raise ValueError(f"{op}: at least one {name} is needed")
    check_one_type(op, **_numbered(name, tensors))
    for numbered, x in _numbered(name, tensors).items():
        if x.ndim != 4 or 0 in x.shape:
            raise ValueError(
                f"{op}: {numbered} {list(x.shape)} must have four dimensions, none of them empty"
            )


def _numbered(name: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name} {i}": x for i, x in enumerate(tensors, start=1)}
