"""The training loop: Fabric gives device, precision and processes, the model its losses."""

import logging
import math
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from framecast.base.errors import UserError
from framecast.base.progress import open_bar
from framecast.frames.batch import Batch
from framecast.frames.frames import Frames
from framecast.frames.scaling import Scaling
from framecast.frames.splits import Splits
from framecast.frames.statistics import Statistics
from framecast.frames.windows import CropSampler, Windows, allowed_starts, side_by_side
from framecast.models import Forecaster
from framecast.models.losses import Losses
from framecast.models.model import Model
from framecast.models.spec import Ports
from framecast.runs.config import Experiment, TrainingConfig
from framecast.train.allocator import kept_memory
from framecast.train.diagnose import first_failure
from framecast.train.journal import Journal
from framecast.train.optimise import make_optimiser
from framecast.train.recompute import recompute_layers
from framecast.train.schedules import learning_rate, plateaus, teacher_forcing

CPU = torch.device("cpu")
VALIDATION_FRAMES = 400
"""Frames in a validation step: no gradient is kept, so more fit than in training."""


@dataclass(frozen=True, eq=False)
class Training:
    """A model, and how a step of its training goes.

    Attributes:
        fabric: device, precision and processes.
        model: the network, on its device.
        config: how it is trained.
        shares: weight of each predicted variable in the loss.
        optimiser: of the model's weights.
        batches: in an epoch.
    """

    fabric: Fabric
    model: Model
    config: TrainingConfig
    shares: Tensor
    optimiser: Optimizer
    batches: int

    def learn(self, group: tuple[Batch, ...], epoch: int, index: int, forcing: float) -> Losses:
        """Make one step of the optimiser from a group of batches; return their loss.

        What is random depends on the seed and the place of a batch in the run alone, so
        that a resumed run repeats it.

        Args:
            group: batches whose gradients make the step.
            epoch: epochs done before.
            index: place of the first of the batches in the epoch.
            forcing: probability that an input after the context is the truth.
        """
        whole = sum((self.model.weigh(batch) for batch in group[1:]), self.model.weigh(group[0]))
        total: Losses | None = None
        for place, batch in enumerate(group, start=index):
            torch.manual_seed((self.config.seed << 32) + epoch * self.batches + place)
            part = self.accumulate(batch, whole, forcing)
            total = part if total is None else total + part
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        assert total is not None
        return total

    def accumulate(self, batch: Batch, whole: Tensor, forcing: float) -> Losses:
        """Add the gradients of a batch's share of the loss to those of the weights.

        Args:
            batch: windows.
            whole: weights of all batches of the step, of which this one is a part.
            forcing: probability that an input after the context is the truth.
        """
        total: Losses | None = None
        with self.fabric.autocast():
            for part in self.model.losses(batch, self.config.unrolling(forcing)):
                with torch.autocast(self.fabric.device.type, enabled=False):
                    loss = part.mean(self.shares, whole)
                    if not torch.isfinite(loss):
                        raise FailedLossError(batch)
                    self.fabric.backward(loss)
                total = part.detach() if total is None else total + part.detach()
        assert total is not None
        return total

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> Losses:
        """Return the loss of forecasts from all windows of the validation part."""
        self.model.eval()
        total: Losses | None = None
        for batch in batches:
            with self.fabric.autocast():
                loss = self.model.validate(batch, self.config.unrolling())
            if not torch.isfinite(loss.mean(self.shares)):
                raise FailedLossError(batch)
            total = loss if total is None else total + loss
        self.model.train()
        assert total is not None
        return total


class FailedLossError(Exception):
    """A loss that is no number, with the batch that gave it."""

    def __init__(self, batch: Batch) -> None:
        super().__init__("the loss became NaN or infinite")
        self.batch = batch


@dataclass(frozen=True, eq=False)
class Start:
    """All that a run begins with, once everything fits together.

    Attributes:
        model: the network, with its first weights.
        scaling: how frames become what it sees.
        shares: weight of each predicted variable in the loss.
        batches: of the training part.
        validation: of the validation part; None if there is none.
    """

    model: Forecaster
    scaling: Scaling
    shares: Tensor
    batches: DataLoader[Batch]
    validation: DataLoader[Batch] | None


def prepare(experiment: Experiment, splits: Splits) -> Start:
    """Build what a run begins with; nothing is written yet.

    Raises:
        UserError: if the data, the network and their settings do not fit together.
    """
    config, train = experiment.training, splits.train
    statistics = Statistics.of(train, experiment.data.normalise)
    torch.manual_seed(config.seed)
    try:
        scaling = Scaling(experiment.data.describe(train, statistics), statistics)
        model = Forecaster(experiment.model, Ports.of(scaling.spec), grid=train.grid)
    except ValueError as error:
        raise UserError(f"the network cannot be built: {error}") from error
    return Start(
        model=model,
        scaling=scaling,
        shares=_shares(scaling, config),
        batches=_batches(train, scaling, experiment),
        validation=_validation_batches(splits.validation, scaling, experiment),
    )


def fit(
    experiment: Experiment, start: Start, out: Path, resume: bool, device: torch.device
) -> Journal:
    """Train, writing into the run folder `out` as it goes.

    Args:
        experiment: the resolved configuration.
        start: what it begins with; without validation the training loss chooses the best epoch.
        out: the run folder.
        resume: whether to go on from the folder's last epoch.
        device: that the network is trained on.

    Returns:
        What was written: its `rows` are the log, an epoch each.

    Raises:
        UserError: if the loss becomes NaN or infinite, or the run cannot be resumed.
    """
    training = make_training(
        start.model, experiment.training, len(start.batches), start.shares, device
    )
    fabric, shares = training.fabric, training.shares
    batches: Any = fabric.setup_dataloaders(start.batches)
    validation: Any = start.validation and fabric.setup_dataloaders(start.validation)
    with Journal(out, experiment, start.scaling, shares, fabric.is_global_zero) as journal:
        if resume:
            state = _resumable(journal.resume_file)
            journal.resume(training.model, training.optimiser, state)
        with kept_memory():
            _run(training, journal, batches, validation)
    return journal


def make_training(
    model: Model,
    config: TrainingConfig,
    batches: int = 1,
    shares: Tensor | None = None,
    device: torch.device = CPU,
) -> Training:
    """Put a model into training: on its device, in its precision, with an optimiser.

    Args:
        model: the network.
        config: how it is trained.
        batches: in an epoch.
        shares: weight of each predicted variable in the loss; equal if None.
        device: that it is trained on.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # it tells what the config says
    fabric = Fabric(
        accelerator=device.type,
        devices=1 if device.type == "cpu" else [device.index or 0],
        precision="bf16-mixed" if config.precision == "bf16-mixed" else "32-true",
    )
    fabric.launch()
    fabric.to_device(model)
    if config.recompute_layers:
        recompute_layers(model)
    shares = torch.ones(model.terms) if shares is None else shares
    optimiser = make_optimiser(model, config)
    return Training(fabric, model, config, shares.to(device), optimiser, batches)


def _run(
    training: Training,
    journal: Journal,
    batches: Iterable[Batch],
    validation: Iterable[Batch] | None,
) -> None:
    """Go through the epochs that are left, until the end or until patience is lost."""
    config = training.config
    steps = math.ceil(training.batches / config.accumulate)
    with open_bar("samples/s") as bar:
        task = bar.begin("", config.epochs * steps, len(journal.rows) * steps)
        for epoch in range(len(journal.rows), config.epochs):
            journal.begin_epoch()
            forcing = teacher_forcing(journal.losses, config)
            for place, group in enumerate(_groups(batches, epoch, config.accumulate)):
                step = epoch * steps + place
                rate = learning_rate(step, config.epochs * steps, journal.losses, config)
                for parameters in training.optimiser.param_groups:
                    parameters["lr"] = rate
                with _failures_named(training, step, epoch, forcing):
                    loss = training.learn(group, epoch, place * config.accumulate, forcing)
                journal.count(loss, sum(map(len, group)))
                bar.advance(task, what=f"epoch {epoch + 1}/{config.epochs}", words=journal.words())
            with _failures_named(training, (epoch + 1) * steps - 1, epoch, 0.0):
                validated = None if validation is None else training.validate(validation)
            journal.end_epoch(training.model, training.optimiser, rate, forcing, validated)
            journal.tell(bar)
            if config.patience is not None and plateaus(journal.losses, config.patience):
                return


def _groups(batches: Iterable[Batch], epoch: int, size: int) -> Iterator[tuple[Batch, ...]]:
    """Batches of an epoch, in groups that make one step of the optimiser."""
    loader: Any = batches
    # Fabric would count epochs from the start of the process if the name were set_epoch.
    loader.sampler.begin_epoch(epoch)
    windows = iter(batches)
    while group := tuple(islice(windows, size)):
        yield group


@contextmanager
def _failures_named(training: Training, step: int, epoch: int, forcing: float) -> Iterator[None]:
    """Turn a failed loss into a message that says where it began."""
    try:
        yield
    except FailedLossError as error:
        where = first_failure(training.model, error.batch, training.config.unrolling(forcing))
        raise UserError(
            f"the loss became NaN or infinite at step {step + 1} (epoch {epoch + 1}); it began "
            f"{where}. Try a lower training.learning_rate, training.gradient_clip 1, "
            "training.warmup_steps 100, or training.precision 32"
        ) from error


def _resumable(file: Path) -> dict[str, Any] | None:
    """The state of a stopped run, once it is known to hold tensors and numbers only."""
    if not file.exists():
        return None  # stopped within its first epoch
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"{file} is damaged, or holds objects that could run code and were not read; "
            "without it the run cannot be resumed"
        ) from error
    if not isinstance(state, dict) or "optimiser" not in state:
        raise UserError(
            f"{file} was written by another version of framecast: finish the run with that one. "
            "Its weights can be used as they are"
        )
    return state


def _shares(scaling: Scaling, config: TrainingConfig) -> Tensor:
    """Weight of each predicted variable in the loss, [V]."""
    names = [channel.name for channel in scaling.spec.predicted]
    for name in config.variable_weights:
        if name not in names:
            raise UserError(
                f"training.variable_weights names {name}, but predicted are {', '.join(names)}"
            )
    return torch.tensor([config.variable_weights.get(name, 1.0) for name in names])


def _batches(frames: Frames, scaling: Scaling, experiment: Experiment) -> DataLoader[Batch]:
    data, config = experiment.data, experiment.training
    sampler = CropSampler(
        frames.pieces,
        config.window,
        per_sequence=data.crops_per_sequence,
        seed=config.seed,
        most=data.windows_per_epoch,
        allowed=_allowed(frames, scaling, experiment),
    )
    if not len(sampler):
        raise UserError(
            f"{frames.source}: no window of {config.window} frames has targets that are known to "
            f"{data.known_fraction:g} (data.known_fraction): lower it, or choose a shorter window"
        )
    windows = Windows(frames, scaling, config.window, config.area_weights)
    return DataLoader(windows, config.batch_size, sampler=sampler, collate_fn=Batch.stack)


def _validation_batches(
    frames: Frames | None, scaling: Scaling, experiment: Experiment
) -> DataLoader[Batch] | None:
    if frames is None:
        return None
    data, config = experiment.data, experiment.training
    allowed = _allowed(frames, scaling, experiment)
    places = side_by_side(frames, config.window, allowed)
    if not places:
        raise UserError(
            f"{frames.source}: no window of the validation part has targets that are known to "
            f"{data.known_fraction:g} (data.known_fraction)"
        )
    windows = Windows(frames, scaling, config.window, config.area_weights)
    size = max(config.batch_size, VALIDATION_FRAMES // config.window)
    return DataLoader(windows, size, sampler=places, collate_fn=Batch.stack)


def _allowed(frames: Frames, scaling: Scaling, experiment: Experiment) -> Any:
    """Where windows may begin, by what is known of their targets (see `allowed_starts`)."""
    config, gaps = experiment.training, any(scaling.statistics.gaps)
    fraction = experiment.data.known_fraction
    return allowed_starts(frames, config.window, config.context, fraction, gaps)
