"""Faults that would spoil a run without a word, each caught once."""

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import close
from framecast import load_checkpoint
from framecast.frames.batch import Batch
from framecast.frames.statistics import Statistics
from framecast.models.unroll import Unrolling
from framecast.runs.config import TrainingConfig
from framecast.train import train
from framecast.train.step import Training, make_training
from small import experiment, small_model, small_window


def test_the_best_weights_outlive_epochs_whose_loss_rises_again(tmp_path, monkeypatch):
    """The network learns for three epochs, then a learning rate without measure spoils it."""
    learn, kept = Training.learn, {}

    def spoiled(self, group, epoch, index, forcing):
        if epoch == 3 and index == 0:
            kept.update(load_file(tmp_path / "run" / "best.safetensors"))
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.add_(torch.randn_like(parameter))
        return learn(self, group, epoch, index, forcing)

    monkeypatch.setattr(Training, "learn", spoiled)
    run = train(experiment(tmp_path, epochs=6, learning_rate=1e-3), tmp_path / "run")
    rows = list(csv.DictReader((run / "log.csv").read_text().splitlines()))
    losses = [float(row["val_loss"]) for row in rows]
    assert min(losses[3:]) > min(losses[:3])
    best, last = (load_file(run / f"{name}.safetensors") for name in ("best", "last"))
    name = "model.decoder.weight"
    assert torch.equal(best[name], kept[name])
    assert not torch.equal(best[name], last[name])
    assert load_checkpoint(run).epoch == 1 + int(np.argmin(losses))


def test_statistics_are_those_of_the_training_part_alone(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 1, 8, 8)).astype("f4")
    values[12:] += 100  # the parts that come later are another climate
    np.save(tmp_path / "shift.npy", values)
    made = experiment(tmp_path, epochs=1, context=2, horizon=1)
    data = type(made.data)(
        path=str(tmp_path / "shift.npy"), validation_fraction=0.2, test_fraction=0.2
    )
    run = train(type(made)(data, made.model, made.training), tmp_path / "run")
    statistics = load_checkpoint(run).statistics
    expected = Statistics.of(data.open().splits().train)
    assert abs(statistics.offset.item()) < 0.2
    for name in ("offset", "scale", "climatology"):
        assert torch.equal(getattr(statistics, name), getattr(expected, name))


@pytest.mark.parametrize("chunk", [2, 3, 5])
def test_each_truncated_chunk_counts_by_what_it_holds(chunk):
    """The last chunk is shorter: its error must not count as much as that of a whole one."""
    model, batch = small_model(), Batch(small_window(12))
    unrolling = Unrolling(context=11, chunk=chunk, truncate=True)
    parts = list(model.losses(batch, unrolling))
    whole = next(model.losses(batch, Unrolling(context=11)))
    assert len(parts) == -(-11 // chunk)
    close(sum(parts[1:], start=parts[0]).sums, whole.sums, 1e-12)
    weights = model.weigh(batch)
    close(sum(part.mean(weights=weights) for part in parts), whole.mean(), 1e-12)


def test_batches_of_one_step_count_by_what_is_known_in_them():
    """Two batches whose gaps differ make the gradient of one batch that holds both."""
    frames = small_window(8)
    mask = torch.rand(frames.shape) < torch.tensor([0.9, 0.2, 0.5]).view(3, 1, 1, 1, 1)
    batches = [Batch(frames[i : i + 1], mask[i : i + 1]) for i in range(3)]
    gradients = []
    for group in (tuple(batches), (Batch.stack(batches),)):
        model = small_model()
        training = make_training(model, TrainingConfig(context=5, horizon=3, precision=32))
        whole = sum(model.weigh(batch) for batch in group)
        for batch in group:
            training.accumulate(batch, whole, training.config.unrolling(0.0))
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        close(a, b, 1e-11)
