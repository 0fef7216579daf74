"""What changes in the course of a run: functions of the step and of the losses so far.

They keep nothing, so that a resumed run goes on as if it had never stopped.
"""

import math
from collections.abc import Sequence

from framecast.models.unroll import Unrolling
from framecast.runs.config import TrainingConfig


def plateaus(losses: Sequence[float], patience: int) -> list[int]:
    """Find the epochs at whose end the loss had not fallen below its lowest for too long.

    Args:
        losses: of each epoch so far.
        patience: epochs without a lower loss that make a plateau; after each plateau the
            count begins anew.

    Returns:
        Numbers of epochs, ascending; the first epoch is 1.
    """
    found, lowest, waited = [], math.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        if waited == patience:
            found.append(epoch)
            waited = 0
    return found


def decay_epochs(losses: Sequence[float], config: TrainingConfig) -> int:
    """Count the epochs of decay up to the coming one: those after the first plateau.

    Without a wait for plateaus (`plateau_epochs` 0), those after the first epoch.
    """
    if config.plateau_epochs == 0:
        return len(losses)
    found = plateaus(losses, config.plateau_epochs)
    return len(losses) - found[0] + 1 if found else 0


def teacher_forcing(losses: Sequence[float], config: TrainingConfig) -> float:
    """Return the probability that an input beyond the context is the truth, in the next epoch."""
    fallen = config.teacher_forcing_decay * decay_epochs(losses, config)
    return max(0.0, config.teacher_forcing - fallen)


def prediction_weight(losses: Sequence[float], config: TrainingConfig) -> float:
    """Return the weight of the error of frames beside the classes, in the next epoch.

    λ ← max(λ − ε, 0) at each plateau (Conv-TT-LSTM, Su et al. 2020, section 4).
    """
    if config.prediction_weight_decay == 0:
        return config.prediction_weight
    fallen = config.prediction_weight_decay * len(plateaus(losses, config.plateau_epochs))
    return max(0.0, config.prediction_weight - fallen)


def unrolling(losses: Sequence[float], config: TrainingConfig) -> Unrolling:
    """Return how windows are gone through in the next epoch."""
    return config.unrolling(teacher_forcing(losses, config), prediction_weight(losses, config))


def learning_rate(step: int, steps: int, losses: Sequence[float], config: TrainingConfig) -> float:
    """Return the learning rate of a step.

    Args:
        step: steps done before it.
        steps: of the whole run.
        losses: of the epochs before its own.
        config: names the schedule.
    """
    rise = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return config.learning_rate * rise * _factor(step / steps, losses, config)


def _factor(progress: float, losses: Sequence[float], config: TrainingConfig) -> float:
    """Share of the highest learning rate that a schedule leaves, apart from the warm-up."""
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if config.schedule == "epoch_cosine":
        return 0.5 * (1 + math.cos(math.pi * len(losses) / config.epochs))
    if config.schedule == "plateau":
        return float(0.5 ** len(plateaus(losses, config.plateau_epochs)))
    if config.schedule == "staircase":
        return float(
            config.staircase_factor ** (decay_epochs(losses, config) // config.staircase_epochs)
        )
    return 1.0
