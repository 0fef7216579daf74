"""What a run begins with: network, scaling and windows, once everything fits together."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from framecast.base.errors import UserError, nearest
from framecast.base.fetch import fetched
from framecast.base.limits import check_memory
from framecast.base.ranks import ALONE, Mesh, Ranks
from framecast.base.segments import Segment, part_time
from framecast.frames.chunks import Chunks
from framecast.frames.frames import Frames
from framecast.frames.grids import find_grid
from framecast.frames.lazy import chunks_of
from framecast.frames.order import DEAR, MIXED, mixed_at_once
from framecast.frames.roles import FrameSpec
from framecast.frames.scaling import Scaling
from framecast.frames.splits import Splits
from framecast.frames.statistics import Statistics
from framecast.frames.windows import CropSampler, Windows, allowed_starts, side_by_side
from framecast.layers import layer_entry, layer_names
from framecast.layers.blocks import SPHERES
from framecast.metrics.lpips import SMALLEST, Lpips
from framecast.models import Forecaster, Recogniser, Tokeniser, TokeniserConfig, make_network
from framecast.models.model import Model
from framecast.models.size import TRAINING_COPIES, weight_shapes
from framecast.models.spec import Ports
from framecast.models.tokeniser import Perceptual
from framecast.models.tokeniser_config import TokeniserSpec
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train.batches import Batches
from framecast.train.inherit import inherit, inherit_all
from framecast.train.worlds import begin_world

CPU = torch.device("cpu")

VALIDATION_FRAMES, VALIDATION_VALUES = 400, 1 << 22
"""Frames, and their values, in a validation step, if training has no more: no gradient is kept, so
that more fit than in training."""
SPEEDS = ("m s-1", "m s**-1", "m/s", "km/h", "knots", "kt")
"""Units of what may be a component of a vector."""


@dataclass(frozen=True, eq=False)
class Start:
    """All that a run begins with, once everything fits together.

    Attributes:
        model: the network, with its first weights.
        scaling: how frames become what it sees.
        shares: weight of each term of the loss.
        batches: of the training part.
        validation: of the validation part; None if there is none.
        segment: of time, that this process has of each window; None for all.
    """

    model: Model
    scaling: Scaling
    shares: Tensor
    batches: Batches
    validation: Batches | None
    segment: Segment | None = None


def prepare(
    experiment: Experiment,
    splits: Splits,
    mesh: Mesh | None = None,
    device: torch.device = CPU,
) -> Start:
    """Build what a run begins with; nothing is written yet.

    Args:
        experiment: the configuration.
        splits: the parts of the data.
        mesh: processes that share the batches, and the time of their windows; None for this one.
        device: that a tokeniser encodes frames on, for a world model.

    Raises:
        UserError: if the data, the network and their settings do not fit together.
    """
    mesh = mesh or Mesh()
    config, train = experiment.training, splits.train
    _check_padding(experiment.model.padding, train)
    _check_ranks(experiment, mesh.every)
    if experiment.imagines:
        return _prepare_world(experiment, splits, mesh.data, device)
    statistics = Statistics.of(train, experiment.data.normalise)
    torch.manual_seed(config.seed)
    try:
        scaling = Scaling(experiment.data.describe(train, statistics), statistics)
        _tell_of_vectors(experiment, scaling.spec)
        model = _make_model(experiment, scaling, train)
    except ValueError as error:
        raise UserError(f"the network cannot be built: {error}") from error
    if config.time_parallel > 1:
        _check_time_parallel(model, experiment)
    if config.shard_weights:
        _check_sharding(model, mesh.every)
    if isinstance(model, Recogniser):
        assert train.labels is not None
        train.labels.check_every(scaling.spec.classes, train.source)
        model.class_weights = _class_weights(scaling.spec.classes, config)
    if isinstance(model, Tokeniser):
        model.perceptual = _perceptual(experiment.tokeniser, train)
    if config.init is not None and isinstance(model, Tokeniser):
        inherit_all(model, scaling.spec, config.init)
    elif config.init is not None:
        inherit(model, scaling.spec, config.init)
    segment = part_time(config.context, config.horizon - 1, mesh.time)
    batches = _batches(train, scaling, experiment, mesh.data, segment)
    validating = mesh.data
    if config.shard_weights:
        _check_last_batch(batches)
        validating = ALONE  # all need all layers at the same time, so that nothing is shared out
    return Start(
        model=model,
        scaling=scaling,
        shares=_shares(model, scaling, config),
        batches=batches,
        validation=_validation_batches(splits.validation, scaling, experiment, validating, segment),
        segment=segment,
    )


def _check_sharding(model: Model, ranks: Ranks) -> None:
    """Refuse to share out weights among nobody, or of what is not run frame by frame."""
    if ranks.count == 1:
        raise UserError(
            "training.shard_weights shares the weights out among several processes, and there is "
            "one: set training.devices, or leave it out"
        )
    if not isinstance(model, Forecaster) or isinstance(model, Recogniser):
        raise UserError("training.shard_weights is for networks that forecast: leave it out")


def _check_last_batch(batches: Batches) -> None:
    """Refuse a batch of which some processes would have no windows, and run no layer."""
    windows, count = len(batches.order), batches.ranks.count
    left = windows % batches.size
    if 0 < left < count:
        raise UserError(
            f"the last batch of an epoch has {left} of {windows} windows, and leaves nothing to "
            f"some of {count} processes, which training.shard_weights does not allow: set "
            f"data.windows_per_epoch {windows - left}, or another training.batch_size"
        )


def _check_time_parallel(model: Model, experiment: Experiment) -> None:
    """Refuse to share the time of windows where more is to be told than states at their ends."""
    config = experiment.model
    layers = [name for name in layer_names() if layer_entry(name).time_parallel]
    if not isinstance(model, Forecaster) or isinstance(model, Recogniser):
        raise UserError(
            "training.time_parallel is for networks that forecast, whose loss is a sum over time: "
            "leave it out"
        )
    if not model.recurrences.time_parallel:
        raise UserError(
            f"training.time_parallel is for layers whose state is linear in the one before "
            f"({', '.join(layers)}), so that segments of time can be put together; {config.layer} "
            "runs step by step: leave it out, or choose one of these"
        )
    if config.dropout:
        raise UserError(
            f"model.dropout {config.dropout} draws numbers for all of a window, which "
            "training.time_parallel has in no process: set it to 0, or leave time_parallel out"
        )


def _check_ranks(experiment: Experiment, ranks: Ranks) -> None:
    """Refuse several processes where the loss of a batch is no sum over its windows."""
    if ranks.count > 1 and (experiment.tokenises or experiment.imagines):
        kind = "tokeniser" if experiment.tokenises else "world model"
        raise UserError(f"a {kind} is trained by one process: leave training.devices out")


def _prepare_world(
    experiment: Experiment, splits: Splits, ranks: Ranks, device: torch.device
) -> Start:
    """Build a world model, whose windows are those of codes.

    Processes that read ahead are many, and have no part of a GPU each.
    """
    torch.manual_seed(experiment.training.seed)
    begun = begin_world(experiment, splits, CPU if experiment.data.workers else device)
    if experiment.training.init is not None:
        inherit_all(begun.model, begun.frames.spec, experiment.training.init)
    return Start(
        model=begun.model,
        scaling=begun.frames,
        shares=torch.ones(begun.model.terms),
        batches=_batches(begun.splits.train, begun.codes, experiment, ranks),
        validation=_validation_batches(begun.splits.validation, begun.codes, experiment, ranks),
    )


def _check_padding(padding: str, frames: Frames) -> None:
    """Refuse a sphere on a grid whose coordinates say that it is none, or another."""
    grid = find_grid(frames)
    told = grid.name not in ("unlabelled", "periodic")
    if padding in SPHERES and told and grid.padding != padding:
        raise UserError(
            f"{frames.source}: model.padding {padding} does not suit its grid ({grid.name}: "
            f"{grid.evidence}): choose --model.padding {grid.padding}"
        )


def _tell_of_vectors(experiment: Experiment, spec: FrameSpec) -> None:
    """Warn of speeds that may be components of vectors, and of vectors that change nothing."""
    reads_frames = experiment.model.encoder in ("pyramid", "strided")
    if experiment.model.padding not in SPHERES or not reads_frames:
        if experiment.data.vectors:
            warnings.warn(
                f"data.vectors {', '.join(experiment.data.vectors)} changes nothing: vectors "
                "change sign where a convolution crosses a pole, which takes model.padding sphere "
                "and model.encoder pyramid or strided",
                stacklevel=2,
            )
        return
    names = [c.name for c in spec.channels if c.units in SPEEDS and c.name not in spec.vectors]
    if names and experiment.data.vectors is None:
        warnings.warn(
            f"{', '.join(names)}: these are speeds, and read as scalars. If they are components of "
            "vectors, which change sign across a pole, name them: --data.vectors "
            f"'[{', '.join(names)}]'; or say that none is: --data.vectors '[]'",
            stacklevel=2,
        )


def _make_model(experiment: Experiment, scaling: Scaling, train: Frames) -> Model:
    """Build the network, once it is known that its training fits into memory."""
    if experiment.tokenises:
        _check_frames_alone(scaling, train)

    def make() -> Model:
        if experiment.tokenises:
            channels = len(scaling.spec.channels)
            return Tokeniser(TokeniserSpec(experiment.tokeniser, channels, train.grid))
        return make_network(experiment.model, Ports.of(scaling.spec), train.grid)

    weight_shapes(make, "training the network", TRAINING_COPIES)
    return make()


def _check_frames_alone(scaling: Scaling, train: Frames) -> None:
    """Refuse what a tokeniser does not read."""
    others = [c.name for c in scaling.spec.channels if c.role != "prognostic"]
    others += [*scaling.spec.derived, *scaling.spec.derived_static]
    others += [channel.name for channel in scaling.spec.static]
    if others or any(scaling.statistics.gaps):
        what = f"no {', '.join(others)}" if others else "frames of which all is known"
        raise UserError(f"{train.source}: a tokeniser reads {what}: leave the rest out of data")


def _perceptual(config: TokeniserConfig, train: Frames) -> Perceptual | None:
    """What measures perceptual distance, by weights that are not trained; None if none counts."""
    if not config.perceptual:
        return None
    folder = fetched("lpips")
    if folder is None or min(train.grid) < SMALLEST:
        raise UserError(
            f"tokeniser.perceptual {config.perceptual} needs the weights of LPIPS (framecast fetch "
            f"lpips), and frames of at least {SMALLEST}×{SMALLEST}: give these, or set it to 0"
        )
    network = Lpips.load(folder)
    return lambda made, frames: network.to(made.device)(made, frames)


def _check_batch(frames: Frames, windows: int, config: TrainingConfig) -> None:
    """Raise a UserError if the frames of a batch alone would not fit into memory."""
    forecasts = min(config.batch_size, windows) * config.members
    values = forecasts * config.window * math.prod(frames.values.shape[2:])
    check_memory(
        4 * values,
        f"a batch of {min(config.batch_size, windows)} windows of {config.window} frames",
        "Choose a smaller training.batch_size, training.context or training.horizon.",
    )


def _class_weights(classes: Sequence[str], config: TrainingConfig) -> Tensor:
    """By how much each class counts in the cross-entropy, [K]."""
    for name in config.class_weights:
        if name not in classes:
            raise UserError(
                f"training.class_weights names {name}{nearest(name, classes)}, but the classes are "
                f"{', '.join(classes)}"
            )
    return torch.tensor([config.class_weights.get(name, 1.0) for name in classes])


def _shares(model: Model, scaling: Scaling, config: TrainingConfig) -> Tensor:
    """Weight of each term of the loss, [V]: that of each predicted variable."""
    if isinstance(model, Recogniser | Tokeniser):
        return torch.ones(model.terms)
    names = [channel.name for channel in scaling.spec.predicted]
    for name in config.variable_weights:
        if name not in names:
            raise UserError(
                f"training.variable_weights names {name}, but predicted are {', '.join(names)}"
            )
    shares = torch.tensor([config.variable_weights.get(name, 1.0) for name in names])
    if not shares.any():
        raise UserError(
            "training.variable_weights leaves nothing to learn: all of "
            f"{', '.join(names)} have a weight of 0"
        )
    return shares


def _check_mixture(frames: Frames, chunks: Chunks, length: int) -> None:
    """Refuse chunks of which too few fit into memory, and warn where few are mixed."""
    frame = 4 * math.prod(frames.values.shape[2:])
    if chunks.cost(length) <= DEAR:
        return
    mixed, size = mixed_at_once(chunks, length, frame)
    stored = f"{frames.source} is stored in chunks of {chunks.frames:.0f} frames"
    remedy = "--data.cache true rewrites it once, in chunks of a frame or a few"
    size = min(size, sum(frames.lengths) * frame)
    check_memory(size, f"{stored}: mixing the windows of {mixed} runs of them", f"{remedy}.")
    if mixed < MIXED:
        warnings.warn(
            f"{stored}, so large that windows are drawn from {mixed} places at a time: those of "
            f"a batch resemble one another, and training may be noisier. {remedy}",
            stacklevel=2,
        )


def _batches(
    frames: Frames,
    scaling: Scaling,
    experiment: Experiment,
    ranks: Ranks,
    segment: Segment | None = None,
) -> Batches:
    data, config = experiment.data, experiment.training
    chunks = chunks_of(frames.values)
    if chunks is not None:
        _check_mixture(frames, chunks, config.window)
    sampler = CropSampler(
        frames.pieces,
        config.window,
        per_sequence=data.crops_per_sequence,
        seed=config.seed,
        most=data.windows_per_epoch,
        allowed=_allowed(frames, scaling, experiment),
        chunks=chunks,
        frame=4 * math.prod(frames.values.shape[2:]),
    )
    if not len(sampler):
        raise UserError(
            f"{frames.source}: no window of {config.window} frames has targets that are known to "
            f"{data.known_fraction:g} (data.known_fraction): lower it, or choose a shorter window"
        )
    _check_batch(frames, len(sampler), config)
    windows = _windows(frames, scaling, config, segment)
    return Batches(windows, sampler, config.batch_size, ranks=ranks)


def _validation_batches(
    frames: Frames | None,
    scaling: Scaling,
    experiment: Experiment,
    ranks: Ranks,
    segment: Segment | None = None,
) -> Batches | None:
    if frames is None:
        return None
    data, config = experiment.data, experiment.training
    allowed = _allowed(frames, scaling, experiment)
    places = side_by_side(frames, config.window, allowed)
    if not places:
        raise UserError(
            f"{frames.source}: no window of the validation part has targets that are known to "
            f"{data.known_fraction:g} (data.known_fraction)"
        )
    windows = _windows(frames, scaling, config, segment)
    most = min(VALIDATION_FRAMES, VALIDATION_VALUES // math.prod(frames.values.shape[2:]))
    size = max(config.batch_size, most // (config.window * config.members))
    return Batches(windows, places, size, ranks=ranks, whole=True)


def _windows(
    frames: Frames, scaling: Scaling, config: TrainingConfig, segment: Segment | None
) -> Windows:
    part = None if segment is None else segment.frames
    return Windows(frames, scaling, config.window, config.area_weights, config.context, part)


def _allowed(frames: Frames, scaling: Scaling, experiment: Experiment) -> Any:
    """Where windows may begin, by what is known of their targets (see `allowed_starts`)."""
    config, gaps = experiment.training, any(scaling.statistics.gaps)
    fraction = experiment.data.known_fraction
    return allowed_starts(frames, config.window, config.context, fraction, gaps)
