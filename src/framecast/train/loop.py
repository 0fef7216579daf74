"""The training loop: epochs of steps, validation, stops, and what is written of them."""

import math
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path

import torch

from framecast.base.disk import FullDiskError
from framecast.base.errors import UserError
from framecast.base.progress import open_bar
from framecast.base.ranks import LostError, Mesh, Ranks
from framecast.frames.batch import Batch
from framecast.models.unroll import Unrolling
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train.allocator import kept_memory
from framecast.train.batches import Batches, reading_ahead
from framecast.train.diagnose import first_failure
from framecast.train.footprint import memory_named
from framecast.train.journal import Journal
from framecast.train.schedules import learning_rate, unrolling
from framecast.train.start import Start
from framecast.train.state import RESUME, RunState
from framecast.train.step import FailedLossError, Training, make_training
from framecast.train.stopping import Stop, StoppedError, stopping


def fit(
    experiment: Experiment,
    start: Start,
    out: Path,
    state: RunState,
    device: torch.device,
    mesh: Mesh | None = None,
) -> Journal:
    """Train, writing into the run folder `out` as it goes.

    Args:
        experiment: the resolved configuration.
        start: what it begins with; without validation the training loss chooses the best epoch.
        out: the run folder.
        state: what the run has reached.
        device: that the network is trained on.
        mesh: processes that train the same weights, the first of which writes; None for this one.

    Returns:
        What was written: its `rows` are the log, an epoch each.

    Raises:
        UserError: if the loss becomes NaN or infinite, the run cannot be resumed, or the disk
            is full.
        StoppedError: if a signal asked the run to stop, which has saved what it reached.
    """
    training = make_training(
        start.model,
        experiment.training,
        len(start.batches),
        start.shares,
        device,
        mesh or Mesh(),
        start.segment,
    )
    ranks = training.ranks
    shares, resume = training.shares, f"{RESUMES} {shlex.quote(str(out))}"
    state.put_into(training.model, training.optimiser, out / RESUME)
    workers = experiment.data.workers
    with (
        reading_ahead(start.batches, start.validation, workers) as (batches, validation),
        Journal(out, experiment.training, state, start.scaling, shares, ranks) as journal,
    ):
        try:
            journal.take_up()
            farewell = f"framecast train: {LATE} {resume}"
            with (
                memory_named(experiment),
                kept_memory(),
                stopping(farewell, insists=ranks.count == 1) as stop,
            ):
                _run(training, journal, batches, validation, stop)
        except FullDiskError as error:
            raise FullDiskError(f"{error}: {resume}") from error
        except LostError as error:
            raise LostError(f"{error}. What was saved last stands: {resume}") from error
        if stop.asked is not None and not journal.finished:
            raise StoppedError(f"{out}: {_reached(journal)} is saved. Go on: {resume}", stop.asked)
    return journal


RESUMES = "framecast train --resume --out"
LATE = "the step at hand takes too long to wait for; what was saved last stands. Go on:"


def _reached(journal: Journal) -> str:
    """Say how far a run has come."""
    epochs, steps = len(journal.rows), journal.state.epoch.steps
    return f"epoch {epochs + 1} up to step {steps}" if steps else f"all up to epoch {epochs}"


def _run(
    training: Training,
    journal: Journal,
    batches: Batches,
    validation: Batches | None,
    stop: Stop,
) -> None:
    """Go through the epochs that are left, until the end, until patience is lost, or a stop."""
    config, ranks = training.config, training.ranks
    steps = math.ceil(training.batches / config.accumulate)
    with open_bar("samples/s", show=ranks.first) as bar:
        done = len(journal.rows) * steps + journal.state.epoch.steps
        task = bar.begin("", config.epochs * steps, done)
        while not journal.finished:
            epoch = len(journal.rows)
            course = unrolling(journal.losses, config)
            for _ in _learn(training, journal, batches, course, stop):
                bar.advance(task, what=f"epoch {epoch + 1}/{config.epochs}", words=journal.words())
            last, validated = (epoch + 1) * steps - 1, None
            if validation is not None:
                with _failures_named(training, last, epoch, config.unrolling(0.0)):
                    validated = training.validate(_until(stop, validation, training.together))
            if stop.agreed(ranks):
                journal.save_within(training.model, training.optimiser, now=True)
                return
            rate = learning_rate(last, config.epochs * steps, journal.losses, config)
            journal.end_epoch(training.model, training.optimiser, rate, course, validated)
            if ranks.first:
                journal.tell(bar)
            if stop.agreed(ranks):
                return


def _learn(
    training: Training, journal: Journal, batches: Batches, course: Unrolling, stop: Stop
) -> Iterator[None]:
    """Make the steps of an epoch that are left, and yield after each."""
    config, epoch, done = training.config, len(journal.rows), journal.state.epoch.steps
    steps = math.ceil(training.batches / config.accumulate)
    for place, group in enumerate(_groups(batches, epoch, config, done), start=done):
        step = epoch * steps + place
        rate = learning_rate(step, config.epochs * steps, journal.losses, config)
        for parameters in training.optimiser.param_groups:
            parameters["lr"] = rate
        with _failures_named(training, step, epoch, course):
            loss = training.learn(group, epoch, place * config.accumulate, course)
        first = place * config.accumulate
        journal.count(loss, batches.count(first, first + config.accumulate))
        yield
        if stop.agreed(training.ranks):
            return
        journal.save_within(training.model, training.optimiser)


def _until(stop: Stop, batches: Iterable[Batch | None], ranks: Ranks) -> Iterator[Batch | None]:
    """The batches that come before a stop, the same in processes that go through them together."""
    return takewhile(lambda _: not stop.agreed(ranks), batches)


def _groups(
    batches: Batches, epoch: int, config: TrainingConfig, done: int
) -> Iterator[tuple[Batch | None, ...]]:
    """Batches of an epoch, in groups that make one step of the optimiser, without those done."""
    batches.begin_epoch(epoch, done * config.accumulate * config.batch_size)
    windows = iter(batches)
    while group := tuple(islice(windows, config.accumulate)):
        yield group


@contextmanager
def _failures_named(training: Training, step: int, epoch: int, course: Unrolling) -> Iterator[None]:
    """Turn a failed loss into a message that says where it began."""
    try:
        yield
    except FailedLossError as error:
        where = "in one of its layers (without training.shard_weights the layer is named)"
        if not training.config.shard_weights:
            where = first_failure(training.model, error.batch, course)
        raise UserError(
            f"the loss became NaN or infinite at step {step + 1} (epoch {epoch + 1}); it began "
            f"{where}. Try a lower training.learning_rate, training.gradient_clip 1, "
            "training.warmup_steps 100, or training.precision 32"
        ) from error
