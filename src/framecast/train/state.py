"""What a run has reached: one file decides, from which the run goes on as if never stopped.

resume.ckpt stands from the moment at which the run folder does. Weights are saved before it and the
log after it, so that a process may be killed anywhere between: what came before is done again, with
the same result, and what comes after follows from it.
"""

import math
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from framecast.base.errors import UserError
from framecast.base.texts import parse_yaml
from framecast.base.whole import whole
from framecast.models.losses import Losses
from framecast.models.model import Model
from framecast.train.sharding import share_like

RESUME = "resume.ckpt"
Row = dict[str, float | int]


@dataclass
class EpochSums:
    """What an epoch has come to so far.

    Attributes:
        steps: of the optimiser.
        samples: windows learned from.
        total: sums of the losses; None before the first step.
        last: loss of the last step.
        seconds: spent on it, by processes before this one.
    """

    steps: int = 0
    samples: int = 0
    total: Losses | None = None
    last: Tensor | None = None
    seconds: float = 0.0

    def count(self, loss: Losses, shares: Tensor, samples: int) -> None:
        """Add a step of the optimiser."""
        self.total = loss if self.total is None else self.total + loss
        self.last = loss.mean(shares)
        self.samples += samples
        self.steps += 1


@dataclass
class RunState:
    """What a run has reached.

    Attributes:
        config: its configuration, as YAML.
        rows: of the whole epochs: what log.csv holds.
        best: lowest loss so far.
        epoch: the epoch at hand.
        model: weights; None before the first step was saved.
        optimiser: state of the optimiser; None likewise.
    """

    config: str
    rows: list[Row] = field(default_factory=list)
    best: float = math.inf
    epoch: EpochSums = field(default_factory=EpochSums)
    model: dict[str, Tensor] | None = None
    optimiser: dict[str, Any] | None = None

    def save(self, folder: Path) -> None:
        """Write the file, whole or not at all."""
        epoch = vars(self.epoch) | {"total": self.epoch.total and tuple(self.epoch.total)}
        content = vars(self) | {"format": FORMAT, "epoch": epoch}
        with whole(folder / RESUME) as partial, partial.open("wb") as file:
            torch.save(content, file)

    def put_into(self, model: Model, optimiser: Optimizer, file: Path) -> None:
        """Give a model and its optimiser what they had reached.

        Raises:
            UserError: if the file that the state was read from does not fit them.
        """
        if self.model is None or self.optimiser is None:
            return
        _check_tensors(self.model, model.state_dict(), file, "model")
        parameters = dict(enumerate(p for g in optimiser.param_groups for p in g["params"]))
        for place, held in self.optimiser["state"].items():
            expected = {n: parameters.get(place) for n in ("exp_avg", "exp_avg_sq")}
            _check_tensors(held, expected | {"step": torch.zeros(())}, file, f"optimiser {place}")
        model.load_state_dict(share_like(self.model, model.state_dict()))
        moments = {
            place: share_like(held, dict.fromkeys(("exp_avg", "exp_avg_sq"), parameters[place]))
            for place, held in self.optimiser["state"].items()
        }
        try:
            optimiser.load_state_dict({**self.optimiser, "state": moments})
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(file, f"optimiser: {error}") from error


FORMAT = 3
_KINDS: dict[str, Any] = {
    "config": str,
    "rows": list,
    "best": float,
    "epoch": dict,
    "model": (dict, type(None)),
    "optimiser": (dict, type(None)),
}
"""The types of what the file holds, by key."""
_EPOCH_KINDS: dict[str, Any] = {
    "steps": int,
    "samples": int,
    "total": (tuple, type(None)),
    "last": (Tensor, type(None)),
    "seconds": float,
}


def read_state(folder: Path) -> RunState:
    """Read what a run has reached, once it is known to hold tensors and numbers only.

    Raises:
        UserError: if the file is missing, damaged, or of another version, or would run code.
    """
    file = folder / RESUME
    if not file.is_file():
        raise UserError(
            f"{file} is missing, which says what the run has reached: it cannot be resumed. Its "
            f"weights can be used as they are; a new run can start from them (--training.init "
            f"{folder})"
        )
    content = _load(file)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(
            f"{file} was written by another version of framecast: finish the run with that one. "
            "Its weights can be used as they are"
        )
    _check_kinds(content, _KINDS, file)
    _check_kinds(content["epoch"], _EPOCH_KINDS, file, "epoch.")
    if not isinstance(parse_yaml(content["config"], file), dict):
        raise _damaged(file, "config is no configuration")
    _check_rows(content["rows"], file)
    _check_optimiser(content["optimiser"], file)
    epoch = dict(content["epoch"])
    epoch["total"] = _losses(epoch["total"], file)
    known = {key: content[key] for key in _KINDS if key != "epoch"}
    return RunState(**known, epoch=EpochSums(**epoch))


def _load(file: Path) -> Any:
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > file.stat().st_size:
                raise _damaged(file, "its parts are compressed")
        return torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file} holds objects that could run code when they are read, and was not read: "
            "without it the run cannot be resumed"
        ) from error
    except Exception as error:  # a damaged archive fails in any of its readers
        raise _damaged(file, "truncated?") from error


def _check_kinds(
    content: Mapping[str, Any], kinds: Mapping[str, Any], file: Path, prefix: str = ""
) -> None:
    for key, kind in kinds.items():
        if key not in content:
            raise _damaged(file, f"{prefix}{key} is missing")
        if not isinstance(content[key], kind):
            raise _damaged(file, f"{prefix}{key} is {type(content[key]).__name__}")


def _check_rows(rows: list[Any], file: Path) -> None:
    for place, row in enumerate(rows, start=1):
        numbers = isinstance(row, dict) and all(isinstance(v, int | float) for v in row.values())
        if not numbers or not {"epoch", "step", "train_loss", "learning_rate"} <= row.keys():
            raise _damaged(file, f"rows: epoch {place} is not a row of the log")


def _check_optimiser(optimiser: Mapping[str, Any] | None, file: Path) -> None:
    if optimiser is None:
        return
    _check_kinds(optimiser, {"state": dict, "param_groups": list}, file, "optimiser.")
    for place, held in optimiser["state"].items():
        if not isinstance(held, dict):
            raise _damaged(file, f"optimiser {place} is {type(held).__name__}")


def _losses(total: tuple[Any, ...] | None, file: Path) -> Losses | None:
    if total is None:
        return None
    if len(total) != 2 or not all(isinstance(part, Tensor) for part in total):
        raise _damaged(file, "epoch.total is no pair of sums and weights")
    return Losses(*total)


def _check_tensors(
    held: Mapping[str, Any], expected: Mapping[str, Any], file: Path, what: str
) -> None:
    for name, like in expected.items():
        if not isinstance(tensor := held.get(name), Tensor) or like is None:
            raise _damaged(file, f"{what}: {name} is missing, or belongs to nothing")
        if tensor.shape != like.shape:
            raise _damaged(
                file, f"{what}: {name} is {list(tensor.shape)}, expected {list(like.shape)}"
            )


def _damaged(file: Path, what: str) -> UserError:
    return UserError(
        f"{file} is damaged ({what}): the run cannot be resumed. Its weights can be used as they "
        "are"
    )
