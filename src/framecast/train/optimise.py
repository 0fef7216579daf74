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
        [weight for weight in model.parameters() if weight.requires_grad],
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        weight_decay=config.weight_decay,
        fused=True,
    )
