"""Forecasts: read past frames in one pass, then yield one frame after the other."""

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_disk, check_memory
from framecast.base.progress import track
from framecast.base.whole import PathLike
from framecast.datasets.source import Source
from framecast.forecast.outlook import Outlook
from framecast.forecast.predictor import Predictor
from framecast.forecast.writers import ForecastLabels, claim_destination, open_writer
from framecast.frames.batch import NO_CONDITIONS, Batch, Place
from framecast.frames.frames import Frames
from framecast.frames.times import readable
from framecast.frames.windows import Windows
from framecast.readers.paths import Paths, find_paths
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import Checkpoint, load_checkpoint
from framecast.runs.contents import source_of


def rollout(
    checkpoint: Checkpoint,
    context: Float[Tensor, "B T C H W"],
    steps: int | None = None,
    device: str = "auto",
) -> Iterator[Float[Tensor, "B _C H W"]]:
    """Yield one forecast frame after the other, from past frames alone.

    Memory does not grow with the number of steps. A model that reads more than past frames
    (forcings, static fields, actions) forecasts from `Frames`: see `forecast_frames`.

    Args:
        checkpoint: the trained forecaster.
        context: past frames of the prognostic channels in physical units, NaN where a value is
            missing, T ≥ 1, oldest first.
        steps: how many frames; None for no end.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Yields:
        Frames at lead 1, 2, ..., in physical units.

    Raises:
        UserError: if the model reads more than past frames.
    """
    spec = checkpoint.frames
    if spec.conditions or spec.actions:
        read = [*spec.conditions, *(["actions"] if spec.actions else [])]
        raise UserError(
            f"this model reads {', '.join(read)} beside past frames: forecast with "
            "framecast.forecast_frames, which takes them from Frames"
        )
    frames = Frames(context, spec.of_role("prognostic"), ("sequence", "time", "y", "x"))
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
        UserError: if the frames do not suit the model, or forcings end too early.
    """
    size = predictor.checkpoint.context if context is None else context
    places = [start % frames.length for start in starts]
    outlook = _outlook(predictor, frames, places, steps, size, further)
    for frame in predictor.forecast(outlook):
        yield frame.view(len(frames.values), len(places), *frame.shape[1:])


def forecast_file(
    run: PathLike,
    source: Paths,
    steps: int,
    out: PathLike,
    *,
    starts: Sequence[str] = ("-1",),
    context: int | None = None,
    forcings: Paths | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> ForecastLabels:
    """Forecast from a file of frames into a file that carries its labels on.

    Args:
        run: a run folder or a checkpoint.
        source: a file that holds the variables that the model reads; a folder, a pattern or a
            list of files that do so together; or a video, which is read at the size and rate of
            the training data.
        steps: lead times K, at least 1.
        out: `.nc`, `.zarr`, `.npz`, `.gif` or `.mp4`; an earlier forecast is replaced when
            the new one is whole.
        starts: the last known frame of each forecast: its place in the file (negative
            counts from the end) or its time. Several make a batch.
        context: past frames to read before each forecast; as in training if None.
        forcings: a file, or several, with the forcings (and actions) beyond the end of `source`.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.
        overwrite: whether a file of the kind of `out` is replaced that is no earlier forecast.
        progress: whether a progress bar is shown.

    Returns:
        Labels of the forecast that was written.

    Raises:
        UserError: if the file does not suit the model, or a start does not suit the file; or if
            something stands at `out` that must stay.
    """
    if steps < 1:
        raise UserError(f"--steps {steps} must be at least 1")
    inputs = [run, *find_paths(source), *([] if forcings is None else find_paths(forcings))]
    with claim_destination(out, inputs, overwrite) as place:
        predictor = Predictor(load_checkpoint(run), device)
        frames = source_of(run).read(source, _selection(predictor).past)
        places = [find_start(frames, start) for start in starts]
        _check_room(predictor, frames, len(places) * steps, place)
        size = predictor.checkpoint.context if context is None else context
        further = None if forcings is None else _read_further(predictor, source_of(run), forcings)
        outlook = _outlook(predictor, frames, places, steps, size, further)
        options = _options(steps, out, starts, context, forcings)
        command = shlex.join(["framecast", "forecast", str(run), str(source), *options])
        labels = replace(_labels(predictor, frames, places, steps), command=command)
        shape = (len(frames.values), len(places))
        with open_writer(place, labels, overwrite) as write:
            for frame in track(predictor.forecast(outlook), "forecast", steps, progress):
                write(frame.view(*shape, *frame.shape[1:]))
    return labels


def _check_room(predictor: Predictor, frames: Frames, leads: int, out: Path) -> None:
    """Raise a UserError if the forecast would not fit onto the disk, before any work."""
    channels, sequences = len(predictor.channels), len(frames.values)
    values = leads * sequences * channels * math.prod(frames.grid)
    if out.suffix in (".nc", ".zarr", ".npz"):
        remedy = "Choose fewer --steps, or another disk."
        check_disk(4 * values, out, f"a forecast of {leads:,} frames", remedy)
    check_memory(64 * leads, f"the times of {leads:,} frames", "Choose fewer --steps.")


def _options(
    steps: int,
    out: PathLike,
    starts: Sequence[str],
    context: int | None,
    forcings: Paths | None,
) -> list[str]:
    """The options of the command line that ask for a forecast."""
    options = ["--steps", str(steps), "--start", *starts, "--out", str(out)]
    options += [] if context is None else ["--context", str(context)]
    return options + ([] if forcings is None else ["--forcings", str(forcings)])


def _selection(predictor: Predictor) -> Selection:
    return Selection.of(predictor.checkpoint.frames)


def _labels(
    predictor: Predictor, frames: Frames, places: Sequence[int], steps: int
) -> ForecastLabels:
    times = np.stack([frames.times_from(0, place, steps + 1)[1:] for place in places])
    return ForecastLabels(frames, np.array(places), times, predictor.channels, _typical(predictor))


def _outlook(
    predictor: Predictor,
    frames: Frames,
    places: Sequence[int],
    steps: int,
    context: int,
    further: Frames | None,
) -> Outlook:
    """What every sequence and start reads, in the order [N·S]."""
    if context < 1:
        raise UserError(f"--context {context} must be at least 1")
    first = [
        Place(sequence, _context_start(frames, sequence, place, context))
        for sequence in range(len(frames.values))
        for place in places
    ]
    return predictor.outlook(frames, first, context, steps, further)


def _context_start(frames: Frames, sequence: int, place: int, context: int) -> int:
    piece = frames.piece_of(sequence, place)
    past = place + 1 - piece.start
    if past < context:
        gap = ""
        if piece.start > 0:
            gap = (
                f" since {readable(frames.times[piece.start])}, where times are missing from the "
                "axis"
            )
        raise UserError(
            f"{frames.source}: a forecast from frame {place} has {past} past "
            f"frames{gap}, but {context} are to be read: start later, or give a smaller --context"
        )
    return place + 1 - context


def _read_further(predictor: Predictor, source: Source, place: Paths) -> Frames:
    """Forcings and actions alone, at all their times, from what need not hold anything else."""
    selection = replace(_selection(predictor).past, every=1)
    if selection.forcings:
        first, *others = selection.forcings
        units = selection.units_of(selection.forcings)
        selection = replace(selection, variables=(first,), forcings=tuple(others), units=units)
    elif selection.actions is None:
        raise UserError(
            "--forcings is given, but the model reads neither forcings nor actions of a file: "
            "leave it out"
        )
    return source.read(place, replace(selection, static=()))


def _typical(predictor: Predictor) -> dict[str, tuple[float, float]]:
    """A range of values of each predicted channel: two deviations about the mean."""
    scale = predictor.scaling.predicted
    ends = zip(scale.offset - 2 * scale.scale, scale.offset + 2 * scale.scale, strict=True)
    return {
        channel.name: (low.item(), high.item())
        for channel, (low, high) in zip(predictor.channels, ends, strict=True)
    }


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
