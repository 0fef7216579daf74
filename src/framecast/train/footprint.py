"""What a step of training takes: its time, the memory it needs at once, and what needs less."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from framecast.base.errors import UserError
from framecast.frames.batch import Batch
from framecast.models.unroll import Unrolling
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment

MEMORY_EVENT = "[memory]"
LEAST_PARTS = 4
"""Parts of a window into which a chunk is proposed to cut it."""


class Footprint(NamedTuple):
    """What a step takes.

    Attributes:
        seconds: of the step.
        peak: bytes that the step needs at once, beside weights, optimiser and batch.
    """

    seconds: float
    peak: int


def footprint(training: Any, batch: Batch, course: Unrolling) -> Footprint:
    """Measure the gradient of a batch; nothing is learned.

    Args:
        training: `train.step.Training`.
        batch: windows.
        course: how they are gone through.
    """
    whole = training.model.weigh(batch)
    training.accumulate(batch, whole, course)  # what is done once, such as to choose an algorithm
    training.optimiser.zero_grad()
    began = time.perf_counter()
    training.accumulate(batch, whole, course)
    _wait(training)
    seconds = time.perf_counter() - began
    training.optimiser.zero_grad()
    with profiling() as profiled:
        training.accumulate(batch, whole, course)
    training.optimiser.zero_grad()
    return Footprint(seconds, peak_of(profiled))


@contextmanager
def profiling() -> Iterator[Any]:
    """While it is open, PyTorch's profiler records operations and memory, without a word."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    with profile(activities=[ProfilerActivity.CPU, *cuda], profile_memory=True) as profiled:
        yield profiled


def peak_of(profiled: Any) -> int:
    """Return the bytes that were in use at once beyond those at the start, by a profile."""
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == MEMORY_EVENT]
    used = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        used += event.nbytes()
        peak = max(peak, used)
    return peak


def remedies(experiment: Experiment) -> Iterator[tuple[str, Experiment]]:
    """Yield what a step needs less memory with, each as keys on the command line say it.

    Keys that this kind of model does not read are left out.
    """
    for words, changes in _changes(experiment.training):
        with suppress(ValueError):
            yield words, replace(experiment, training=replace(experiment.training, **changes))


def _changes(config: TrainingConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """What may need less memory, in words and as keys of the training."""
    inputs = config.window - 1
    if config.batch_size > 1:
        half = config.batch_size // 2
        more = config.accumulate * 2
        words = f"--training.batch_size {half} --training.accumulate {more}"
        yield words, {"batch_size": half, "accumulate": more}
    chunk = -(-inputs // LEAST_PARTS)
    if config.chunk is None and not config.compile and 1 < chunk < inputs:
        yield f"--training.chunk {chunk}", {"chunk": chunk}
        words = f"--training.chunk {chunk} --training.truncate true"
        yield words, {"chunk": chunk, "truncate": True}
    if not config.recompute_layers and not config.compile:
        yield "--training.recompute_layers true", {"recompute_layers": True}
    if config.precision == 32:
        yield "--training.precision bf16-mixed", {"precision": "bf16-mixed"}


def is_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch says so in words alone."""
    words = str(error)
    return isinstance(error, MemoryError) or any(
        said in words for said in ("allocate memory", "out of memory")
    )


@contextmanager
def memory_named(experiment: Experiment) -> Iterator[None]:
    """Say what would help where a step does not fit into memory.

    Raises:
        UserError: with the keys that need less, and the command that measures how much less.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory(error):
            raise
        config = experiment.training
        helps = "; ".join(words for words, _ in remedies(experiment)) or "a smaller network"
        raise UserError(
            f"a step of {config.batch_size} windows of {config.window} frames does not fit into "
            f"memory. What needs less: {helps}. framecast profile, with a batch that fits "
            "(--training.batch_size 1), measures what each of them saves"
        ) from error


def bytes_of(values: Any) -> int:
    """Return the bytes of the tensors in nested values."""
    if isinstance(values, Tensor):
        return values.numel() * values.element_size()
    if isinstance(values, dict):
        return sum(map(bytes_of, values.values()))
    if isinstance(values, list | tuple):
        return sum(map(bytes_of, values))
    return 0


def _wait(training: Any) -> None:
    if training.fabric.device.type == "cuda":
        torch.cuda.synchronize(training.fabric.device)
