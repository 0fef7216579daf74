"""The run folder: its files, its configuration, and the data that it was trained on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from framecast.base.errors import UserError
from framecast.base.texts import read_yaml
from framecast.base.whole import PathLike
from framecast.datasets.config import DataConfig
from framecast.datasets.files import Files
from framecast.datasets.source import Source
from framecast.readers.selection import Selection
from framecast.runs.compat import upgrade_config

CONFIG = "config.yaml"


def read_config(run: Path) -> dict[str, Any]:
    """Return the configuration of a run as plain values, under today's names.

    Raises:
        UserError: if the folder is no run, or its configuration cannot be read.
    """
    file = run / CONFIG
    if not file.exists():
        raise UserError(f"{run} is not a run folder: it has no {CONFIG}")
    config = read_yaml(file)
    if not isinstance(config, dict):
        raise UserError(f"{file} does not hold keys and values: it is not a run's configuration")
    for section, keys in config.items():
        if not isinstance(keys, dict):
            raise UserError(f"{file}: {section} must hold keys and values, not {keys!r}")
    return upgrade_config(config)


def data_of(config: Mapping[str, Any], run: Path, cache: bool = False) -> DataConfig:
    """Return the data that a run was trained on.

    Args:
        config: of the run.
        run: its folder.
        cache: whether they are read through the cache, whatever the run says itself.

    Raises:
        UserError: if its configuration does not say, or such data are not read through the cache.
    """
    try:
        data = DataConfig(**config.get("data", {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"{run / CONFIG}: data: {error}") from error
    try:
        return replace(data, cache=True) if cache else data
    except ValueError as error:
        raise UserError(
            f"--cache is for files, and {run} learned from data.source {data.source}: leave it out"
        ) from error


def source_of(run: PathLike, cache: bool = False) -> Source:
    """Return what reads frames of the kind that a run was trained on.

    A checkpoint file alone does not say: files are then read as they come.

    Args:
        run: a folder, or a checkpoint.
        cache: whether they are read through the cache, whatever the run says itself.

    Raises:
        UserError: as `data_of`.
    """
    path = Path(run)
    if not (path / CONFIG).exists():
        return Files(selection=Selection(cache=cache))
    return data_of(read_config(path), path, cache).open()
