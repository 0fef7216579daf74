"""The journal of a run: what it has reached, and the files that say so."""

import csv
import io
import time
from pathlib import Path
from types import TracebackType

import torch
from torch.optim import Optimizer

from framecast.base.progress import Bar
from framecast.base.ranks import ALONE, Ranks
from framecast.base.whole import write_text
from framecast.frames.scaling import Scaling
from framecast.models.losses import Losses
from framecast.models.model import Model
from framecast.models.unroll import Unrolling
from framecast.runs.checkpoint import BEST, LAST, Saved
from framecast.runs.config import TrainingConfig
from framecast.train.board import Board
from framecast.train.schedules import decay_epochs, plateaus
from framecast.train.sharding import put_together
from framecast.train.state import EpochSums, Row, RunState

LOG = "log.csv"


class Journal:
    """Writes the run folder at the end of each epoch: weights, what a resume needs, and the log.

    The log and the best loss belong to the state that is saved, so a killed run that is resumed
    writes the same files as one that never stopped. A run that is finished is left as it is.

    Args:
        out: the run folder.
        config: how the network is trained.
        state: what the run has reached; the journal goes on with it.
        scaling: how frames become what the network sees.
        shares: weight of each term of the loss.
        ranks: processes that train the same weights; the first of them writes files.

    Attributes:
        rows: of each epoch: losses, learning rate (of its last step), teacher forcing, samples
            per second, seconds, and what the model tells of its validation.
    """

    def __init__(
        self,
        out: Path,
        config: TrainingConfig,
        state: RunState,
        scaling: Scaling,
        shares: torch.Tensor,
        ranks: Ranks = ALONE,
    ) -> None:
        self.out, self.config, self.scaling = out, config, scaling
        self.state, self.shares = state, shares
        self.ranks, self.writes = ranks, ranks.first
        self._board: Board | None = None
        self._started = self._saved = time.perf_counter()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._board is not None:
            self._board.close()

    @property
    def rows(self) -> list[Row]:
        """The rows of the whole epochs."""
        return self.state.rows

    @property
    def losses(self) -> list[float]:
        """The losses by which epochs are compared: validation's, or else training's."""
        return [row.get("val_loss", row["train_loss"]) for row in self.rows]

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience is lost."""
        patience = self.config.patience
        lost = patience is not None and bool(plateaus(self.losses, patience))
        return lost or len(self.rows) >= self.config.epochs

    def take_up(self) -> None:
        """Go on with the epoch at hand: start the clock, and bring the log up to the state."""
        device = self.shares.device
        sums = self.state.epoch
        sums.total = sums.total and Losses(*(part.to(device) for part in sums.total))
        self._started = self._saved = time.perf_counter()
        if self.rows and self.writes:
            self._complete_log()

    def count(self, loss: Losses, samples: int) -> None:
        """Add a step of the optimiser to the epoch at hand."""
        self.state.epoch.count(loss, self.shares, samples)

    def words(self) -> str:
        """Say how the epoch goes, every tenth step; nothing between."""
        sums = self.state.epoch
        if sums.last is None or sums.steps % 10 != 1:
            return ""
        rate = sums.samples / self._seconds()
        return f"loss {sums.last.item():.4g}  {self._last_epoch()}{rate:.1f} samples/s"

    def save_within(self, model: Model, optimiser: Optimizer, now: bool = False) -> None:
        """Save the state within an epoch: where it is time, or now."""
        every = self.config.save_minutes
        due = every is not None and time.perf_counter() - self._saved > 60 * every
        if self.config.shard_weights:  # all put the weights together
            due = self.ranks.any(due)
        if due or now:
            self.state.epoch.seconds = self._seconds()
            self._started = time.perf_counter()
            self._save(model, optimiser)

    def end_epoch(
        self,
        model: Model,
        optimiser: Optimizer,
        rate: float,
        course: Unrolling,
        validated: Losses | None,
    ) -> None:
        """Write weights, state and logs."""
        sums, seconds = self.state.epoch, self._seconds()
        assert sums.total is not None
        row: Row = {
            "epoch": len(self.rows) + 1,
            "step": sums.steps + (int(self.rows[-1]["step"]) if self.rows else 0),
            "train_loss": sums.total.mean(self.shares).item(),
            "learning_rate": rate,
            "teacher_forcing": course.teacher_forcing,
            "samples_per_second": sums.samples / seconds,
            "seconds": seconds,
        }
        if self.config.prediction_weight_decay:
            row["prediction_weight"] = course.prediction_weight
        if validated is not None:
            row["val_loss"] = model.compare(validated, self.shares).item()
            names = [channel.name for channel in self.scaling.spec.predicted]
            row |= model.tell(validated, names)
        self.rows.append(row)
        self.state.epoch = EpochSums()
        self._started = time.perf_counter()
        self._save_weights(model)
        self._save(model, optimiser)
        if self.writes:
            self._log()

    def tell(self, bar: Bar) -> None:
        """Say what the epoch came to, where there is no bar; and that a decay begins."""
        row = self.rows[-1]
        if not bar.shown:
            bar.say(
                f"epoch {row['epoch']:.0f}/{self.config.epochs}  loss {row['train_loss']:.4g}  "
                f"{self._last_epoch()}{row['samples_per_second']:.1f} samples/s"
            )
        last = len(self.rows) == self.config.epochs
        begins = self.config.decays and self.config.reads_plateaus and not last
        if begins and decay_epochs(self.losses, self.config) == 1:
            bar.say(
                f"the validation loss has not fallen for {self.config.plateau_epochs} epochs: "
                f"the decay begins with epoch {len(self.rows) + 1}"
            )

    def _seconds(self) -> float:
        """Time spent on the epoch at hand."""
        return self.state.epoch.seconds + time.perf_counter() - self._started

    def _last_epoch(self) -> str:
        """Validation loss, and what is decaying, of the last whole epoch."""
        if not self.rows:
            return ""
        row = self.rows[-1]
        told = {"validation": row.get("val_loss"), "learning rate": None, "teacher forcing": None}
        if self.config.schedule == "staircase":
            told["learning rate"] = row["learning_rate"]
        if self.config.samples:
            told["teacher forcing"] = row["teacher_forcing"]
        told["accuracy"] = row.get("val_accuracy")
        told["PSNR"] = row.get("val_psnr")
        told["perplexity"] = row.get("val_perplexity")
        told["prediction weight"] = row.get("prediction_weight")
        return "".join(f"{name} {n:.4g}  " for name, n in told.items() if n is not None)

    def _save_weights(self, model: Model) -> None:
        loss = self.losses[-1]
        checkpoint = Saved(
            model=model,
            statistics=self.scaling.statistics,
            frames=self.scaling.spec,
            context=self.config.context,
            horizon=self.config.horizon,
            epoch=len(self.rows),
            loss=loss,
        )
        weights = put_together(model.state_dict(), self.writes)
        best, self.state.best = loss < self.state.best, min(loss, self.state.best)
        if self.writes:
            checkpoint.save(self.out / LAST, weights)
        if self.writes and best:
            checkpoint.save(self.out / BEST, weights)

    def _save(self, model: Model, optimiser: Optimizer) -> None:
        reached = model.state_dict(), optimiser.state_dict()
        self.state.model, self.state.optimiser = put_together(reached, self.writes)
        if self.writes:
            self.state.save(self.out)
        self._saved = time.perf_counter()

    def _log(self) -> None:
        """Write the last row for TensorBoard, then the log."""
        if self._board is None:
            self._board = Board(self.out / "tensorboard", len(self.rows))
        self._board.add(self.rows[-1])
        write_text(self.out / LOG, self._table())

    def _complete_log(self) -> None:
        """Write the rows that a process had saved, but not yet logged, when it was killed."""
        file, table = self.out / LOG, self._table().encode()
        logged = file.read_bytes() if file.is_file() else b""
        if logged != table and table.startswith(logged):
            self._log()

    def _table(self) -> str:
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(self.rows[-1]), lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        return text.getvalue()
