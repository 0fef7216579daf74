"""The runs to compare, and the frames to compare them on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.datasets.config import ARRANGED, DataConfig
from framecast.datasets.source import AbsentError, Source
from framecast.forecast.ensemble import check_members
from framecast.forecast.members import Variation
from framecast.forecast.predictor import Predictor
from framecast.forecast.worlds import Dreamer
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.models import Forecaster
from framecast.models.config import ForecasterConfig
from framecast.models.cost import multiplications
from framecast.models.world import World
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import Saved, load_checkpoint, load_saved, stored_kind
from framecast.runs.contents import data_of, read_config
from framecast.runs.experiment import Experiment

MEMBERS = 8
"""Of runs that were trained as ensembles, if nothing else is said."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run of training, read from its folder.

    Attributes:
        path: the folder.
        config: all of its config.yaml.
        trained: its best weights, on a device.
        cache: whether its data are read through the cache, whatever its configuration says.
    """

    path: Path
    config: Mapping[str, Any]
    trained: Predictor | Dreamer
    cache: bool = False

    @property
    def is_world(self) -> bool:
        """Whether it is a world model."""
        return isinstance(self.trained, Dreamer)

    @property
    def predictor(self) -> Predictor:
        """Its best weights, of a forecaster."""
        assert isinstance(self.trained, Predictor)
        return self.trained

    @property
    def checkpoint(self) -> Saved:
        """Its best weights, with all that belongs to them."""
        return self.trained.saved if isinstance(self.trained, Dreamer) else self.trained.checkpoint

    @property
    def network(self) -> ForecasterConfig:
        """What runs over time: a forecaster itself, or the memory of a world model."""
        model = self.checkpoint.model
        assert isinstance(model, Forecaster | World)
        return model.spec.memory if isinstance(model, World) else model.config

    def check(self, frames: Frames) -> None:
        """Raise a UserError if frames are not like those of the training."""
        if isinstance(self.trained, Dreamer):
            self.trained.check(frames)
        else:
            self.trained.checkpoint.check(frames)

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The configuration, with defaults for keys that the version of the run did not know."""
        return {
            section: {**defaults, **self.config.get(section, {})}
            for section, defaults in asdict(Experiment()).items()
        }

    @property
    def but_for_seed(self) -> dict[str, dict[str, Any]]:
        """The settings that runs of one series share, which differ by their seed alone.

        A run may go on from the run of its own seed (`training.init SERIES/seed_N`): then all of
        them go on from that series.
        """
        settings = self.settings
        training, init = {**settings["training"], "seed": None}, settings["training"]["init"]
        if init is not None and Path(init).name == f"seed_{self.seed}":
            training["init"] = str(Path(init).parent)
        return {**settings, "training": training}

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.config.get("training", {}).get("seed", 0))

    @property
    def parameters(self) -> int:
        """Number of trained parameters; those of the tokeniser of a world model are not."""
        return self.checkpoint.parameters

    @property
    def multiplications(self) -> int:
        """Number of multiplications for one predicted frame (see `models.cost`)."""
        model = self.checkpoint.model
        assert isinstance(model, Forecaster | World)
        return multiplications(model, *self.checkpoint.frames.grid)

    @property
    def data(self) -> DataConfig:
        """The data that it was trained on."""
        return data_of(self.config, self.path, self.cache)


def load_runs(paths: Sequence[PathLike], device: str = "auto", cache: bool = False) -> list[Run]:
    """Read run folders.

    Args:
        paths: the folders.
        device: of the weights: auto, cpu, cuda, cuda:1, mps.
        cache: whether data are read through the cache, whatever the runs say themselves.

    Raises:
        UserError: if there is none, one is not a run folder, two are alike in configuration
            and seed, or what they predict differs in channels or units.
    """
    if not paths:
        raise UserError("no run to evaluate: name one or more run folders")
    runs = [Run(path, read_config(path), _ready(path, device), cache) for path in map(Path, paths)]
    for place, run in enumerate(runs):
        for other in runs[:place]:
            _check_pair(other, run)
    return runs


def _ready(path: Path, device: str) -> Predictor | Dreamer:
    """A trained model on its device."""
    if stored_kind(path) == "world":
        return Dreamer(load_saved(path), device)
    return Predictor(load_checkpoint(path), device)


def count_members(runs: Sequence[Run], members: int | None, variation: Variation) -> list[int]:
    """Return how many members each run makes: one where nothing would tell them apart.

    Args:
        runs: what is evaluated.
        members: that are asked for; None for `MEMBERS`, and for one of each world model.
        variation: by what members differ.

    Raises:
        UserError: if several are asked for and no run can make them, or nothing is random; or if
            the frames of a world model are to be perturbed.
    """
    worlds = [str(run.path) for run in runs if run.is_world]
    if worlds and variation.perturb > 0:
        raise UserError(
            f"--perturb is not for world models: the members of {worlds[0]} differ by what is "
            "drawn; leave it out"
        )
    if members is not None and members < 1:
        raise UserError(f"--members {members} must be at least 1")
    forecasters = [run for run in runs if not run.is_world]
    able = [run for run in forecasters if variation.perturb > 0 or run.predictor.reads_noise]
    if forecasters and not able and not worlds:
        models = [(run.predictor, str(run.path)) for run in forecasters[:1]]
        check_members(models, 1 if members is None else members, variation)
    many = MEMBERS if members is None else members
    return [(members or 1) if run.is_world else many if run in able else 1 for run in runs]


def check_together(runs: Sequence[Run], counts: Sequence[int]) -> int:
    """Return how many members all runs make together.

    Args:
        runs: what is evaluated.
        counts: members of each.

    Raises:
        UserError: if there is one run, or some make more members than others.
    """
    if worlds := [str(run.path) for run in runs if run.is_world]:
        raise UserError(
            f"--together is not for world models: each frame that {worlds[0]} draws is one that "
            "might be, and scored by itself; leave it out"
        )
    if len(runs) < 2:
        raise UserError(f"--together joins several runs, and there is one: {runs[0].path}")
    if len(set(counts)) > 1:
        each = ", ".join(f"{run.path} {n}" for run, n in zip(runs, counts, strict=True))
        raise UserError(
            f"--together: the runs make different numbers of members ({each}), and would not count "
            "alike: join those that read noise, or those that do not, or give --perturb SCALE"
        )
    return sum(counts)


def _check_pair(first: Run, second: Run) -> None:
    if first.settings == second.settings:
        raise UserError(
            f"{first.path} and {second.path} have the same configuration and seed: name one of "
            "them (a spread needs runs of several seeds)"
        )
    ours, theirs = (_with_units(run.checkpoint.frames.predicted) for run in (first, second))
    if ours != theirs:
        raise UserError(
            f"{first.path} forecasts {', '.join(ours)}, but {second.path} forecasts "
            f"{', '.join(theirs)}: they cannot be compared; evaluate them apart"
        )


def _with_units(channels: Sequence[Channel]) -> list[str]:
    return [f"{c.name} [{c.units or 'no units'}]" for c in channels]


def test_frames(runs: Sequence[Run], data: Paths | None) -> list[Frames]:
    """Read the frames to evaluate each run on: those at `data`, or the test part of its own.

    Runs that read the same share the frames.

    Raises:
        UserError: if there are none, or the runs were trained on different data.
    """
    _check_common(runs, data)
    known: list[tuple[Any, Frames]] = []
    found = []
    for run in runs:
        key = (run.data.open(), Selection.of(run.checkpoint.frames))
        frames = next((frames for other, frames in known if other == key), None)
        if frames is None:
            frames = _test_frames(run, data)
            known.append((key, frames))
        found.append(frames)
    return found


def _test_frames(run: Run, data: Paths | None) -> Frames:
    source = run.data.open()
    if data is not None:
        return source.read(data, replace(Selection.of(run.checkpoint.frames), anchor="first"))
    return own_test(source, run.path)


def own_test(source: Source, run: PathLike) -> Frames:
    """Read the test part of the data that a run was trained on.

    Args:
        source: of these data.
        run: for messages.

    Raises:
        UserError: if there is none, or it cannot be read; it names the option for other data.
    """
    try:
        test = source.test()
    except AbsentError as error:
        raise UserError(
            f"{run}: the data that it was trained on are not there: {error.what}. Name them, or "
            "others, with --data"
        ) from error
    except UserError as error:
        raise UserError(
            f"{run}: the data that it was trained on cannot be read. {error}. Or name other data "
            "with --data"
        ) from error
    if test is None:
        raise UserError(
            f"{run} was trained on data without a test part (data.test_fraction 0, or no "
            "file named test): name other data with --data"
        )
    return test


def training_frames(run: Run) -> Frames:
    """Read the frames that a run learned from.

    Raises:
        UserError: if they cannot be read.
    """
    try:
        return run.data.open().splits().train
    except UserError as error:
        said = error.what if isinstance(error, AbsentError) else error
        raise UserError(
            f"{run.path}: the frames that it learned from cannot be read, and tell what is usual. "
            f"{said}"
        ) from error


def _check_common(runs: Sequence[Run], data: Paths | None) -> None:
    """Raise a UserError if runs would be tested on different data; their roles may differ."""
    sources = [_without_roles(run.data) for run in runs]
    for run, source in zip(runs, sources, strict=True):
        if data is None and source != sources[0]:
            raise UserError(
                f"{runs[0].path} and {run.path} were trained on different data ({sources[0]} and "
                f"{source}): name data for both with --data"
            )


def _without_roles(data: DataConfig) -> Source:
    fields = ("source", "path", "validation_fraction", "test_fraction", "options", *ARRANGED)
    return DataConfig(**{name: getattr(data, name) for name in fields}).open()


def check_frames(frames: Sequence[Frames], runs: Sequence[Run], context: int, steps: int) -> None:
    """Raise a UserError if the frames do not suit the runs, or are too few for a window."""
    for name, value in (("context", context), ("steps", steps)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    for run, own in zip(runs, frames, strict=True):
        run.check(own)
    longest = max(map(len, frames[0].pieces))
    if longest < context + steps:
        raise UserError(
            f"{frames[0].source}: the sequences to evaluate on have {longest} frames, too few "
            f"for {context} given and {steps} forecast frames: choose a smaller --context or "
            "--steps, or name longer data with --data"
        )
