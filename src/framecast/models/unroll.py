"""Unrolling a network over a window, and the losses of what comes out."""

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framecast.layers.recurrence import State
from framecast.models import Forecaster


class Carry(NamedTuple):
    """What one part of a window hands to the next.

    Attributes:
        state: of the network after the last input.
        frame: the last prediction [B,C,H,W].
    """

    state: State
    frame: Tensor


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
    given = torch.rand(batch, inputs) < teacher_forcing
    given[:, :context] = True
    return given


def unroll(
    model: Forecaster,
    inputs: Float[Tensor, "B T C H W"],
    given: Bool[Tensor, "B T"],
    carry: Carry | None = None,
) -> tuple[Float[Tensor, "B T C H W"], Carry]:
    """Predict the frame after each input.

    Inputs that all sequences are given run in one pass; where any of them reads its own
    prediction of the input before, a new pass begins.

    Args:
        model: the network.
        inputs: true frames; those that are not given are not read.
        given: which of them the network reads, on the CPU.
        carry: what the part of the window before this one handed on; None at its start,
            where the first input must be given.

    Returns:
        T predictions, and what the next part of the window needs.
    """
    state, frame = (None, None) if carry is None else carry
    own = (~given[:, 1:].all(0)).nonzero().flatten() + 1
    predictions = []
    for start, stop in pairwise([0, *own.tolist(), inputs.shape[1]]):
        read = inputs[:, start:stop]
        if frame is not None:
            true = given[:, start, None, None, None].to(frame.device)
            first = torch.where(true, read[:, 0], frame)
            read = torch.cat([first.unsqueeze(1), read[:, 1:]], dim=1)
        if state is None or stop - start > 1:
            predicted, state = model(read, state)
        else:
            frame, state = model.step(read[:, 0], state)
            predicted = frame.unsqueeze(1)
        frame = predicted[:, -1]
        predictions.append(predicted)
    return torch.cat(predictions, dim=1), Carry(state, predictions[-1][:, -1])


def mse(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over all elements."""
    return torch.nn.functional.mse_loss(predictions.to(truth.dtype), truth)


def l1(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error over all elements."""
    return torch.nn.functional.l1_loss(predictions.to(truth.dtype), truth)


def l1_mse(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute plus mean squared error."""
    return l1(predictions, truth) + mse(predictions, truth)


LOSSES = {"mse": mse, "l1": l1, "l1_mse": l1_mse}
