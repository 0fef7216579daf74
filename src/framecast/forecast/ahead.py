"""What is read before a forecast of a file, and the forecast that follows from it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.ranks import Ranks
from framecast.base.whole import PathLike
from framecast.datasets.source import Source
from framecast.forecast.acting import HIDDEN
from framecast.forecast.baselines import BASELINES
from framecast.forecast.baselines.series import follow
from framecast.forecast.ensemble import ForecastModel, forecast_members
from framecast.forecast.order import Order
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import outlook
from framecast.forecast.starts import find_start
from framecast.forecast.worlds import Dreamer, dream
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.readers.differences import kind_of_times, same_places
from framecast.readers.open import open_frames
from framecast.readers.paths import Paths
from framecast.readers.selection import EVERYTHING, Selection
from framecast.runs.checkpoint import load_checkpoint, load_saved, stored_kind
from framecast.runs.contents import source_of


class Ahead(NamedTuple):
    """A forecast that is about to be made.

    Attributes:
        frames: the past.
        places: of the S starts in it.
        channels: that are forecast.
        typical: a range of values of each, by name, where the past does not show one.
        leads: the frames at lead 1 to K of M members, N sequences and S starts.
        members: M; None for a forecast without members.
        drawn: whether it is one member of an ensemble, though no members were asked for.
    """

    frames: Frames
    places: list[int]
    channels: tuple[Channel, ...]
    typical: dict[str, tuple[float, float]]
    leads: Iterator[Float[Tensor, "M N S C H W"]]
    members: int | None = None
    drawn: bool = False


def look_ahead(run: PathLike, order: Order, device: str, ranks: Ranks) -> Ahead:
    """Read what a forecast reads, and begin it.

    Args:
        run: a run, or the name of a baseline.
        order: what is asked for.
        device: that the network runs on.
        ranks: the processes that share the work.

    Raises:
        UserError: if what is read does not suit the run, or what is asked for does not.
    """
    if is_baseline(run):
        _check_alone(ranks, f"the baseline {run}")
        return _by_baseline(str(run), order)
    if stored_kind(run) == "world":
        _check_alone(ranks, "a world model")
        return _by_world(run, order, device)
    return _by_runs([run, *order.ensemble.runs], order, device)


def _check_alone(ranks: Ranks, what: str) -> None:
    """Refuse several processes where nothing is shared out."""
    if ranks.count > 1:
        raise UserError(f"{what} forecasts in one process: start it without torchrun")


def is_baseline(run: PathLike) -> bool:
    """Tell the name of a baseline from the path of a run.

    Raises:
        UserError: if it may be either.
    """
    if str(run) not in BASELINES.names():
        return False
    if Path(run).exists():
        raise UserError(f"{run} is the name of a baseline and of a folder: write ./{run} for this")
    return True


def _by_world(run: PathLike, order: Order, device: str) -> Ahead:
    ensemble = order.ensemble
    if order.forcings is not None or ensemble.runs or ensemble.variation.perturb:
        raise UserError(
            "--forcings, --with and --perturb are not for world models: their members differ by "
            "--seed alone, and what is done is said with --actions"
        )
    if not Path(run).is_dir():
        raise UserError(
            f"{run} does not say how episodes are read: name the run folder that it is from"
        )
    dreamer = Dreamer(load_saved(run), device)
    source, spec = source_of(run, order.cache), dreamer.saved.frames
    frames = source.read(order.source, Selection.of(spec))
    dreamer.check(frames)
    places = [find_start(frames, start) for start in order.starts]
    shown = _seen(frames, places, order.actions)
    count, seed = ensemble.members or 1, ensemble.variation.seed
    asked = order.steps, order.context, order.actions
    every = dream(dreamer, frames, places, *asked, count, seed)
    shape = len(frames.values), len(places)
    leads = (frame.view(len(frame), *shape, *frame.shape[2:]) for frame in every)
    return Ahead(shown, places, spec.predicted, {}, leads, ensemble.members, True)


def _seen(frames: Frames, places: Sequence[int], actions: str | None) -> Frames:
    """What was seen: later frames are no truth where other things are done than in the episode."""
    if actions is None or actions in HIDDEN:
        return frames
    if len(places) > 1:
        raise UserError(
            f"--actions {actions} say what is done after one frame: give one --start, not "
            f"{len(places)}"
        )
    return frames.select(times=slice(0, places[0] + 1))


def _by_runs(runs: Sequence[PathLike], order: Order, device: str) -> Ahead:
    if order.actions is not None:
        raise UserError(
            f"--actions is for world models, and {runs[0]} is none: it reads actions of the input, "
            "and of --forcings"
        )
    named = [Path(run).resolve() for run in runs]
    double = next((run for run in named if named.count(run) > 1), None)
    if double is not None:
        raise UserError(f"{double} is named twice, and would count twice: leave one out of --with")
    models = [_model(run, order, device) for run in runs]
    first, *others = models
    for other in others:
        _check_alike(first, other)
    predictor, frames = first.predictor, first.outlook.windows.frames
    places = [find_start(frames, start) for start in order.starts]
    shape = len(frames.values), len(places)
    members, how = order.ensemble.count, order.ensemble.variation
    every = forecast_members(models, order.ensemble.members, how)
    leads = (frame.view(len(frame), *shape, *frame.shape[2:]) for frame in every)
    drawn = members is None and predictor.model.config.noise_channels > 0
    channels = tuple(_described(channel, frames) for channel in predictor.channels)
    return Ahead(frames, places, channels, _typical(predictor), leads, members, drawn)


def _described(channel: Channel, frames: Frames) -> Channel:
    """A channel with the attributes that the input gives it, if it is there, and units at least."""
    own = next((c for c in frames.channels if c.name == channel.name), channel)
    units = {"units": channel.units} if channel.units and not own.units else {}
    return replace(channel, attributes={**own.attributes, **units})


def _check_alike(first: ForecastModel, other: ForecastModel) -> None:
    """Raise a UserError unless two runs forecast the same from the same frames."""
    for what, pick in (
        ("variables", lambda m: [(c.name, c.units) for c in m.predictor.channels]),
        ("grid", lambda m: m.outlook.windows.frames.grid),
        ("step of time", lambda m: m.predictor.checkpoint.frames.step),
    ):
        ours, theirs = pick(first), pick(other)
        if ours != theirs:
            raise UserError(
                f"{first.name} and {other.name} are no members of one ensemble: the {what} of "
                f"the one is {ours}, of the other {theirs}"
            )
    if not same_places(*(model.outlook.windows.frames for model in (first, other))):
        raise UserError(
            f"{first.name} and {other.name} are no members of one ensemble: they read other parts "
            "of the input, or its rows in another order"
        )


def _model(run: PathLike, order: Order, device: str) -> ForecastModel:
    """A run, with what its forecasts read."""
    predictor, source = Predictor(load_checkpoint(run), device), source_of(run, order.cache)
    # A forecast reads a few frames, of however large a file.
    frames = source.read(order.source, replace(_selection(predictor).past, lazy=True))
    places = [find_start(frames, start) for start in order.starts]
    size = predictor.checkpoint.context if order.context is None else order.context
    further = None
    if order.forcings is not None:
        further = _read_further(predictor, source, order.forcings, frames)
    look = outlook(predictor, frames, places, order.steps, size, further)
    return ForecastModel(predictor, look, str(run))


def _by_baseline(name: str, order: Order) -> Ahead:
    if order.ensemble.asked:
        raise UserError(
            f"--members, --seed, --perturb, --with and --summary are of trained models: the "
            f"baseline {name} makes one forecast, so leave them out"
        )
    for option, given in (("--forcings", order.forcings), ("--actions", order.actions)):
        if given is not None:
            raise UserError(f"{option} is given, but the baseline {name} reads none: leave it out")
    selection = replace(order.selection or EVERYTHING, cache=order.cache, lazy=True)
    frames = open_frames(order.source, selection)
    places = [find_start(frames, start) for start in order.starts]
    leads = (frame[None] for frame in follow(name, frames, places, order.steps, order.context))
    return Ahead(frames, places, frames.with_role("prognostic", "diagnostic"), {}, leads)


def _selection(predictor: Predictor) -> Selection:
    return Selection.of(predictor.checkpoint.frames)


def _read_further(predictor: Predictor, source: Source, place: Paths, frames: Frames) -> Frames:
    """Forcings and actions alone, at all their times, from what need not hold anything else.

    Forcings must be in the units of the training, and on the grid of the frames.
    """
    selection = replace(_selection(predictor).past, every=1)
    further = _forcings_of(predictor, source, place, frames, selection)
    ours, theirs = (kind_of_times(part.times) for part in (frames, further))
    if ours != theirs:
        raise UserError(
            f"the times of {further.source} are {theirs}, and those of {frames.source} {ours}: "
            "--forcings needs times of the same kind"
        )
    return further


def _forcings_of(
    predictor: Predictor, source: Source, place: Paths, frames: Frames, selection: Selection
) -> Frames:
    """What holds forcings and actions, or actions alone."""
    if not selection.forcings:
        if selection.actions is None:
            raise UserError(
                "--forcings is given, but the model reads neither forcings nor actions of a file: "
                "leave it out"
            )
        return source.read(place, replace(selection, static=()))
    first, *others = selection.forcings
    units = selection.units_of(selection.forcings)
    selection = replace(selection, variables=(first,), forcings=tuple(others), units=units)
    further = source.read(place, replace(selection, static=()))
    predictor.checkpoint.check_units(further)
    if not same_places(frames, further):
        raise UserError(
            f"{further.source} lies on another grid than {frames.source}, or at other places: "
            "--forcings needs the grid of the frames"
        )
    return further


def _typical(predictor: Predictor) -> dict[str, tuple[float, float]]:
    """A range of values of each predicted channel: two deviations about the mean."""
    scale = predictor.scaling.predicted
    ends = zip(scale.offset - 2 * scale.scale, scale.offset + 2 * scale.scale, strict=True)
    return {
        channel.name: (low.item(), high.item())
        for channel, (low, high) in zip(predictor.channels, ends, strict=True)
    }
