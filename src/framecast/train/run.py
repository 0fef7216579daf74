"""A training run and its folder, from a configuration to a trained network."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from framecast.base.config import dump_config, load_config
from framecast.base.errors import UserError
from framecast.base.whole import PathLike, write_text
from framecast.frames.splits import Splits
from framecast.frames.windows import check_length
from framecast.runs.config import Experiment, TrainingConfig
from framecast.runs.device import choose_device
from framecast.runs.environment import describe_run
from framecast.train.precision import resolve_precision


def train(
    experiment: Experiment, out: PathLike, resume: bool = False, device: str = "auto"
) -> Path:
    """Train a forecaster into a new run folder, or go on with one that was stopped.

    The folder holds config.yaml, best.safetensors and last.safetensors (the weights of the
    best and of the last epoch, with all that a forecast needs), log.csv, tensorboard/,
    data.json (fingerprint of the data), environment.json, and resume.ckpt.

    Args:
        experiment: data, network and training.
        out: the run folder.
        resume: go on from the last whole epoch in `out`, as if never stopped.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Returns:
        The run folder.

    Raises:
        UserError: if `out` exists (or, with `resume`, does not exist or was made with
            another configuration or other data), the data do not fit, or training fails.
    """
    out = Path(out)
    if out.exists() and not resume:
        raise UserError(
            f"{out} exists already: choose another --out, or add --resume to go on with that run"
        )
    chosen = choose_device(device)
    experiment = _with_precision(experiment, out, resume, chosen)
    splits = experiment.data.open().splits()
    _check_data(splits, experiment.training)
    from framecast.train.loop import fit, prepare  # Lightning takes seconds to import

    start = prepare(experiment, splits)
    if resume:
        _check_same(out, experiment, splits)
    else:
        _create(out, experiment, splits, chosen)
    fit(experiment, start, out, resume, chosen)
    return out


def _with_precision(
    experiment: Experiment, out: Path, resume: bool, device: torch.device
) -> Experiment:
    """Decide an automatic precision when a run begins; keep it when it is resumed."""
    training = experiment.training
    if resume and training.precision == "auto":
        precision = load_config(Experiment, find_config(out)).training.precision
    else:
        precision = resolve_precision(training.precision, device)
    return replace(experiment, training=replace(training, precision=precision))


def _check_data(splits: Splits, config: TrainingConfig) -> None:
    for part in (splits.train, splits.validation):
        if part is not None:
            check_length(part, config.window)
    if config.reads_plateaus and splits.validation is None:
        name = (
            "schedule" if config.schedule in ("plateau", "staircase") else "teacher_forcing_decay"
        )
        raise UserError(
            f"training.{name} {getattr(config, name)} follows the validation loss, but there are "
            "no validation frames: set data.validation_fraction above 0 (or the setting of the "
            "source for it, in data.options), or leave it out"
        )


def find_config(out: Path) -> Path:
    """Return the file with the resolved configuration of a run.

    Raises:
        UserError: if `out` is not a run folder.
    """
    if not (out / "config.yaml").exists():
        raise UserError(f"{out} is not a run folder: it has no config.yaml")
    return out / "config.yaml"


def _create(out: Path, experiment: Experiment, splits: Splits, device: torch.device) -> None:
    out.mkdir(parents=True)
    write_text(out / "data.json", _describe_data(splits))
    write_text(out / "environment.json", json.dumps(describe_run(device), indent=2) + "\n")
    write_text(out / "config.yaml", dump_config(experiment))


def _check_same(out: Path, experiment: Experiment, splits: Splits) -> None:
    if dump_config(load_config(Experiment, find_config(out))) != dump_config(experiment):
        raise UserError(
            f"{out} was begun with another configuration: resume it with "
            f"framecast train --resume --out {out} and nothing else"
        )
    if (out / "data.json").read_text() != _describe_data(splits):
        raise UserError(
            f"the data of {experiment.data.open()} have changed since {out} was begun (its "
            "data.json says what they were): a resumed run needs the same"
        )


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
