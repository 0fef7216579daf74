"""How long training takes here: measured, so that a run fits into the time there is."""

import math
import time
from dataclasses import replace
from itertools import cycle, islice

import torch

from framecast.base.errors import UserError
from framecast.doctor.proposal import Choice, Proposal, warm_up
from framecast.doctor.windows import as_set
from framecast.frames.splits import Splits
from framecast.runs.device import choose_device
from framecast.runs.experiment import Experiment
from framecast.train.precision import resolve_precision
from framecast.train.start import prepare
from framecast.train.step import make_training

SIZES = ((4, 64), (4, 48), (4, 32), (3, 24), (2, 16), (2, 8))
"""Depth and hidden channels of the networks that are tried, the largest first."""
LAYERS = ("min_conv_gru", "conv_lstm")
"""Layers that are tried: one that learns in parallel over time, and one that goes step by step."""
TRIED = (2, 16)
"""Depth and hidden channels of the networks by which layers are compared."""
ENOUGH = 300
"""Steps of the optimiser that a network should make; below, a smaller one learns more."""
MEASURED = 4
"""Steps that are timed, after one that is not."""
OVERHEAD = 1.3
"""A run over its steps alone: validation, saving and reading."""


def fit_to_time(proposal: Proposal, minutes: float, device: str = "auto") -> Proposal:
    """Choose the fastest layer, the largest network that makes enough steps, and its epochs.

    Args:
        proposal: what is proposed so far.
        minutes: for the whole training, above 0.
        device: that it trains on.

    Raises:
        UserError: if `minutes` is not positive, or the data and the keys do not fit together.
    """
    if not minutes > 0:
        raise UserError(f"--minutes {minutes:g} must be above 0")
    splits = proposal.experiment().data.open().splits()
    if "model.layer" not in proposal.given:
        proposal = proposal.with_choices(_fastest_layer(proposal, splits, device))
    sizes = SIZES if not {"model.depth", "model.hidden"} & proposal.given.keys() else (None,)
    for size in sizes:
        tried = proposal if size is None else proposal.with_choices(_size(size))
        seconds, steps = _measure(tried.experiment(), splits, device)
        affordable = int(60 * minutes / (OVERHEAD * seconds))
        if affordable >= ENOUGH:
            break
    choices = {}
    if affordable < steps and "data.windows_per_epoch" not in tried.given:
        steps, training = max(1, affordable), tried.experiment().training
        windows = steps * training.batch_size * training.accumulate
        choices["data.windows_per_epoch"] = Choice(windows, "as many as the time allows")
    epochs = max(1, affordable // steps)
    why = f"{minutes:g} minutes, at {seconds:.2g} s a step and {steps} steps an epoch"
    choices["training.epochs"] = Choice(epochs, why)
    planned = as_set(tried.given, "training.epochs", epochs)
    choices["training.warmup_steps"] = warm_up(planned * steps)
    return tried.with_choices(choices)


def _fastest_layer(proposal: Proposal, splits: Splits, device: str) -> dict[str, Choice]:
    """Time a step of each layer, in networks of one size."""
    taken = {}
    for layer in LAYERS:
        choices = {"model.layer": Choice(layer, ""), **_size(TRIED)}
        taken[layer], _ = _measure(proposal.with_choices(choices).experiment(), splits, device)
    told = ", ".join(f"{layer} {seconds:.2g}" for layer, seconds in taken.items())
    return {"model.layer": Choice(min(taken, key=taken.__getitem__), f"seconds a step: {told}")}


def _size(size: tuple[int, int]) -> dict[str, Choice]:
    why = "the largest of those tried that learns enough in the time there is"
    return {"model.depth": Choice(size[0], why), "model.hidden": Choice(size[1], why)}


def _measure(experiment: Experiment, splits: Splits, device: str) -> tuple[float, int]:
    """Seconds of a step, and steps of an epoch."""
    chosen = choose_device(device)
    precision = resolve_precision(experiment.training.precision, chosen)
    training = replace(experiment.training, precision=precision)
    experiment = replace(experiment, training=training)
    start = prepare(experiment, splits)
    stepping = make_training(start.model, training, len(start.batches), start.shares, chosen)
    course = training.unrolling(1.0 if training.teacher_forcing else 0.0)
    taken = []
    for place, batch in enumerate(islice(cycle(start.batches), MEASURED + 1)):
        began = time.perf_counter()
        stepping.learn((batch,), 0, place, course)
        if chosen.type == "cuda":
            torch.cuda.synchronize(chosen)
        taken.append(time.perf_counter() - began)
    seconds = sorted(taken[1:])[MEASURED // 2] * training.accumulate
    return seconds, math.ceil(len(start.batches) / training.accumulate)
