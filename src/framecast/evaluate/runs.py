"""The runs to compare, and the frames to compare them on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.datasets.config import DataConfig
from framecast.datasets.source import Source
from framecast.frames.frames import Channel, Frames
from framecast.models.cost import multiplications
from framecast.runs.checkpoint import Checkpoint, load_checkpoint


@dataclass(frozen=True, eq=False)
class Run:
    """A run of training, read from its folder.

    Attributes:
        path: the folder.
        config: all of its config.yaml.
        checkpoint: its best weights.
    """

    path: Path
    config: Mapping[str, Any]
    checkpoint: Checkpoint

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.config.get("training", {}).get("seed", 0))

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.checkpoint.model.parameters())

    @property
    def multiplications(self) -> int:
        """Number of multiplications for one predicted frame (see `models.cost`)."""
        return multiplications(self.checkpoint.model, *self.checkpoint.frames.grid)

    @property
    def data(self) -> DataConfig:
        """The data that it was trained on."""
        try:
            return DataConfig(**self.config.get("data", {}))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.path / 'config.yaml'}: data: {error}") from error


def load_runs(paths: Sequence[PathLike]) -> list[Run]:
    """Read run folders.

    Raises:
        UserError: if there is none, one is not a run folder, two are alike in configuration
            and seed, or their channels or units differ.
    """
    if not paths:
        raise UserError("no run to evaluate: name one or more run folders")
    runs = [Run(path, _read_config(path), load_checkpoint(path)) for path in map(Path, paths)]
    for place, run in enumerate(runs):
        for other in runs[:place]:
            _check_pair(other, run)
    return runs


def _read_config(run: Path) -> dict[str, Any]:
    file = run / "config.yaml"
    if not file.exists():
        raise UserError(f"{run} is not a run folder: it has no config.yaml")
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{file} does not hold keys and values: it is not a run's configuration")
    return config


def _check_pair(first: Run, second: Run) -> None:
    if first.config == second.config:
        raise UserError(
            f"{first.path} and {second.path} have the same configuration and seed: name one of "
            "them (a spread needs runs of several seeds)"
        )
    ours, theirs = (_with_units(run.checkpoint.frames.channels) for run in (first, second))
    if ours != theirs:
        raise UserError(
            f"{first.path} forecasts {', '.join(ours)}, but {second.path} forecasts "
            f"{', '.join(theirs)}: they cannot be compared; evaluate them apart"
        )


def _with_units(channels: Sequence[Channel]) -> list[str]:
    return [f"{c.name} [{c.units or 'no units'}]" for c in channels]


def test_frames(runs: Sequence[Run], data: PathLike | None) -> Frames:
    """Read the frames to evaluate on: those at `data`, or the test part of the runs' own.

    Raises:
        UserError: if there are none, or the runs were trained on different data.
    """
    if data is not None:
        spec = runs[0].checkpoint.frames
        source = runs[0].data.open()
        return source.read(Path(data), spec.names, spec.grid, spec.rate)
    source = _common_source(runs)
    try:
        test = source.test()
    except UserError as error:
        raise UserError(
            f"{runs[0].path}: the data that it was trained on cannot be read. {error}. Or name "
            "other data with --data"
        ) from error
    if test is None:
        raise UserError(
            f"{runs[0].path} was trained on data without a test part (data.test_fraction 0, or no "
            "file named test): name other data with --data"
        )
    return test


def _common_source(runs: Sequence[Run]) -> Source:
    sources = [run.data.open() for run in runs]
    for run, source in zip(runs, sources, strict=True):
        if source != sources[0]:
            raise UserError(
                f"{runs[0].path} and {run.path} were trained on different data ({sources[0]} and "
                f"{source}): name data for both with --data"
            )
    return sources[0]


def check_frames(frames: Frames, runs: Sequence[Run], context: int, steps: int) -> None:
    """Raise a UserError if the frames do not suit the runs, or are too few for a window."""
    for name, value in (("context", context), ("steps", steps)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    for run in runs:
        run.checkpoint.check(frames)
    if frames.length < context + steps:
        raise UserError(
            f"{frames.source}: the sequences to evaluate on have {frames.length} frames, too few "
            f"for {context} given and {steps} forecast frames: choose a smaller --context or "
            "--steps, or name longer data with --data"
        )
