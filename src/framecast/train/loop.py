"""The training loop: Lightning around the unrolled network."""

import logging
import math
import pickle
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.utils.data import DataLoader

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits
from framecast.frames.statistics import Statistics
from framecast.frames.windows import CropSampler, Windows, side_by_side
from framecast.models import Forecaster
from framecast.models.unroll import LOSSES, draw_given, unroll
from framecast.runs.checkpoint import FrameSpec
from framecast.runs.config import Experiment, TrainingConfig
from framecast.train.allocator import kept_memory
from framecast.train.callbacks import Patience, Progress, RunWriter, Schedules
from framecast.train.diagnose import first_failure
from framecast.train.memory import checkpoint_layers, run_chunks
from framecast.train.optimise import make_optimiser

VALIDATION_FRAMES = 400
"""Frames in a validation step: no gradient is kept, so more fit than in training."""


class Training(pl.LightningModule):
    """A network, and how a step of its training goes.

    Args:
        model: the network; frames come normalised.
        config: how it is trained.
        batches: in an epoch.

    Attributes:
        teacher_forcing: probability that an input after the context is the truth.
    """

    def __init__(self, model: Forecaster, config: TrainingConfig, batches: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.config, self.batches = model, config, batches
        self.teacher_forcing = config.teacher_forcing
        if config.checkpoint_layers:
            checkpoint_layers(model)
        self.unroll = torch.compile(unroll) if config.compile else unroll

    def training_step(self, window: Tensor, index: int) -> dict[str, Tensor]:
        """Learn from a batch of windows [B,L,C,H,W]; return its loss.

        What is random depends on the seed and the place of the batch in the run alone, so
        that a resumed run repeats it.
        """
        torch.manual_seed((self.config.seed << 32) + self.current_epoch * self.batches + index)
        noisy = self._with_noise(window)
        loss = self.accumulate_gradients(noisy, window, index)
        last = index + 1 == self.batches
        if last or (index + 1) % self.config.accumulate == 0:
            self._step()
        return {"loss": loss}

    def accumulate_gradients(self, frames: Tensor, truth: Tensor, index: int) -> Tensor:
        """Add the gradients of a batch's loss to those of the weights; return the loss.

        Args:
            frames: what is read, [B,L,C,H,W].
            truth: what is predicted, frames 2 to L of [B,L,C,H,W].
            index: place of the batch in the epoch.
        """
        total = torch.zeros((), device=frames.device, dtype=frames.dtype)
        batches = self._batches_of_step(index)
        for loss in self._losses(frames, truth, self.teacher_forcing):
            with torch.autocast(frames.device.type, enabled=False):
                (loss / batches).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def validation_step(self, window: Tensor, index: int) -> None:
        """Log the loss of forecasts from a batch of windows, without noise."""
        loss = torch.stack(list(self._losses(window, window, teacher_forcing=0.0))).sum()
        self.log("val_loss", loss, on_epoch=True, batch_size=len(window))

    def configure_optimizers(self) -> Any:
        """Give Lightning the optimiser."""
        return make_optimiser(self.model, self.config)

    def _losses(self, frames: Tensor, truth: Tensor, teacher_forcing: float) -> Iterator[Tensor]:
        """Yield the losses of parts of a window, between which no gradient flows.

        They add up to the mean over all predictions.
        """
        inputs = frames[:, :-1]
        batch, length = inputs.shape[:2]
        given = draw_given(batch, length, self.config.context, teacher_forcing)
        targets = truth[:, 1:]
        for predictions in self._parts(inputs, given):
            done = predictions.shape[1]
            loss = LOSSES[self.config.loss](predictions, targets[:, :done]) * done / length
            if not torch.isfinite(loss):
                self._stop(inputs, given)
            yield loss
            targets = targets[:, done:]

    def _parts(self, inputs: Tensor, given: Tensor) -> Iterator[Tensor]:
        """Yield the predictions of parts of a window, between which no gradient flows."""
        config, run = self.config, partial(self.unroll, self.model)
        if config.chunk is None:
            yield run(inputs, given)[0]
        elif config.truncate:
            yield from run_chunks(run, inputs, given, config.chunk, truncate=True)
        else:
            chunks = run_chunks(run, inputs, given, config.chunk, truncate=False)
            yield torch.cat(list(chunks), dim=1)

    def _with_noise(self, window: Tensor) -> Tensor:
        if self.config.noise == 0:
            return window
        return window + self.config.noise * torch.randn(window.shape, device=window.device)

    def _batches_of_step(self, index: int) -> int:
        """How many batches make the step of the optimiser that this one belongs to."""
        first = index - index % self.config.accumulate
        return min(self.config.accumulate, self.batches - first)

    def _step(self) -> None:
        optimiser = cast(LightningOptimizer, self.optimizers())
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        optimiser.step()
        optimiser.zero_grad()

    def _stop(self, inputs: Tensor, given: Tensor) -> None:
        where = first_failure(self.model, inputs, given)
        raise UserError(
            f"the loss became NaN or infinite at step {self.global_step + 1} (epoch "
            f"{self.current_epoch + 1}); it began {where}. Try a lower training.learning_rate, "
            "training.clip 1, training.warmup_steps 100, or training.precision 32"
        )


def fit(experiment: Experiment, splits: Splits, out: Path, resume: bool) -> RunWriter:
    """Train, writing into the run folder `out` as it goes.

    Args:
        experiment: the resolved configuration.
        splits: frames; without validation frames the training loss chooses the best epoch.
        out: the run folder.
        resume: whether to go on from the folder's last epoch.

    Returns:
        What was written: its `rows` are the log, an epoch a row.

    Raises:
        UserError: if the loss becomes NaN or infinite, or the run cannot be resumed.
    """
    config, train = experiment.training, splits.train
    statistics = Statistics.of(train, experiment.data.normalise)
    batches = _batches(train, statistics, experiment.data, config)
    torch.manual_seed(config.seed)
    model = Forecaster(experiment.model, len(train.channels), grid=train.grid)
    training = Training(model, config, len(batches))
    steps = config.epochs * math.ceil(len(batches) / config.accumulate)
    writer = RunWriter(out, config, FrameSpec.of(train), statistics)
    callbacks: list[pl.Callback] = [writer, Schedules(writer, steps), Progress(writer)]
    if config.patience is not None:
        callbacks.append(Patience(writer, config.patience))
    with warnings.catch_warnings(), kept_memory():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        trainer = _trainer(config, callbacks)
        trainer.fit(
            training,
            batches,
            _validation_batches(splits.validation, statistics, config),
            ckpt_path=_resumable(writer.resume_file) if resume else None,
            weights_only=True,
        )
    return writer


def _resumable(file: Path) -> Path | None:
    """The state of a stopped run, once it is known to hold tensors and numbers only."""
    if not file.exists():
        return None  # stopped within its first epoch
    try:
        torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"{file} is damaged, or holds objects that could run code and were not read; "
            "without it the run cannot be resumed"
        ) from error
    return file


def _trainer(config: TrainingConfig, callbacks: list[pl.Callback]) -> pl.Trainer:
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return pl.Trainer(
        max_epochs=config.epochs,
        precision="bf16-mixed" if config.precision == "bf16-mixed" else "32-true",
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _batches(
    frames: Frames, statistics: Statistics, data: DataConfig, config: TrainingConfig
) -> DataLoader[Tensor]:
    sampler = CropSampler(
        lengths=frames.lengths,
        length=config.window,
        per_sequence=data.crops_per_sequence,
        seed=config.seed,
        most=data.windows_per_epoch,
    )
    windows = Windows(frames.values, config.window, statistics.normalise)
    return DataLoader(windows, config.batch_size, sampler=sampler)


def _validation_batches(
    frames: Frames | None, statistics: Statistics, config: TrainingConfig
) -> DataLoader[Tensor] | None:
    if frames is None:
        return None
    windows = Windows(frames.values, config.window, statistics.normalise)
    batch = max(config.batch_size, VALIDATION_FRAMES // config.window)
    return DataLoader(windows, batch, sampler=side_by_side(frames, config.window))
