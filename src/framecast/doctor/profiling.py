"""Where the time and the memory of a step of training go, and what would need less of either."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch

from framecast.frames.batch import Batch
from framecast.runs.device import choose_device
from framecast.runs.experiment import Experiment
from framecast.train.footprint import Footprint, bytes_of, footprint, profiling, remedies
from framecast.train.precision import resolve_precision
from framecast.train.start import Start, prepare
from framecast.train.step import Training, make_training

STEPS = 3
"""Steps that are profiled, after one that is not."""

FAMILIES: dict[str, Sequence[str]] = {
    "convolutions, backward": ("convolution_backward", "conv2d_backward", "conv3d_backward"),
    "convolutions, forward": ("convolution", "conv2d", "conv3d"),
    "scans": ("scan",),
    "cells of recurrent layers": ("lstm_cell", "gru_cell", "cell"),
    "norms and activations": ("norm", "gelu", "sigmoid", "tanh", "relu", "silu", "softplus"),
    "padding": ("wrap", "pad"),
    "matrix products": ("mm", "bmm", "addmm", "matmul", "linear", "einsum"),
    "Fourier transforms": ("fft",),
    "optimiser": ("adam", "foreach", "clip_grad"),
    "copies and layouts": ("copy", "clone", "cat", "contiguous", "_to", "fill", "zero", "stack"),
}
"""What operations count as, by parts of their names; the first that fits counts."""
REST = "products, sums and all else"


@dataclass(frozen=True)
class Profiled:
    """A step of training, taken apart.

    Attributes:
        windows: in a step.
        step: time and memory of the gradient of one batch.
        times: seconds of a step by kind of operation, the longest first.
        memory: bytes by what they hold.
        helps: what the step would take with other keys, by these.
    """

    windows: int
    step: Footprint
    times: dict[str, float]
    memory: dict[str, int]
    helps: dict[str, Footprint]


def profile_step(experiment: Experiment, device: str = "auto") -> Profiled:
    """Take a few steps of training on the data of an experiment, and see where they go.

    They are steps of the first epoch: with scheduled sampling later ones are more of a closed loop.

    Args:
        experiment: what would be trained; nothing is written.
        device: as in training.

    Raises:
        UserError: if the data and the keys do not fit together.
    """
    chosen = choose_device(device)
    precision = resolve_precision(experiment.training.precision, chosen)
    experiment = replace(
        experiment, training=replace(experiment.training, precision=precision, devices=1)
    )
    start = prepare(experiment, experiment.data.open().splits(), device=chosen)
    windows = len(_first(start, experiment.training.batch_size))
    experiment = replace(experiment, training=replace(experiment.training, batch_size=windows))
    helps = _helps(experiment, start, chosen)
    training = _training(experiment, start, chosen)
    batch = _first(start, windows).to(chosen)
    times = _times(training, batch)
    memory = {
        "weights": bytes_of(training.model.state_dict()),
        "gradients": sum(bytes_of(p) for p in training.model.parameters() if p.requires_grad),
        "optimiser": bytes_of(list(training.optimiser.state.values())),
        "batch": bytes_of([batch.frames, batch.mask, batch.forcings, batch.actions]),
    }
    step = footprint(training, batch, experiment.training.unrolling())
    memory["results kept for the gradient"] = max(0, step.peak - memory["gradients"])
    return Profiled(windows, step, times, memory, helps)


def _training(experiment: Experiment, start: Start, device: torch.device) -> Training:
    return make_training(start.model, experiment.training, 1, start.shares, device)


def _times(training: Training, batch: Batch) -> dict[str, float]:
    """Seconds of a step by kind of operation."""
    course = training.config.unrolling()
    training.learn((batch,), 0, 0, course)
    with profiling() as profiled:
        for place in range(STEPS):
            training.learn((batch,), 0, place, course)
    taken: dict[str, float] = {}
    for event in profiled.key_averages():
        own = event.self_cpu_time_total or event.self_device_time_total
        family = _family(event.key)
        taken[family] = taken.get(family, 0.0) + own / 1e6 / STEPS
    return dict(sorted(taken.items(), key=lambda item: -item[1]))


def _family(name: str) -> str:
    """What an operation counts as."""
    own = name.lower()
    return next((f for f, parts in FAMILIES.items() if any(p in own for p in parts)), REST)


def _helps(experiment: Experiment, start: Start, device: torch.device) -> dict[str, Footprint]:
    """What the windows of a batch take with keys that need less memory."""
    found, windows = {}, experiment.training.batch_size
    for words, other in remedies(experiment):
        config = other.training
        own = replace(start, model=deepcopy(start.model))  # to compute layers again changes it
        batch = _first(start, config.batch_size).to(device)
        step = footprint(_training(other, own, device), batch, config.unrolling())
        found[words] = Footprint(step.seconds * windows / config.batch_size, step.peak)
    return found


def _first(start: Start, windows: int) -> Batch:
    """The first batch of so many windows."""
    batch = next(iter(replace(start.batches, size=windows)))
    assert batch is not None
    return batch
