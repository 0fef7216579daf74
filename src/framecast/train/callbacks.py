"""What happens around the steps: the run folder is written, progress shown, an end decided."""

import csv
import io
import math
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from tensorboardX import SummaryWriter

from framecast.base.whole import whole, write_text
from framecast.frames.statistics import Statistics
from framecast.models import Forecaster
from framecast.runs.checkpoint import BEST, LAST, Checkpoint, FrameSpec
from framecast.runs.config import TrainingConfig
from framecast.train.schedules import decay_epochs, learning_rate, plateaus, teacher_forcing

Row = dict[str, float | int]


class RunWriter(pl.Callback):
    """Writes the run folder at the end of each epoch: weights, log, and what a resume needs.

    The log and the best loss belong to the state that Lightning saves, so a killed run that
    is resumed writes the same files as one that never stopped.

    Args:
        out: the run folder.
        config: how the network is trained.
        spec: what the frames look like.
        statistics: of the training frames.

    Attributes:
        rows: an epoch a row: losses, learning rate (of its last step), teacher forcing, samples
            per second, seconds.
        best: lowest loss so far.
    """

    def __init__(
        self, out: Path, config: TrainingConfig, spec: FrameSpec, statistics: Statistics
    ) -> None:
        self.out, self.config, self.spec, self.statistics = out, config, spec, statistics
        self.resume_file = out / "resume.ckpt"
        self.rows: list[Row] = []
        self.best = math.inf
        self._board: SummaryWriter | None = None
        self._losses: list[torch.Tensor] = []
        self._samples, self._started = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """State for Lightning's checkpoint."""
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state from Lightning's checkpoint."""
        self.rows, self.best = state_dict["rows"], state_dict["best"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the TensorBoard log, dropping what a killed run wrote beyond its last epoch."""
        self._board = SummaryWriter(str(self.out / "tensorboard"), purge_step=len(self.rows))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the epoch."""
        self._losses, self._samples, self._started = [], 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *batch: Any
    ) -> None:
        """Keep the loss of the step."""
        self._losses.append(outputs["loss"].detach())
        self._samples += len(batch[0])

    @property
    def losses(self) -> list[float]:
        """The losses by which epochs are compared: validation's, or else training's."""
        return [row.get("val_loss", row["train_loss"]) for row in self.rows]

    @property
    def running(self) -> tuple[float, float]:
        """Mean loss and samples per second of the epoch so far."""
        loss = torch.stack(self._losses[-100:]).mean().item() if self._losses else math.nan
        return loss, self._samples / (time.perf_counter() - self._started)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write weights, state and logs."""
        seconds = time.perf_counter() - self._started
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "train_loss": torch.stack(self._losses).mean().item(),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "teacher_forcing": cast(Any, pl_module).teacher_forcing,
            "samples_per_second": self._samples / seconds,
            "seconds": seconds,
        }
        if "val_loss" in trainer.callback_metrics:
            row["val_loss"] = trainer.callback_metrics["val_loss"].item()
        self.rows.append(row)
        self._save(trainer, pl_module, row)
        self._log(row)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the TensorBoard log."""
        if self._board is not None:
            self._board.close()

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule, row: Row) -> None:
        loss = self.losses[-1]
        checkpoint = Checkpoint(
            model=cast(Forecaster, module.model),
            statistics=self.statistics,
            frames=self.spec,
            context=self.config.context,
            horizon=self.config.horizon,
            epoch=int(row["epoch"]),
            loss=loss,
        )
        checkpoint.save(self.out / LAST)
        if loss < self.best:
            self.best = loss
            checkpoint.save(self.out / BEST)
        with whole(self.resume_file) as partial:
            trainer.save_checkpoint(partial)

    def _log(self, row: Row) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_text(self.out / "log.csv", text.getvalue())
        for name, value in row.items():
            assert self._board is not None
            self._board.add_scalar(name, value, int(row["epoch"]))


class Schedules(pl.Callback):
    """Sets the learning rate of each step and the teacher forcing of each epoch.

    Args:
        writer: keeps the losses that they follow.
        steps: of the whole run.
    """

    def __init__(self, writer: RunWriter, steps: int) -> None:
        self.writer, self.steps = writer, steps

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the teacher forcing."""
        chosen = teacher_forcing(self.writer.losses, self.writer.config)
        cast(Any, pl_module).teacher_forcing = chosen

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any
    ) -> None:
        """Set the learning rate."""
        losses, config = self.writer.losses, self.writer.config
        rate = learning_rate(trainer.global_step, self.steps, losses, config)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate


class Patience(pl.Callback):
    """Stops the run when the loss has not fallen for some epochs.

    Args:
        writer: keeps the log.
        epochs: how long to wait for a lower loss.
    """

    def __init__(self, writer: RunWriter, epochs: int) -> None:
        self.writer, self.epochs = writer, epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at a plateau."""
        trainer.should_stop = bool(plateaus(self.writer.losses, self.epochs))


class Progress(pl.Callback):
    """Shows the run in one line on a terminal, or a line for each epoch where there is none.

    Args:
        writer: keeps losses and times.
    """

    def __init__(self, writer: RunWriter) -> None:
        self.writer = writer
        self.console = Console(file=sys.stderr)
        self.bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar, at the place where a resumed run goes on."""
        epoch = int(trainer.num_training_batches)
        self.bar.start()
        self.task = self.bar.add_task(
            "",
            total=epoch * (trainer.max_epochs or 0),
            completed=epoch * trainer.current_epoch,
            epoch="",
            numbers="",
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any
    ) -> None:
        """Move the bar."""
        self.bar.advance(self.task)
        if not self.bar.disable and step[-1] % 10 == 0:
            self._show_numbers(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the validation loss, in a line of its own where there is no bar."""
        if self.bar.disable:
            self._print_epoch(trainer)
        else:
            self._show_numbers(trainer)
        config, last = self.writer.config, len(self.writer.rows) == trainer.max_epochs
        begins = config.decays and config.reads_plateaus and not last
        if begins and decay_epochs(self.writer.losses, config) == 1:
            self.console.print(
                f"the validation loss has not fallen for {config.plateau_epochs} epochs: "
                f"the decay begins with epoch {len(self.writer.rows) + 1}",
                highlight=False,
                soft_wrap=True,
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal usable for the message that follows."""
        self.bar.stop()

    def _print_epoch(self, trainer: pl.Trainer) -> None:
        row = self.writer.rows[-1]
        self.console.print(
            f"epoch {row['epoch']:.0f}/{trainer.max_epochs}  loss {row['train_loss']:.4g}  "
            f"{self._last_epoch()}{row['samples_per_second']:.1f} samples/s",
            highlight=False,
            soft_wrap=True,
        )

    def _show_numbers(self, trainer: pl.Trainer) -> None:
        loss, rate = self.writer.running
        self.bar.update(
            self.task,
            epoch=f"{trainer.current_epoch + 1}/{trainer.max_epochs}",
            numbers=f"loss {loss:.4g}  {self._last_epoch()}{rate:.1f} samples/s",
        )

    def _last_epoch(self) -> str:
        """Validation loss, and what is decaying, of the last whole epoch."""
        if not self.writer.rows:
            return ""
        row = self.writer.rows[-1]
        told = {"validation": row.get("val_loss"), "learning rate": None, "teacher forcing": None}
        if self.writer.config.schedule == "decay":
            told["learning rate"] = row["learning_rate"]
        if self.writer.config.samples:
            told["teacher forcing"] = row["teacher_forcing"]
        return "".join(f"{name} {n:.4g}  " for name, n in told.items() if n is not None)
