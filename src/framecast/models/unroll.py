"""Unrolling a network over a window and beyond: teacher forcing and the only closed loop."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from framecast.base.draws import uniform
from framecast.frames.batch import NO_CONDITIONS, NO_LIMITS, Conditions, Limits
from framecast.layers.recurrence import State
from framecast.models.losses import Loss

Value = TypeVar("Value")


@runtime_checkable
class Network(Protocol):
    """What is unrolled: `models.Forecaster` says what its methods do."""

    def __call__(
        self, frames: Tensor, state: State | None, conditions: Conditions
    ) -> tuple[Tensor, State]:
        """Predict the frame after each of a sequence of frames."""

    def step(self, frame: Tensor, state: State, conditions: Conditions) -> tuple[Tensor, State]:
        """Predict the frame after one frame."""

    def feed_back(self, prediction: Tensor, limits: Limits) -> Tensor:
        """Return what is read of a prediction."""


class Carry(NamedTuple):
    """What one part of a window hands to the next.

    Attributes:
        state: of the network after the last input.
        frame: the last prediction [B,C,H,W].
    """

    state: State
    frame: Tensor


@dataclass(frozen=True)
class Unrolling:
    """How windows are gone through in training, and which error counts.

    Attributes:
        context: frames given before each forecast, at least 1.
        loss: which error.
        members: forecasts of each window, at least 1, that differ by their noise.
        crps_epsilon: how far the loss crps is from a fair one (see `models.crps`).
        spectral_weight: of its part on scales.
        teacher_forcing: probability that a later input is the truth.
        noise: standard deviation of the noise added to given frames.
        chunk: frames that run at a time; None for all.
        truncate: whether gradients end between chunks; otherwise chunks are computed again in
            the backward pass.
        compiled: whether the unrolled network is compiled.
        prediction_weight: λ, of the error of frames beside the cross-entropy of classes.
        prediction_sum: whether that error is a sum over the values of a window, or their mean.
        label_smoothing: share of the probability that a label leaves to all classes.
    """

    context: int
    loss: Loss = "mse"
    members: int = 1
    crps_epsilon: float = 0.0
    spectral_weight: float = 0.0
    teacher_forcing: float = 0.0
    noise: float = 0.0
    chunk: int | None = None
    truncate: bool = False
    compiled: bool = False
    prediction_weight: float = 1.0
    prediction_sum: bool = False
    label_smoothing: float = 0.0

    @property
    def forecast(self) -> "Unrolling":
        """The same without noise, where all frames after the context are predictions."""
        return replace(self, teacher_forcing=0.0, noise=0.0)


def draw_given(batch: int, inputs: int, context: int, teacher_forcing: float) -> Tensor:
    """Draw which inputs of a window are true frames (scheduled sampling).

    Source: Bengio et al. 2015, Scheduled Sampling for Sequence Prediction.

    Args:
        batch: B.
        inputs: T, one less than the frames of the window.
        context: the first inputs, always true.
        teacher_forcing: probability, for each sequence and each later input by itself; with
            0 the network reads its own predictions (closed loop), with 1 true frames only.

    Returns:
        Booleans [B,T], on the CPU.
    """
    given = uniform((batch, inputs)) < teacher_forcing
    given[:, :context] = True
    return given


def unroll(
    model: Network,
    inputs: Float[Tensor, "B T _C H W"],
    given: Bool[Tensor, "B T"],
    conditions: Conditions = NO_CONDITIONS,
    limits: Limits = NO_LIMITS,
    carry: Carry | None = None,
) -> tuple[Float[Tensor, "B T _D H W"], Carry]:
    """Predict the frame after each input.

    Inputs that all sequences are given run in one pass; where any of them reads its own
    prediction of the input before, a new pass begins.

    Args:
        model: the network.
        inputs: true frames, as the network reads them; those that are not given are not read.
        given: which of them the network reads, on the CPU.
        conditions: what is read beside them.
        limits: what holds of predictions that are read.
        carry: what the part of the window before this one handed on; None at its start,
            where the first input must be given.

    Returns:
        T predictions, and what the next part of the window needs.
    """
    state, frame = (None, None) if carry is None else carry
    predictions = []
    for start, stop in pairwise([0, *own_steps(given), inputs.shape[1]]):
        read = inputs[:, start:stop]
        if frame is not None:
            true = given[:, start, None, None, None].to(frame.device)
            first = torch.where(true, read[:, 0], model.feed_back(frame, limits))
            read = torch.cat([first.unsqueeze(1), read[:, 1:]], dim=1)
        if state is None or stop - start > 1:
            predicted, state = model(read, state, conditions.between(start, stop))
        else:
            frame, state = model.step(read[:, 0], state, conditions.at(start))
            predicted = frame.unsqueeze(1)
        frame = predicted[:, -1]
        predictions.append(predicted)
    return torch.cat(predictions, dim=1), Carry(state, predictions[-1][:, -1])


def own_steps(given: Bool[Tensor, "B T"]) -> list[int]:
    """Return the later inputs that some sequence does not read, but its own prediction."""
    steps: list[int] = ((~given[:, 1:].all(0)).nonzero().flatten() + 1).tolist()
    return steps


def closed_loop(
    model: Network,
    carry: Carry,
    conditions: Iterator[Conditions],
    limits: Limits = NO_LIMITS,
) -> Iterator[Carry]:
    """Yield one prediction after the other, each read in the next step, with its state.

    Memory does not grow with the number of steps, unless a layer's state does.

    Args:
        model: the network.
        carry: the last prediction, and the state before it is read.
        conditions: of each step, without a dimension of time; the loop ends with them.
        limits: what holds of predictions.
    """
    state, frame = carry
    for now in conditions:
        frame, state = model.step(model.feed_back(frame, limits), state, now)
        yield Carry(state, frame)


def unroll_parts(
    model: Network,
    inputs: Float[Tensor, "B T _C H W"],
    given: Bool[Tensor, "B T"],
    conditions: Conditions,
    limits: Limits,
    unrolling: Unrolling,
) -> Iterator[Float[Tensor, "B _T _D H W"]]:
    """Yield the predictions of parts of a window, between which no gradient flows."""
    run = partial(_compiled() if unrolling.compiled else unroll, model)
    if unrolling.chunk is None:
        yield run(inputs, given, conditions, limits)[0]
        return
    chunks = run_chunks(run, inputs, given, conditions, limits, unrolling)
    if unrolling.truncate:
        yield from chunks
    else:
        yield torch.cat(list(chunks), dim=1)


def run_chunks(
    run: Callable[..., tuple[Tensor, Carry]],
    inputs: Tensor,
    given: Tensor,
    conditions: Conditions,
    limits: Limits,
    unrolling: Unrolling,
) -> Iterator[Tensor]:
    """Yield the predictions of a window chunk by chunk.

    With truncation gradients end between chunks (truncated back-propagation through time): each
    chunk's graph can then be used up before the next one is made. Without, they are exact, and a
    chunk keeps its inputs only: what lies inside is computed again in the backward pass (Chen et
    al. 2016, Training Deep Nets with Sublinear Memory Cost).

    Args:
        run: `unroll` of a network.
        inputs: true frames [B,T,C,H,W].
        given: which of them are read, [B,T].
        conditions: what is read beside them.
        limits: what holds of predictions that are read.
        unrolling: names the chunk.
    """
    carry, length = None, unrolling.chunk or inputs.shape[1]
    for start in range(0, inputs.shape[1], length):
        part = slice(start, start + length)
        now = conditions.between(start, start + length)
        arguments: Sequence[Any] = (inputs[:, part], given[:, part], now, limits, carry)
        if unrolling.truncate:
            predictions, carry = run(*arguments)
            carry = detach(carry)
        else:
            predictions, carry = checkpoint(run, *arguments, use_reentrant=False)
        # A copy: the last state is often a view that would keep those of all the chunk.
        carry = pytree.tree_map_only(Tensor, Tensor.clone, carry)
        yield predictions


def detach(value: Value) -> Value:
    """Return a value (a tensor, or a tuple of values) through which no gradient flows."""
    return cast(Value, pytree.tree_map_only(Tensor, Tensor.detach, value))


@cache
def _compiled() -> Callable[..., tuple[Tensor, Carry]]:
    return torch.compile(unroll)
