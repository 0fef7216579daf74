"""Optimisers, and the learning rate over the steps of a run."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, ReduceLROnPlateau

from framecast.train.config import TrainingConfig


def make_optimiser(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """Build Adam or AdamW in their fused form, one kernel for all weights."""
    kinds: dict[str, type[torch.optim.Adam]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    kind = kinds[config.optimiser]
    return kind(
        model.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )


def make_schedules(optimiser: Optimizer, config: TrainingConfig, steps: int) -> list[Any]:
    """Build the schedules of the learning rate, as Lightning takes them.

    Args:
        optimiser: whose learning rate they set.
        config: names the schedule.
        steps: of the whole run.
    """
    if config.schedule != "plateau":
        rule = LambdaLR(optimiser, lambda step: learning_rate_factor(step, steps, config))
        return [{"scheduler": rule, "interval": "step"}]
    halve = ReduceLROnPlateau(optimiser, factor=0.5, patience=config.plateau_epochs)
    schedules: list[Any] = [{"scheduler": halve, "monitor": "val_loss", "interval": "epoch"}]
    if config.warmup_steps:
        first = 1 / (config.warmup_steps + 1)
        warmup = LinearLR(optimiser, start_factor=first, total_iters=config.warmup_steps)
        schedules.append({"scheduler": warmup, "interval": "step"})
    return schedules


def learning_rate_factor(step: int, steps: int, config: TrainingConfig) -> float:
    """Share of the highest learning rate at a step, for the constant and cosine schedules."""
    rise = min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.schedule == "constant":
        return rise
    return rise * 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))
