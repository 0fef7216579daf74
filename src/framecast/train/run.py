"""A training run and its folder, from a configuration to a trained network."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import yaml

from framecast.base.claim import PathLike, claim
from framecast.base.config import checked
from framecast.base.errors import UserError
from framecast.base.ranks import Mesh, Ranks, is_shared, joined, make_mesh
from framecast.frames.splits import Splits
from framecast.frames.windows import check_length
from framecast.runs.config import TrainingConfig
from framecast.runs.device import choose_device, count_devices
from framecast.runs.experiment import Experiment
from framecast.train.folder import (
    check_data,
    check_new,
    check_same,
    create,
    find_config,
    tell_of_processes,
)
from framecast.train.launch import launch
from framecast.train.precision import resolve_precision
from framecast.train.start import Start, prepare
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
            another configuration or other data), another process trains it, a key has a value of
            the wrong type, the data do not fit, or training fails.
        StoppedError: if a signal asked the run to stop, which has saved what it reached.

    Under torchrun, or with `training.devices` above 1, several processes train the same weights:
    each has a part of every batch, and the first of them writes.
    """
    experiment = checked(experiment)
    count = count_devices(experiment.training.devices, device)
    if count > 1 and not is_shared():
        return launch(experiment, Path(out), resume, device, count)
    chosen = choose_device(device)
    with joined(chosen) as ranks, _claimed(out, ranks) as folder:
        state = ranks.first_does(lambda: _reached(folder, resume))
        ranks.first_does(lambda: _check_time(experiment.training, ranks))
        mesh = make_mesh(ranks, experiment.training.time_parallel, chosen)
        experiment = ranks.first_does(lambda: _resolved(folder, experiment, state, chosen))
        begun = _without_init(experiment) if state and state.model is not None else experiment
        splits, start = ranks.all_do(lambda: _begin(begun, mesh, chosen))
        from framecast.train.loop import fit  # Lightning takes seconds to import

        state = ranks.first_does(
            lambda: _taken_up(folder, experiment, splits, state, chosen, ranks)
        )
        fit(experiment, start, folder, state, chosen, mesh)
    return Path(out)


@contextmanager
def _claimed(out: PathLike, ranks: Ranks) -> Iterator[Path]:
    """While it is open, nobody else writes into the run folder; one process holds it for all."""
    with ExitStack() as held:
        yield ranks.first_does(lambda: held.enter_context(claim(out)))


def _reached(folder: Path, resume: bool) -> RunState | None:
    """Return what a run has reached; None for a new one."""
    if resume:
        return read_state(find_config(folder).parent)
    check_new(folder)
    return None


def _resolved(
    folder: Path, experiment: Experiment, state: RunState | None, device: torch.device
) -> Experiment:
    """Decide what is left open, and refuse to go on with another configuration."""
    experiment = _with_precision(experiment, state, device)
    if state is not None:
        check_same(folder, experiment, state)
    return experiment


def _without_init(experiment: Experiment) -> Experiment:
    """Leave out the run that the weights came from, which may be gone when there are own ones."""
    return replace(experiment, training=replace(experiment.training, init=None))


def _check_time(config: TrainingConfig, ranks: Ranks) -> None:
    """Refuse processes that do not divide into groups which share the time of windows."""
    time = config.time_parallel
    if ranks.count % time:
        raise UserError(
            f"training.time_parallel {time} shares the time of each window among so many "
            f"processes, but there are {ranks.count}: set training.devices to {time} or a multiple "
            "of it, or start as many by torchrun"
        )


def _begin(experiment: Experiment, mesh: Mesh, device: torch.device) -> tuple[Splits, Start]:
    """Open the data, and build what a run begins with."""
    _check_window(experiment)
    _check_shares(experiment.training, mesh.data)
    splits = experiment.data.open().splits()
    _check_data(splits, experiment.training)
    return splits, prepare(experiment, splits, mesh, device)


def _taken_up(
    folder: Path,
    experiment: Experiment,
    splits: Splits,
    state: RunState | None,
    device: torch.device,
    ranks: Ranks,
) -> RunState:
    """Make the folder of a new run, or see that a run goes on with the data it was begun with."""
    if state is None:
        return create(folder, experiment, splits, device, ranks.count)
    check_data(folder, experiment, splits)
    tell_of_processes(folder, ranks.count)
    return state


def _check_shares(config: TrainingConfig, ranks: Ranks) -> None:
    """Refuse batches of which some processes would have nothing."""
    if config.batch_size < ranks.count:
        raise UserError(
            f"{ranks.count} processes share each batch, but training.batch_size "
            f"{config.batch_size} leaves nothing for some of them: choose {ranks.count} or more, "
            "or fewer processes"
        )


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
