"""Forecasts: read past frames in one pass, then yield one frame after the other."""

from collections.abc import Iterator, Sequence
from itertools import repeat

from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.outlook import Outlook
from framecast.forecast.predictor import Predictor
from framecast.forecast.starts import context_start, start_at
from framecast.frames.batch import NO_CONDITIONS, Batch, Place
from framecast.frames.frames import Frames
from framecast.frames.numbers import Numbers, floats
from framecast.frames.windows import Windows
from framecast.runs.checkpoint import Checkpoint


def rollout(
    checkpoint: Checkpoint,
    context: Numbers,
    steps: int | None = None,
    device: str = "auto",
) -> Iterator[Float[Tensor, "B _C H W"]]:
    """Yield one forecast frame after the other, from past frames alone.

    Memory does not grow with the number of steps. A model that reads more than past frames
    (forcings, static fields, actions) forecasts from `Frames`: see `forecast_frames`.

    Args:
        checkpoint: the trained forecaster.
        context: past frames [B,T,C,H,W] of the prognostic channels in physical units, NaN where a
            value is missing, T ≥ 1, oldest first; a tensor or an array, of any type of number.
        steps: how many frames; None for no end.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Yields:
        Frames at lead 1, 2, ..., in physical units.

    Raises:
        UserError: if the model reads more than past frames, or `steps` is negative.
    """
    if steps is not None and steps < 0:
        raise UserError(f"steps {steps}: there are none before the first")
    spec = checkpoint.frames
    if spec.conditions or spec.actions:
        read = [*spec.conditions, *(["actions"] if spec.actions else [])]
        raise UserError(
            f"this model reads {', '.join(read)} beside past frames: forecast with "
            "framecast.forecast_frames, which takes them from Frames"
        )
    frames = Frames(floats(context), spec.of_role("prognostic"), ("sequence", "time", "y", "x"))
    windows = Windows(frames, checkpoint.scaling, frames.length)
    places = [Place(sequence, 0) for sequence in range(len(context))]
    batch = Batch.stack([windows.make(windows.values(p, frames.length), p) for p in places])
    return _rollout(Predictor(checkpoint, device), batch, steps)


def _rollout(predictor: Predictor, batch: Batch, steps: int | None) -> Iterator[Tensor]:
    if steps == 0:
        return
    predictions, progress = predictor.given(batch, NO_CONDITIONS)
    yield predictions[:, -1]
    ahead = repeat(NO_CONDITIONS) if steps is None else repeat(NO_CONDITIONS, steps - 1)
    for frame, _ in predictor.ahead(ahead, progress):
        yield frame


def forecast_frames(
    predictor: Predictor,
    frames: Frames,
    steps: int,
    *,
    starts: Sequence[int] = (-1,),
    context: int | None = None,
    further: Frames | None = None,
) -> Iterator[Float[Tensor, "N S C H W"]]:
    """Yield the frames that follow those that are given, and what is known beside them.

    Args:
        predictor: the trained model, on its device.
        frames: past frames, with the forcings, static fields and actions that the model reads.
        steps: lead times K, at least 1.
        starts: S places of the last known frame of each forecast; negative ones count from the
            end.
        context: past frames to read before each forecast; as in training if None.
        further: forcings and actions beyond the end of `frames`.

    Yields:
        Frames at lead 1 to K of N sequences, in physical units, NaN where no value is possible.

    Raises:
        UserError: if the frames do not suit the model, there is no such start, nothing is to be
            forecast, or forcings end too early.
    """
    size = predictor.checkpoint.context if context is None else context
    if steps < 1:
        raise UserError(f"steps {steps}: at least 1 lead time is forecast")
    places = [start_at(frames, start) for start in starts]
    look = outlook(predictor, frames, places, steps, size, further)
    for frame in predictor.forecast(look):
        yield frame.view(len(frames.values), len(places), *frame.shape[1:])


def outlook(
    predictor: Predictor,
    frames: Frames,
    places: Sequence[int],
    steps: int,
    context: int,
    further: Frames | None,
) -> Outlook:
    """Return what every sequence and start reads, in the order [N·S].

    Raises:
        UserError: if the frames do not suit the model, or a start has too little past.
    """
    if context < 1:
        raise UserError(f"--context {context} must be at least 1")
    first = [
        Place(sequence, context_start(frames, sequence, place, context))
        for sequence in range(len(frames.values))
        for place in places
    ]
    return predictor.outlook(frames, first, context, steps, further)
