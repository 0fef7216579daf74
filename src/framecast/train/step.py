"""A step of training: Fabric gives device and precision, the model its losses.

Several processes may train the same weights. A step then is that of one process with all of the
batch, but for the order of sums: each has some of its windows, what is random is drawn for all of
them, and gradients are summed once a step. DDP would sum them in each backward pass, of which a
step may make several (`accumulate`, `chunk`), and wraps a forward call that there is not one of.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from framecast.base.draws import drawing_for
from framecast.base.errors import ToldError
from framecast.base.ranks import ALONE, Mesh, Ranks
from framecast.base.segments import Segment, holding
from framecast.frames.batch import Batch
from framecast.models.losses import Losses
from framecast.models.model import Model
from framecast.models.unroll import Unrolling
from framecast.runs.config import TrainingConfig
from framecast.train.optimise import make_optimiser
from framecast.train.recompute import recompute_layers
from framecast.train.sharding import shard

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Training:
    """A model, and how a step of its training goes.

    Attributes:
        fabric: device, precision and processes.
        model: the network, on its device.
        config: how it is trained.
        shares: weight of each term of the loss.
        optimiser: of the model's weights.
        batches: in an epoch.
        ranks: processes that train the same weights, each on its part of every batch.
        time: those of them that hold the other segments of time of the same windows.
        segment: of time, that this one holds; None for all.
    """

    fabric: Fabric
    model: Model
    config: TrainingConfig
    shares: Tensor
    optimiser: Optimizer
    batches: int
    ranks: Ranks = ALONE
    time: Ranks = ALONE
    segment: Segment | None = None

    @property
    def together(self) -> Ranks:
        """The processes that go through each layer together with this one."""
        return self.ranks if self.config.shard_weights else self.time

    def learn(
        self, group: tuple[Batch | None, ...], epoch: int, index: int, unrolling: Unrolling
    ) -> Losses:
        """Make one step of the optimiser from a group of batches; return their loss.

        What is random depends on the seed and the place of a batch in the run alone, so
        that a resumed run repeats it. The step is that of whole batches, however many processes
        share them.

        Args:
            group: batches whose gradients make the step, on any device; of each what this
                process has of it, or None.
            epoch: epochs done before.
            index: place of the first of the batches in the epoch.
            unrolling: how windows are gone through in this epoch.
        """
        first = epoch * self.batches + index
        mine = {
            place: batch.to(self.fabric.device)
            for place, batch in enumerate(group, start=first)
            if batch is not None
        }
        whole = torch.zeros(self.model.terms, dtype=torch.float64, device=self.fabric.device)
        for batch in mine.values():
            whole += self.model.weigh(batch)
        self.ranks.add([whole])
        total = Losses(torch.zeros_like(whole, dtype=torch.float32), torch.zeros_like(whole))
        failed: FailedLossError | None = None
        for place, batch in mine.items():
            torch.manual_seed((self.config.seed << 32) + place)
            try:
                with drawing_for(batch.portion), holding(self.segment):
                    total = total + self.accumulate(batch, whole, unrolling)
            except FailedLossError as error:
                failed = error
                break
        self._check(failed)
        self._join_gradients()
        self.ranks.add([total.sums])
        self.ranks.add([total.weights])
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return total

    def _check(self, failed: "FailedLossError | None") -> None:
        """Raise where the loss of any process failed: in the first such what failed, to be told."""
        own = failed is not None and failed.own
        if not self.ranks.any(own):
            return
        first = self.ranks.gather(own).index(True)
        if failed is not None and self.ranks.rank == first:
            raise failed
        raise ToldError("the loss of another process became NaN or infinite")

    def _join_gradients(self) -> None:
        """Sum the gradients of all processes; a weight has none where none has."""
        if self.ranks.count == 1 or self.config.shard_weights:
            return
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        used = torch.tensor([float(w.grad is not None) for w in weights])
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        gradients = [cast(Tensor, weight.grad) for weight in weights]
        used = used.to(self.fabric.device)
        self.ranks.add([used, *gradients])
        for weight, count in zip(weights, used.tolist(), strict=True):
            if not count:
                weight.grad = None

    def accumulate(self, batch: Batch, whole: Tensor, unrolling: Unrolling) -> Losses:
        """Add the gradients of a batch's share of the loss to those of the weights.

        Args:
            batch: windows.
            whole: weights of all batches of the step, of which this one is a part.
            unrolling: how windows are gone through in this epoch.
        """
        total: Losses | None = None
        with self.fabric.autocast():
            for part in self.model.losses(batch, self._here(unrolling)):
                with torch.autocast(self.fabric.device.type, enabled=False):
                    loss = part.mean(self.shares, whole)
                    self._check_finite(loss, batch)
                    self.fabric.backward(loss)
                total = part.detach() if total is None else total + part.detach()
        assert total is not None
        return total

    def _here(self, unrolling: Unrolling) -> Unrolling:
        """Say how the segment of time that this process holds is gone through."""
        if self.segment is None:
            return unrolling
        return replace(unrolling, context=self.segment.context(unrolling.context))

    def _check_finite(self, loss: Tensor, batch: Batch) -> None:
        """Raise a FailedLossError in all that go through layers together, where one has failed."""
        failed = not bool(torch.isfinite(loss))
        if self.together.any(failed):
            raise FailedLossError(batch, own=failed)

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch | None]) -> Losses | None:
        """Return the loss of forecasts from all windows of the validation part; None of none.

        What is random is the same in every epoch, so that epochs can be compared.

        Args:
            batches: all of them in their order; None where another process has one.
        """
        self.model.eval()
        losses: list[Losses] = []
        failed: FailedLossError | None = None
        for place, batch in enumerate(batches):
            if batch is None:
                continue
            torch.manual_seed((self.config.seed << 32) + (1 << 32) - 1 - place)
            batch = batch.to(self.fabric.device)
            with self.fabric.autocast(), holding(self.segment):
                loss = self.model.validate(batch, self._here(self.config.unrolling()))
            try:
                self._check_finite(self.model.compare(loss, self.shares), batch)
            except FailedLossError as error:
                failed = error
                break
            losses.append(loss)
        self.model.train()
        self._check(failed)
        return _total(
            (self.time if self.config.shard_weights else self.ranks).gather(_total(losses))
        )


def _total(losses: Iterable[Losses | None]) -> Losses | None:
    """The sum of losses, in their order; None of none."""
    known = [loss for loss in losses if loss is not None]
    return sum(known[1:], start=known[0]) if known else None


class FailedLossError(Exception):
    """A loss that is no number, with the batch that gave it.

    Attributes:
        batch: windows.
        own: whether it is that of this process, and not of one that has another segment of them.
    """

    def __init__(self, batch: Batch, own: bool = True) -> None:
        super().__init__("the loss became NaN or infinite")
        self.batch, self.own = batch, own


def make_training(
    model: Model,
    config: TrainingConfig,
    batches: int = 1,
    shares: Tensor | None = None,
    device: torch.device = CPU,
    mesh: Mesh | None = None,
    segment: Segment | None = None,
) -> Training:
    """Put a model into training: on its device, in its precision, with an optimiser.

    Args:
        model: the network.
        config: how it is trained.
        batches: in an epoch.
        shares: weight of each term of the loss; equal if None.
        device: that it is trained on.
        mesh: processes that train the same weights; None for this one alone.
        segment: of time, that this process has of each window; None for all.
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
    mesh = mesh or Mesh()
    if config.shard_weights:
        shard(model, mesh.every, device)
    optimiser = make_optimiser(model, config)
    whose = mesh.every, mesh.time, segment
    return Training(fabric, model, config, shares.to(device), optimiser, batches, *whose)
