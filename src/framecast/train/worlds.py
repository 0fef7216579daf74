"""What the run of a world model begins with: a tokeniser of another run, and its codes."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from framecast.base.errors import UserError
from framecast.frames.frames import Frames
from framecast.frames.roles import FrameSpec
from framecast.frames.scaling import Scaling
from framecast.frames.splits import Splits
from framecast.models import Tokeniser
from framecast.models.coding import CodeReader, as_codes, code_statistics
from framecast.models.size import TRAINING_COPIES, weight_shapes
from framecast.models.world import World
from framecast.models.world_config import WorldSpec
from framecast.runs.checkpoint import Saved, load_saved
from framecast.runs.experiment import Experiment


@dataclass(frozen=True, eq=False)
class Begun:
    """A world model, and the codes that it learns from.

    Attributes:
        model: with its first weights, and those of the tokeniser.
        frames: how frames become what the tokeniser reads.
        codes: how codes become what the model reads.
        splits: the parts of the data, as codes.
    """

    model: World
    frames: Scaling
    codes: Scaling
    splits: Splits


def begin_world(experiment: Experiment, splits: Splits, device: torch.device) -> Begun:
    """Build a world model, and let its data be read as codes.

    Args:
        experiment: the configuration.
        splits: the parts of the data, as frames.
        device: that frames are encoded on.

    Raises:
        UserError: if `world.tokeniser` is no run of a tokeniser, the frames are not those that it
            knows, or the options of the model contradict each other.
    """
    name = experiment.world.tokeniser
    assert name is not None
    saved = load_saved(name)
    if not isinstance(saved.model, Tokeniser):
        raise UserError(f"world.tokeniser {name} is a {saved.model.kind}, and no tokeniser")
    model = saved.model.to(device)
    readers = [None if part is None else _reader(part, saved, model) for part in splits]
    _tell_of_encoding(readers[:2])  # the test part is not read
    parts = [None if reader is None else as_codes(reader) for reader in readers]
    train = parts[0]
    assert train is not None
    spec = FrameSpec.of(train)
    if experiment.world.inputs is not None and not spec.actions:
        raise UserError(
            f"world.inputs {experiment.world.inputs} keeps frames back where actions are told, and "
            "the data have none: set it to null"
        )
    known = experiment.data.describe(splits.train, saved.statistics)
    return Begun(
        model=_make(experiment, model, spec.actions),
        frames=Scaling(known, saved.statistics),
        codes=Scaling(spec, code_statistics(train.grid)),
        splits=Splits(train, parts[1], parts[2]),
    )


def _reader(frames: Frames, saved: Saved, tokeniser: Tokeniser) -> CodeReader:
    """What reads frames as codes, once they are known to be those that the tokeniser reads."""
    spec = saved.frames
    if frames.names != spec.names or frames.grid != spec.grid:
        raise UserError(
            f"{frames.source} has {', '.join(frames.names)} on {frames.grid[0]}×{frames.grid[1]}, "
            f"but the tokeniser reads {', '.join(spec.names)} on {spec.grid[0]}×{spec.grid[1]}"
        )
    saved.check_units(frames)
    return CodeReader(frames, tokeniser, saved.scaling.normalise)


def _tell_of_encoding(readers: Sequence[CodeReader | None]) -> None:
    """Say that the first epoch will be slower, where it has frames to encode."""
    if missing := sum(reader.missing for reader in readers if reader is not None):
        print(
            f"{missing} sequences are encoded when they are first read, and kept in the cache: "
            "until then training is slower",
            file=sys.stderr,
        )


def _make(experiment: Experiment, tokeniser: Tokeniser, actions: int) -> World:
    """Build the model, once it is known that its training fits into memory."""
    spec = WorldSpec(
        config=experiment.world,
        memory=experiment.model,
        tokeniser=tokeniser.spec,
        fingerprint=tokeniser.fingerprint(),
        actions=actions,
    )
    try:
        weight_shapes(lambda: World(spec), "training the world model", TRAINING_COPIES)
        model = World(spec)
    except ValueError as error:
        raise UserError(f"the world model cannot be built: {error}") from error
    model.take(tokeniser)
    return model
