"""Forecasts of files into files, by a trained model or by a baseline."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_disk, check_memory
from framecast.base.progress import track
from framecast.base.ranks import joined
from framecast.base.whole import PathLike
from framecast.forecast.ahead import Ahead, is_baseline, look_ahead
from framecast.forecast.order import EnsembleOrder, Order
from framecast.forecast.writers import (
    ForecastLabels,
    check_outside,
    claim_destination,
    open_writer,
)
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection
from framecast.runs.device import choose_device


def forecast_file(
    run: PathLike,
    source: Paths,
    steps: int,
    out: PathLike,
    *,
    starts: Sequence[str | int] = ("-1",),
    context: int | None = None,
    forcings: Paths | None = None,
    selection: Selection | None = None,
    ensemble: EnsembleOrder | None = None,
    cache: bool = False,
    actions: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> ForecastLabels:
    """Forecast from a file of frames into a file that carries its labels on.

    Args:
        run: a run folder or a checkpoint; or the name of a baseline, which learns what it needs
            from the frames up to the first start.
        source: a file that holds the variables that the model reads; a folder, a pattern or a
            list of files that do so together; or a video, which is read at the size and rate of
            the training data.
        steps: lead times K, at least 1.
        out: `.nc`, `.zarr`, `.npz`, `.gif` or `.mp4`; an earlier forecast is replaced when
            the new one is whole.
        starts: the last known frame of each forecast: its place in the file (negative
            counts from the end) or its time. Several make a batch.
        context: past frames to read before each forecast; if None, as in training, and for a
            baseline three.
        forcings: a file, or several, with the forcings (and actions) beyond the end of `source`.
        selection: how a baseline reads the source; a run knows it itself.
        ensemble: the members that are forecast; None for one, and no dimension of members.
        cache: whether the source is written into the cache once, and read from there; as it is
            where a run was trained with `data.cache`.
        actions: what is done in each step, for world models (see `acting.parse_actions`); None for
            what the source says.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.
        overwrite: whether a file of the kind of `out` is replaced that is no earlier forecast.
        progress: whether a progress bar is shown.

    Returns:
        Labels of the forecast that was written.

    Under torchrun several processes share the forecasts of a trained model, and the first of them
    writes.

    Raises:
        UserError: if the file does not suit the model, or a start does not suit the file; or if
            something stands at `out` that must stay.
    """
    if steps < 1:
        raise UserError(f"--steps {steps} must be at least 1")
    ensemble = ensemble or EnsembleOrder()
    asked = context, forcings, ensemble, cache, actions, selection
    order = Order(source, steps, [*map(str, starts)], *asked)
    with joined(choose_device(device)) as ranks, ExitStack() as held:
        place = ranks.first_does(lambda: held.enter_context(_claim(run, order, out, overwrite)))
        ahead = ranks.all_do(lambda: look_ahead(run, order, device, ranks))
        labels = replace(
            _labels(ahead, steps), command=order.command(run, out), summary=order.ensemble.summary
        )
        ranks.first_does(lambda: _check_writing(labels, order.ensemble, place))
        write: Callable[[Tensor], None] = _nothing_written
        if ranks.first:
            write = held.enter_context(open_writer(place, labels, overwrite))
        for frame in track(ahead.leads, "forecast", steps, progress and ranks.first):
            write(frame)
    return labels


def _claim(
    run: PathLike, order: Order, out: PathLike, overwrite: bool
) -> AbstractContextManager[Path]:
    """Claim the place of the forecast, unless what is asked for contradicts itself."""
    baseline = is_baseline(run)
    if order.selection is not None and not baseline:
        raise UserError(f"{run} knows how its data are read: leave the keys of data out")
    check_outside(out, order.sources)
    inputs = [*order.sources, *order.ensemble.runs, *([] if baseline else [run])]
    return claim_destination(out, inputs, overwrite)


def _check_writing(labels: ForecastLabels, ensemble: EnsembleOrder, place: Path) -> None:
    """Raise a UserError if what is forecast cannot be written as is asked for."""
    ensemble.check(labels.names, place)
    _check_room(labels, place)


def _nothing_written(_: Tensor) -> None:
    """What a process writes where another one does."""


def _labels(ahead: Ahead, steps: int) -> ForecastLabels:
    frames, places = ahead.frames, ahead.places
    times = np.stack([frames.times_from(0, place, steps + 1)[1:] for place in places])
    labels = ForecastLabels(frames, np.array(places), times, ahead.channels, ahead.typical)
    return replace(labels, members=ahead.members, drawn=ahead.drawn)


def _check_room(labels: ForecastLabels, out: Path) -> None:
    """Raise a UserError if the forecast would not fit onto the disk, before any work."""
    values = sum(math.prod(labels.shape_of(output)) for output in labels.outputs)
    leads = labels.valid_times.size
    if out.suffix in (".nc", ".zarr", ".npz"):
        remedy = "Choose fewer --steps, or another disk."
        check_disk(4 * values, out, f"a forecast of {leads:,} frames", remedy)
    check_memory(64 * leads, f"the times of {leads:,} frames", "Choose fewer --steps.")
