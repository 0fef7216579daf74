"""Optimisers."""

import torch
from torch import nn
from torch.optim import Optimizer

from framecast.runs.config import TrainingConfig


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
