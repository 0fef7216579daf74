"""A training run and its folder, from a configuration to a trained network."""

from dataclasses import replace
from pathlib import Path

import torch
import yaml

from framecast.base.claim import PathLike, claim
from framecast.base.errors import UserError
from framecast.frames.splits import Splits
from framecast.frames.windows import check_length
from framecast.runs.config import Experiment, TrainingConfig
from framecast.runs.device import choose_device
from framecast.train.folder import check_data, check_new, check_same, create, find_config
from framecast.train.precision import resolve_precision
from framecast.train.start import prepare
from framecast.train.state import RunState, read_state


def train(
    experiment: Experiment, out: PathLike, resume: bool = False, device: str = "auto"
) -> Path:
    """Train a forecaster into a new run folder, or go on with one that was stopped.

    The folder holds config.yaml, best.safetensors and last.safetensors (the weights of the
    best and of the last epoch, with all that a forecast needs), log.csv, tensorboard/,
    data.json (fingerprint of the data), environment.json, and resume.ckpt. A run that is finished
    is left as it is.

    Args:
        experiment: data, network and training.
        out: the run folder.
        resume: go on from what was saved last in `out`, as if never stopped.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Returns:
        The run folder.

    Raises:
        UserError: if `out` exists (or, with `resume`, does not exist or was made with
            another configuration or other data), another process trains it, the data do not
            fit, or training fails.
        StoppedError: if a signal asked the run to stop, which has saved what it reached.
    """
    chosen = choose_device(device)
    with claim(out) as folder:
        state = read_state(find_config(folder).parent) if resume else None
        if state is None:
            check_new(folder)
        experiment = _with_precision(experiment, state, chosen)
        if state is not None:
            check_same(folder, experiment, state)
        _check_window(experiment)
        splits = experiment.data.open().splits()
        _check_data(splits, experiment.training)
        from framecast.train.loop import fit  # Lightning takes seconds to import

        start = prepare(experiment, splits)
        if state is None:
            state = create(folder, experiment, splits, chosen)
        else:
            check_data(folder, experiment, splits)
        fit(experiment, start, folder, state, chosen)
    return Path(out)


def _with_precision(
    experiment: Experiment, state: RunState | None, device: torch.device
) -> Experiment:
    """Decide an automatic precision when a run begins; keep it when it is resumed."""
    training = experiment.training
    if state is not None and training.precision == "auto":
        precision = yaml.safe_load(state.config)["training"]["precision"]
    else:
        precision = resolve_precision(training.precision, device)
    return replace(experiment, training=replace(training, precision=precision))


def _check_window(experiment: Experiment) -> None:
    """Refuse windows that are not those which the sequences of a data set are made for."""
    data, config = experiment.data, experiment.training
    made, asked = data.open().window, (config.context, config.horizon)
    if made is not None and made != asked:
        raise UserError(
            f"data.source {data.source} makes sequences of {made[0]} given frames and {made[1]} to "
            f"predict, but training.context is {asked[0]} and training.horizon {asked[1]}: set "
            f"these to {made[0]} and {made[1]}, or change the sequences (data.options.frames, "
            "data.options.targets)"
        )


def _check_data(splits: Splits, config: TrainingConfig) -> None:
    for part in (splits.train, splits.validation):
        if part is not None:
            check_length(part, config.window)
    if config.reads_plateaus and splits.validation is None:
        decays = ("teacher_forcing_decay", "prediction_weight_decay")
        follows = [name for name in decays if getattr(config, name)]
        name = "schedule" if config.schedule in ("plateau", "staircase") else follows[0]
        raise UserError(
            f"training.{name} {getattr(config, name)} follows the validation loss, but there are "
            "no validation frames: set data.validation_fraction above 0 (or the setting of the "
            "source for it, in data.options), or leave it out"
        )
