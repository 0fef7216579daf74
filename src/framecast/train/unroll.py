"""Unrolling a network over a window, and the losses of what comes out."""

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.models import Forecaster


def unroll(
    model: Forecaster, frames: Float[Tensor, "B L C H W"], context: int
) -> Float[Tensor, "B predictions C H W"]:
    """Predict frames 2..L of a window: the context in one pass, then in closed loop.

    Args:
        model: the network.
        frames: window of L frames; only the first `context` are read.
        context: given frames, 1 ≤ context < L.

    Returns:
        L−1 predictions. Those up to frame context + 1 follow from given frames alone
        (teacher forcing); each later one follows from the prediction before it.
    """
    given, state = model(frames[:, :context])
    predictions = [given]
    frame = given[:, -1]
    for _ in range(frames.shape[1] - context - 1):
        frame, state = model.step(frame, state)
        predictions.append(frame.unsqueeze(1))
    return torch.cat(predictions, dim=1)


def mse(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over all elements."""
    return torch.nn.functional.mse_loss(predictions.float(), truth)


def l1(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error over all elements."""
    return torch.nn.functional.l1_loss(predictions.float(), truth)


def l1_mse(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute plus mean squared error."""
    return l1(predictions, truth) + mse(predictions, truth)


LOSSES = {"mse": mse, "l1": l1, "l1_mse": l1_mse}
