"""The training loop: Lightning around the unrolled network."""

import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from framecast.checkpoint import FrameSpec
from framecast.data.frames import Frames
from framecast.data.normalise import Statistics
from framecast.data.registry import Splits
from framecast.data.sources import DataConfig
from framecast.data.windows import CropSampler, Windows, side_by_side
from framecast.errors import UserError
from framecast.models import Forecaster
from framecast.train.callbacks import Patience, Progress, RunWriter
from framecast.train.config import Experiment, TrainingConfig
from framecast.train.diagnose import first_failure
from framecast.train.optimise import make_optimiser, make_schedules
from framecast.train.unroll import LOSSES, unroll

VALIDATION_BATCH = 16
"""Windows in a validation step: no gradient is kept, so more fit than in training."""


class Training(pl.LightningModule):
    """A network, and how a step of its training goes.

    Args:
        model: the network; frames come normalised.
        config: how it is trained.
        steps: of the whole run.
    """

    def __init__(self, model: Forecaster, config: TrainingConfig, steps: int) -> None:
        super().__init__()
        self.model, self.config, self.steps = model, config, steps
        self.unroll = torch.compile(unroll) if config.compile else unroll

    def training_step(self, window: Tensor, index: int) -> Tensor:
        """Loss of a batch of windows [B,L,C,H,W], with noise on the given frames."""
        given = self._with_noise(window)
        loss = self.loss(given, window)
        if not torch.isfinite(loss):
            self._stop(given)
        return loss

    def validation_step(self, window: Tensor, index: int) -> None:
        """Log the loss of a batch of windows, without noise."""
        loss = self.loss(window, window)
        if not torch.isfinite(loss):
            self._stop(window)
        self.log("val_loss", loss, on_epoch=True, batch_size=len(window))

    def configure_optimizers(self) -> Any:
        """Give Lightning the optimiser and its schedules."""
        optimiser = make_optimiser(self.model, self.config)
        return [optimiser], make_schedules(optimiser, self.config, self.steps)

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Clip the norm here: Lightning refuses it beside a fused optimiser in bf16."""
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)

    def loss(self, given: Tensor, truth: Tensor) -> Tensor:
        """Loss of the predictions from `given`, against the frames of `truth`, both [B,L,C,H,W]."""
        predictions = self.unroll(self.model, given, self.config.context)
        return LOSSES[self.config.loss](predictions, truth[:, 1:])

    def _with_noise(self, window: Tensor) -> Tensor:
        """Noise that depends on the seed and the step alone, so that a resumed run repeats it."""
        if self.config.noise == 0:
            return window
        random = torch.Generator(window.device).manual_seed(
            (self.config.seed << 32) + self.global_step
        )
        noise = torch.randn(window.shape, generator=random, device=window.device)
        return window + self.config.noise * noise

    def _stop(self, window: Tensor) -> None:
        where = first_failure(self.model, window, self.config.context)
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
    training = Training(model, config, steps=config.epochs * len(batches))
    writer = RunWriter(out, config, FrameSpec.of(train), statistics)
    callbacks: list[pl.Callback] = [writer, Progress(writer)]
    if config.patience is not None:
        callbacks.append(Patience(writer, config.patience))
    with warnings.catch_warnings():
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
    )
    windows = Windows(frames.values, config.window, statistics.normalise)
    return DataLoader(windows, config.batch_size, sampler=sampler)


def _validation_batches(
    frames: Frames | None, statistics: Statistics, config: TrainingConfig
) -> DataLoader[Tensor] | None:
    if frames is None:
        return None
    windows = Windows(frames.values, config.window, statistics.normalise)
    return DataLoader(windows, VALIDATION_BATCH, sampler=side_by_side(frames, config.window))
