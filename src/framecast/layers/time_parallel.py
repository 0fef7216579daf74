"""Linear recurrences over a sequence whose time several processes share.

Where a state is linear in the one before, x_t = A_t x_{t−1} + b_t, a segment of time as a whole is
such a step: x_last = D x_before + b. D is the product of its A_t, b what it comes to from a state
of zeros. Each process finds both of its own segment, all tell one another, and each combines those
before it into the exact state before its own, from which it runs. So a segment costs two scans in
place of one, whatever the number of processes, and two states are sent for each layer.

The gradient is a recurrence of the same kind, from the last state to the first: each process finds
what its own states contribute to the gradient of the state before it, all tell one another, and
what comes from later segments is added to the gradient of its last state. Nothing is divided by D,
which may be zero.

Source: Blelloch 1990, Prefix sums and their applications, for scans in parts; Martin and Cundy
2018, Parallelizing Linear Recurrent Neural Nets over Sequence Length.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from framecast.base.ranks import Ranks
from framecast.base.segments import segment_here


class LinearScan(NamedTuple):
    """A recurrence that is linear in its state, over frames at hand.

    Attributes:
        scan: takes the inputs, and the state before the frames [B,...], to the states after each
            of them [B,T,...].
        inputs: what it reads.
        decay: returns what D needs to be known by, as a tensor whose shape does not depend on T.
        fade: takes this tensor and a state to D times the state.
    """

    scan: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    decay: Callable[[], Tensor]
    fade: Callable[[Tensor, Tensor], Tensor]


def run_scan(linear: LinearScan, first: Tensor, begins: bool) -> Tensor:
    """Return the states of a recurrence, in the segment of time that this process holds.

    Args:
        linear: the recurrence.
        first: the state before the frames; of a sequence that begins, before all of it.
        begins: whether the sequence begins. A pass that goes on from a state needs nobody.
    """
    segment = segment_here()
    if segment is None or not begins:
        return linear.scan(*linear.inputs, first)
    return run_segment(linear, first, segment.ranks)


def run_segment(linear: LinearScan, first: Tensor, ranks: Ranks) -> Tensor:
    """Return the states of a segment of time.

    Args:
        linear: the recurrence over the segment.
        first: the state before the whole sequence.
        ranks: processes that hold the segments, in their order; all call this together, and make
            their backward passes together.
    """
    with torch.no_grad():
        alone = first if ranks.first else torch.zeros_like(first)
        last = linear.scan(*linear.inputs, alone)[:, -1]
        decays, lasts = ranks.exchange(linear.decay()), ranks.exchange(last)
        before = [first, *lasts][min(ranks.rank, 1)]
        for rank in range(1, ranks.rank):
            before = linear.fade(decays[rank], before) + lasts[rank]
    states = linear.scan(*linear.inputs, before)
    handed: Tensor = _HandOver.apply(  # type: ignore[no-untyped-call]
        linear.scan, linear.fade, decays, ranks, states, *linear.inputs
    )
    return handed


class _HandOver(torch.autograd.Function):
    """Leaves states as they are, and adds what later segments make of the last to its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        scan: Callable[..., Tensor],
        fade: Callable[[Tensor, Tensor], Tensor],
        decays: Sequence[Tensor],
        ranks: Ranks,
        states: Tensor,
        *inputs: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(*inputs)
        ctx.scan, ctx.fade, ctx.decays, ctx.ranks = scan, fade, decays, ranks
        return states.view_as(states)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the states, with that of all that follows the last of them."""
        inputs = [tensor.detach() for tensor in ctx.saved_tensors]
        ranks: Ranks = ctx.ranks
        own = torch.zeros_like(grad[:, 0])
        if not ranks.first:  # the state before all of the sequence is given
            own = _pull_back(partial(ctx.scan, *inputs), own, grad)
        owns = ranks.exchange(own)
        after = torch.zeros_like(own)
        for rank in range(ranks.count - 1, ranks.rank, -1):
            after = _pull_back(partial(ctx.fade, ctx.decays[rank]), own, after) + owns[rank]
        grad = torch.cat([grad[:, :-1], (grad[:, -1] + after).unsqueeze(1)], dim=1)
        return None, None, None, None, grad, *[None] * len(inputs)


def _pull_back(linear: Callable[[Tensor], Tensor], at: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient of a state, of which something is a linear function.

    Args:
        linear: the function.
        at: any state.
        grad: gradient of what it returns.
    """
    with torch.enable_grad():
        state = at.detach().requires_grad_()
        made = linear(state)
        (before,) = torch.autograd.grad(made, state, grad.to(made.dtype))
    return before
