"""The run folder: begun whole, and resumed only as what it was begun as."""

import json
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from framecast.base.config import dump_config
from framecast.base.errors import UserError
from framecast.base.texts import read_text
from framecast.base.whole import whole, write_text
from framecast.frames.splits import Splits
from framecast.runs.contents import CONFIG
from framecast.runs.environment import describe_run
from framecast.runs.experiment import Experiment
from framecast.train.state import RunState

DATA, ENVIRONMENT = "data.json", "environment.json"
FREE = ("training.devices", "training.time_parallel", "training.shard_weights", "data.path")
"""Keys that may differ where a run is resumed: they change no more than the order of sums, or say
where data lie, of which `check_data` sees that they are the same."""


def find_config(out: Path) -> Path:
    """Return the file with the resolved configuration of a run.

    Raises:
        UserError: if `out` is not a run folder.
    """
    if not (out / CONFIG).exists():
        begun = (out / DATA).exists()
        reason = (
            "it was cut off as it was begun: remove it and begin anew" if begun else "is it one?"
        )
        raise UserError(f"{out} is not a run folder: it has no {CONFIG}; {reason}")
    return out / CONFIG


def check_new(out: Path) -> None:
    """Raise a UserError if a run cannot be begun at `out`, which may be an empty folder."""
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        remedy = (
            "add --resume to go on with that run"
            if (out / CONFIG).exists()
            else f"it is no run of framecast (it has no {CONFIG}), and is left as it is"
        )
        raise UserError(f"{out} exists already: choose another --out, or {remedy}")


def create(
    out: Path, experiment: Experiment, splits: Splits, device: torch.device, processes: int = 1
) -> RunState:
    """Make a run folder that can be resumed from its first moment on."""
    state = RunState(dump_config(experiment))
    with whole(out, replaces_folder=True) as folder:
        folder.mkdir()
        write_text(folder / CONFIG, state.config)
        write_text(folder / DATA, _describe_data(splits))
        environment = json.dumps(describe_run(device, processes), indent=2) + "\n"
        write_text(folder / ENVIRONMENT, environment)
        state.save(folder)
    return state


def check_same(out: Path, experiment: Experiment, state: RunState) -> None:
    """Raise a UserError if a run was begun with another configuration; the keys are named."""
    changes = list(_changes(yaml.safe_load(state.config), asdict(experiment)))
    if changes:
        raise UserError(
            f"{out} was begun with another configuration: {'; '.join(changes)}. A run keeps its "
            f"own: give framecast train --resume --out {shlex.quote(str(out))} and nothing else, "
            f"with {CONFIG} as it was. For other settings begin a new run, which can start from "
            f"its weights: --training.init {out}"
        )


def check_data(out: Path, experiment: Experiment, splits: Splits) -> None:
    """Raise a UserError if the data are not those that a run was begun with."""
    file = out / DATA
    if not file.exists():
        raise UserError(
            f"{file} is missing, which says what data {out} was begun with: it cannot be resumed. "
            f"A new run can start from its weights: --training.init {out}"
        )
    if _but_for_place(read_text(file)) != _but_for_place(_describe_data(splits)):
        raise UserError(
            f"the data of {experiment.data.open()} have changed since {out} was begun (its "
            f"{DATA} says what they were): a resumed run needs the same"
        )


def _but_for_place(described: str) -> list[str]:
    """What data are, line by line, without where they lie."""
    return [line for line in described.splitlines() if not line.startswith('    "source": ')]


def tell_of_processes(out: Path, count: int) -> None:
    """Warn where a run goes on with another number of processes than it was begun with."""
    file = out / ENVIRONMENT
    before = json.loads(read_text(file)).get("processes", "1") if file.exists() else str(count)
    if before != str(count):
        warnings.warn(
            f"{out} was begun with {before} processes, and goes on with {count}: the same windows "
            "and noise, but sums in another order, so that the last digits may differ",
            stacklevel=2,
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in now:
        old, new, name = before.get(key), now[key], f"{prefix}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping) and not prefix:
            yield from _changes(old, new, f"{name}.")
        elif key in before and old != new and name not in FREE:
            yield f"{name} was {_shown(old)}, and is {_shown(new)} now"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _describe_data(splits: Splits) -> str:
    described = {
        name: {
            "source": frames.source,
            "shape": list(frames.values.shape),
            "channels": list(frames.names),
            "first_time": str(frames.times[0]),
            "last_time": str(frames.times[-1]),
            "fingerprint": frames.fingerprint(),
        }
        for name, frames in splits._asdict().items()
        if frames is not None
    }
    return json.dumps(described, indent=2) + "\n"
