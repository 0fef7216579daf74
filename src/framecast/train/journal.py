"""The journal of a run: what it has reached, and the files that say so."""

import csv
import io
import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from tensorboardX import SummaryWriter
from torch.optim import Optimizer

from framecast.base.progress import Bar
from framecast.base.whole import whole, write_text
from framecast.frames.scaling import Scaling
from framecast.models import Forecaster
from framecast.models.losses import Losses
from framecast.runs.checkpoint import BEST, LAST, Checkpoint
from framecast.runs.config import Experiment
from framecast.train.schedules import decay_epochs

Row = dict[str, float | int]


class Journal:
    """Writes the run folder at the end of each epoch: weights, log, and what a resume needs.

    The log and the best loss belong to the state that is saved, so a killed run that is resumed
    writes the same files as one that never stopped.

    Args:
        out: the run folder.
        experiment: the resolved configuration.
        scaling: how frames become what the network sees.
        shares: weight of each predicted variable in the loss.
        writes: whether this process writes files; one of several does.

    Attributes:
        rows: of each epoch: losses, learning rate (of its last step), teacher forcing, samples
            per second, seconds.
        best: lowest loss so far.
    """

    def __init__(
        self,
        out: Path,
        experiment: Experiment,
        scaling: Scaling,
        shares: torch.Tensor,
        writes: bool = True,
    ) -> None:
        self.out, self.config, self.scaling = out, experiment.training, scaling
        self.shares, self.writes = shares, writes
        self.resume_file = out / "resume.ckpt"
        self.rows: list[Row] = []
        self.best = math.inf
        self._board: SummaryWriter | None = None
        self.begin_epoch()

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

    def resume(self, model: Forecaster, optimiser: Optimizer, state: dict[str, Any] | None) -> None:
        """Take up what an earlier journal saved; nothing where it had not come that far."""
        if state is not None:
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            self.rows, self.best = state["rows"], state["best"]

    @property
    def losses(self) -> list[float]:
        """The losses by which epochs are compared: validation's, or else training's."""
        return [row.get("val_loss", row["train_loss"]) for row in self.rows]

    def begin_epoch(self) -> None:
        """Start the clock and the sums of an epoch."""
        self._total: Losses | None = None
        self._last: torch.Tensor | None = None
        self._samples, self._steps, self._started = 0, 0, time.perf_counter()

    def count(self, loss: Losses, samples: int) -> None:
        """Add a step of the optimiser to the sums."""
        self._total = loss if self._total is None else self._total + loss
        self._last = loss.mean(self.shares)
        self._samples += samples
        self._steps += 1

    def words(self) -> str:
        """Say how the epoch goes, every tenth step; nothing between."""
        if self._last is None or self._steps % 10 != 1:
            return ""
        rate = self._samples / (time.perf_counter() - self._started)
        return f"loss {self._last.item():.4g}  {self._last_epoch()}{rate:.1f} samples/s"

    def end_epoch(
        self,
        model: Forecaster,
        optimiser: Optimizer,
        rate: float,
        forcing: float,
        validated: Losses | None,
    ) -> None:
        """Write weights, state and logs."""
        seconds = time.perf_counter() - self._started
        assert self._total is not None
        row: Row = {
            "epoch": len(self.rows) + 1,
            "step": self._steps + (int(self.rows[-1]["step"]) if self.rows else 0),
            "train_loss": self._total.mean(self.shares).item(),
            "learning_rate": rate,
            "teacher_forcing": forcing,
            "samples_per_second": self._samples / seconds,
            "seconds": seconds,
        }
        if validated is not None:
            row["val_loss"] = validated.mean(self.shares).item()
            row |= self._by_variable(validated)
        self.rows.append(row)
        if self.writes:
            self._save(model, optimiser)
            self._log(row)

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

    def _by_variable(self, validated: Losses) -> Row:
        """The loss of each variable, where there are several."""
        names = [channel.name for channel in self.scaling.spec.predicted]
        if len(names) == 1:
            return {}
        means = validated.means().tolist()
        return {f"val_loss_{name}": mean for name, mean in zip(names, means, strict=True)}

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
        return "".join(f"{name} {n:.4g}  " for name, n in told.items() if n is not None)

    def _save(self, model: Forecaster, optimiser: Optimizer) -> None:
        loss = self.losses[-1]
        checkpoint = Checkpoint(
            model=model,
            statistics=self.scaling.statistics,
            frames=self.scaling.spec,
            context=self.config.context,
            horizon=self.config.horizon,
            epoch=len(self.rows),
            loss=loss,
        )
        checkpoint.save(self.out / LAST)
        if loss < self.best:
            self.best = loss
            checkpoint.save(self.out / BEST)
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "rows": self.rows,
            "best": self.best,
        }
        with whole(self.resume_file) as partial:
            torch.save(state, partial)

    def _log(self, row: Row) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_text(self.out / "log.csv", text.getvalue())
        if self._board is None:  # dropping what a killed run wrote beyond its last epoch
            self._board = SummaryWriter(
                str(self.out / "tensorboard"), purge_step=len(self.rows) - 1
            )
        for name, value in row.items():
            self._board.add_scalar(name, value, int(row["epoch"]))
