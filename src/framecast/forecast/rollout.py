"""Forecasts: read past frames in one pass, then yield one frame after the other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.progress import track
from framecast.base.whole import PathLike
from framecast.forecast.writers import ForecastLabels, open_writer
from framecast.frames.frames import Frames
from framecast.frames.lazy import load
from framecast.frames.times import continue_times, readable
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import Checkpoint, load_checkpoint


def rollout(
    checkpoint: Checkpoint, context: Float[Tensor, "B T C H W"], steps: int | None = None
) -> Iterator[Float[Tensor, "B C H W"]]:
    """Yield one forecast frame after the other, from past frames alone.

    Memory does not grow with the number of steps.

    Args:
        checkpoint: the trained forecaster.
        context: past frames in physical units, T ≥ 1, oldest first.
        steps: how many frames; None for no end.

    Yields:
        Frames at lead 1, 2, ..., in physical units.
    """
    statistics = checkpoint.statistics
    with torch.inference_mode():
        for frame, _ in checkpoint.model.forecast(statistics.normalise(context), steps):
            yield statistics.denormalise(frame)


def forecast_file(
    run: PathLike,
    source: PathLike,
    steps: int,
    out: PathLike,
    *,
    starts: Sequence[str] = ("-1",),
    context: int | None = None,
    progress: bool = True,
) -> ForecastLabels:
    """Forecast from a file of frames into a file that carries its labels on.

    Args:
        run: a run folder or a checkpoint.
        source: a NetCDF, Zarr or NumPy file that holds the channels of the training data; or a
            video, which is read at the size and rate of the training data.
        steps: lead times K, at least 1.
        out: `.nc`, `.zarr`, `.npz`, `.gif` or `.mp4`; an existing file is replaced when the
            forecast is whole.
        starts: the last known frame of each forecast: its place in the file (negative
            counts from the end) or its time. Several make a batch.
        context: past frames to read before each forecast; as in training if None.
        progress: whether a progress bar is shown.

    Returns:
        Labels of the forecast that was written.

    Raises:
        UserError: if the file does not suit the model, or a start does not suit the file.
    """
    if steps < 1:
        raise UserError(f"--steps {steps} must be at least 1")
    checkpoint = load_checkpoint(run)
    spec = checkpoint.frames
    frames = read_frames(source, spec.names, spec.grid, spec.rate)
    checkpoint.check(frames)
    places = [find_start(frames, start) for start in starts]
    past = _contexts(frames, places, checkpoint.context if context is None else context)
    labels = ForecastLabels(frames, np.array(places), _valid_times(frames, places, steps))
    shape = (len(frames.values), len(places))
    with open_writer(Path(out), labels) as write:
        for frame in track(rollout(checkpoint, past, steps), "forecast", steps, progress):
            write(frame.view(*shape, *frame.shape[1:]))
    return labels


def find_start(frames: Frames, start: str) -> int:
    """Return the place of a start in the sequences: an index as text, or a time.

    Raises:
        UserError: if there is no such frame.
    """
    try:
        place = int(start)
    except ValueError:
        return _find_time(frames, start)
    if not -frames.length <= place < frames.length:
        raise UserError(
            f"--start {start}: {frames.source} has {frames.length} frames, "
            f"0 to {frames.length - 1} (or -1 for the last)"
        )
    return place % frames.length


def _find_time(frames: Frames, start: str) -> int:
    times = frames.times
    try:
        if np.issubdtype(times.dtype, np.datetime64):
            found = times == np.datetime64(start)
        elif times.dtype == object:
            found = np.array([t.isoformat().startswith(start) for t in times])
        else:
            found = times == float(start)
    except ValueError:
        found = np.zeros(len(times), bool)
    if not found.any():
        raise UserError(
            f"--start {start}: {frames.source} has no frame at this time; its times go from "
            f"{readable(times[0])} to {readable(times[-1])}"
        )
    return int(found.argmax())


def _contexts(frames: Frames, places: Sequence[int], context: int) -> Tensor:
    """Past frames of every sequence and start, [N·S,context,C,H,W]."""
    if context < 1:
        raise UserError(f"--context {context} must be at least 1")
    if min(places) + 1 < context:
        raise UserError(
            f"{frames.source}: a forecast from frame {min(places)} has {min(places) + 1} past "
            f"frames, but {context} are to be read: start later, or give a smaller --context"
        )
    stretches = [load(frames.values[:, place + 1 - context : place + 1]) for place in places]
    return torch.stack(stretches, dim=1).flatten(0, 1)


def _valid_times(frames: Frames, places: Sequence[int], steps: int) -> np.ndarray:
    """Times of the forecast frames, [S,K]."""
    if frames.length < 2:
        raise UserError(f"{frames.source} holds one frame: its step in time is not known")
    ahead = continue_times(frames.times, steps)
    both = np.concatenate([frames.times, ahead])
    return np.stack([both[place + 1 : place + 1 + steps] for place in places])
