"""What older versions wrote, read as if this one had: the only place that knows of them."""

from collections.abc import Mapping
from typing import Any

from framecast.models.config import renamed_model
from framecast.runs.config import TrainingConfig

_STATISTICS = {"mean": "offset", "std": "scale"}
"""Names of statistics in the first checkpoints, which were always normalised by these two."""


def upgrade_header(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint's header says in today's form.

    The first form had one list of channels, all read and predicted, and no name of a form.
    """
    if described.get("format", 1) >= 2:
        return dict(described)
    frames = described["frames"]
    new: dict[str, Any] = {"static": (), "bounds": {}}
    ports = {"prognostic": len(frames["channels"]), "flags": ()}
    model = renamed_model(described["model"])
    return {
        **described,
        "frames": {**new, **frames},
        "model": {"config": model, "ports": ports, "grid": frames["grid"]},
    }


def upgrade_statistics(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return statistics under today's names."""
    return {_STATISTICS.get(name, name): values for name, values in tensors.items()}


def upgrade_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run under today's names of keys."""
    training = {
        TrainingConfig.RENAMED.get(key, key): value
        for key, value in config.get("training", {}).items()
    }
    if training.get("schedule") == "decay":
        training["schedule"] = "staircase"
    model = renamed_model(config.get("model", {}))
    return {**config, "model": model, "training": training}
